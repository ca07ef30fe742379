"""One node of the push service: takes connections, does what has to be done, and ends in order."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from clarion.ports.pushservice import (
    NodeNumber,
    PushDevices,
    PushMessages,
    PushNodes,
    PushReceipts,
)
from clarion.ports.store import StoreUnavailableError
from clarion.ports.system import Chance, Clock
from clarion.pushservice.accepting import Accepting, AcceptingPorts
from clarion.pushservice.addresses import Addresses
from clarion.pushservice.arrivals import Arrivals
from clarion.pushservice.capabilities import Capabilities
from clarion.pushservice.connections import Connections
from clarion.pushservice.dating import Dates
from clarion.pushservice.deadlines import Deadlines
from clarion.pushservice.deliveries import Deliveries, hearing
from clarion.pushservice.familiar import Heads
from clarion.pushservice.http_connection import HttpConnection
from clarion.pushservice.limits import PushLimits
from clarion.pushservice.numbering import Numbering
from clarion.pushservice.parts import Parts, quotas
from clarion.pushservice.protocol import Identities
from clarion.pushservice.routes import Routes
from clarion.pushservice.tally import Tally
from clarion.telemetry.logs import log
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import LogEvent, Metric
from clarion.wire.capability import CapabilitySeal
from clarion.wire.vapid import audience

_log = logging.getLogger(__name__)

BEAT_EVERY_S: Final = 5.0
SWEEP_EVERY_S: Final = 10.0
SWEPT_AT_ONCE: Final = 5_000
STORE_PAUSE_S: Final = 0.5
ACCEPT_PAUSE_S: Final = 0.01
RECEIPTS_KEPT: Final = timedelta(days=7)
DEVICES_EVERY_S: Final = 3600.0
SEEN_AT_ONCE: Final = 5_000


class NodeLostError(Exception):
    """The node was silent for so long that its number was given to another: it must end."""


END_AGAIN_S = 5.0
"""Between two cancellations of one task: what it still has to store takes a moment."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePorts:
    """What a node needs."""

    clock: Clock
    chance: Chance
    devices: PushDevices
    messages: PushMessages
    receipts: PushReceipts
    nodes: PushNodes
    metrics: Metrics
    master_key: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeSettings:
    """How a node is reached, and its bounds."""

    owner: str
    origin: str
    """Of every URL that it gives: what senders and the VAPID audience see."""
    limits: PushLimits
    most_connections: int
    trusted_proxies: frozenset[str] = frozenset()
    allowed_origins: frozenset[str] = frozenset()
    devices_kept: timedelta = timedelta(days=60)
    """How long a device may be away until it is forgotten, with its subscriptions."""


@asynccontextmanager
async def joined(
    ports: NodePorts, settings: NodeSettings
) -> AsyncIterator[tuple[Parts, Deliveries]]:
    """Take a number, and give it back at the end.

    Raises:
        StoreUnavailableError: no number can be had.
    """
    clock, limits = ports.clock, settings.limits
    node, not_before = await ports.nodes.join(settings.owner, clock.now())
    deliveries = Deliveries(ports.messages, clock, limits.window)
    connections = Connections(limits.window, deliveries.settle)
    deliveries.connections = connections
    connections.look = deliveries.look
    accepting = Accepting(
        AcceptingPorts(
            messages=ports.messages,
            late=deliveries.delete,
            connections=connections,
            clock=clock,
            node=node,
        ),
        every_s=limits.commit_every_s,
        most=limits.open_pushes,
    )
    deliveries.accepting = accepting
    parts = Parts(
        clock=clock,
        chance=ports.chance,
        limits=limits,
        quotas=quotas(limits),
        node=node,
        numbering=Numbering(node, not_before),
        capabilities=Capabilities(CapabilitySeal.derive(ports.master_key), settings.origin),
        identities=Identities(audience(settings.origin)),
        devices=ports.devices,
        messages=ports.messages,
        receipts=ports.receipts,
        connections=connections,
        arrivals=Arrivals(ports.devices, clock, node),
        accepting=accepting,
        settle=deliveries.settle,
        deadlines=Deadlines(clock.monotonic()),
        metrics=ports.metrics,
        tally=Tally(ports.metrics),
        heads=Heads(),
        dates=Dates(ports.clock),
        addresses=Addresses(limits, settings.trusted_proxies),
        trusted_proxies=settings.trusted_proxies,
        allowed_origins=settings.allowed_origins,
    )
    try:
        yield parts, deliveries
    finally:
        parts.tally.tell()
        try:
            await ports.nodes.leave(node, settings.owner, clock.now())
        except StoreUnavailableError as error:  # it will be taken for dead a minute later
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))


async def serve_node(
    ports: NodePorts, settings: NodeSettings, listener: socket.socket, stop: asyncio.Event
) -> None:
    """Serve until told to stop; then end every connection and store what was accepted.

    Args:
        ports: the state store, time, chance.
        settings: how the node is reached, and its bounds.
        listener: bound; this makes it listen.
        stop: set by whoever handles signals.

    Raises:
        NodeLostError: another node has this one's number.
    """
    async with joined(ports, settings) as (parts, deliveries):
        hearing_ok = asyncio.Event()
        taking = _Taking(parts, settings, Routes(parts, hearing_ok.is_set))
        async with asyncio.TaskGroup() as group:
            working = [
                group.create_task(parts.arrivals.run()),
                group.create_task(deliveries.run()),
                group.create_task(_beat(ports, settings, parts.node)),
                group.create_task(_listen(ports, parts, hearing_ok)),
                group.create_task(_tick(parts)),
                group.create_task(_sweep(ports)),
                group.create_task(_forget(ports, parts.connections, settings.devices_kept)),
            ]
            accepting = group.create_task(parts.accepting.run())
            accepted = group.create_task(taking.run(listener))
            await stop.wait()
            accepted.cancel()
            taking.drain()
            accepting.cancel()  # stores what is open
            await asyncio.wait([accepting])
            await _end([*working, *parts.tasks])
        listener.close()


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks, and again those that went on.

    One whose connection to the store broke in that moment sees the break, not the cancellation.
    """
    while going := [task for task in tasks if not task.done()]:
        for task in going:
            task.cancel()
        await asyncio.wait(going, timeout=END_AGAIN_S)


class _Taking:
    """Takes connections, and lets the kernel hold back what is too much at once."""

    def __init__(self, parts: Parts, settings: NodeSettings, routes: Routes) -> None:
        self._parts = parts
        self._settings = settings
        self._routes = routes

    async def run(self, listener: socket.socket) -> None:
        """Take connections until cancelled."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)  # noqa: FBT003  the standard library's own signature
        listener.listen(socket.SOMAXCONN)
        arriving = self._parts.limits.arriving
        while True:
            # Reconnect storm: those that wait for the store go first.
            while self._parts.arrivals.waiting >= arriving:
                await self._parts.clock.sleep(ACCEPT_PAUSE_S)
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as error:  # out of file descriptors: some may end soon
                log(_log, logging.WARNING, LogEvent.PUSH_CROWDED, cause=str(error))
                await self._parts.clock.sleep(STORE_PAUSE_S)
                continue
            if len(self._parts.held) >= self._settings.most_connections:
                connection.close()
                self._parts.tally.add(Metric.PUSH_REQUESTS, "crowded")
                continue
            await self._take(loop, connection, str(peer[0]))

    async def _take(
        self, loop: asyncio.AbstractEventLoop, connection: socket.socket, peer: str
    ) -> None:
        parts = self._parts
        counted = None if parts.addresses.speaks_for_others(peer) else peer
        if counted is not None and not parts.addresses.enter(peer, parts.clock.monotonic()):
            connection.close()
            parts.tally.add(Metric.PUSH_REQUESTS, "address")
            return
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: HttpConnection(parts, self._routes, counted), connection
            )
        except OSError:  # it was closed before we looked at it
            connection.close()
            if counted is not None:
                parts.addresses.leave(counted)

    def drain(self) -> None:
        """End every connection; devices come again, maybe to another node."""
        for connection in tuple(self._parts.held):
            connection.drain()


async def _listen(ports: NodePorts, parts: Parts, ok: asyncio.Event) -> None:
    """Hear other nodes; after silence, look whether anything was missed."""

    def standing() -> None:
        sessions = parts.connections.sessions()
        parts.connections.wake([session.device for session in sessions if session.device])
        ok.set()

    while True:
        try:
            await ports.nodes.listen(parts.node, hearing(parts.connections), standing)
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
        ok.clear()
        await ports.clock.sleep(STORE_PAUSE_S)


async def _beat(ports: NodePorts, settings: NodeSettings, node: NodeNumber) -> None:
    while True:
        await ports.clock.sleep(BEAT_EVERY_S)
        try:
            if not await ports.nodes.beat(node, settings.owner, ports.clock.now()):
                raise NodeLostError(f"push node {node} was silent for too long")
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))


async def _tick(parts: Parts) -> None:
    while True:
        await parts.clock.sleep(1.0)
        parts.deadlines.pass_to(parts.clock.monotonic())
        parts.tally.tell()
        parts.metrics.level(Metric.PUSH_CONNECTIONS, len(parts.connections))


async def _sweep(ports: NodePorts) -> None:
    """Delete what is over, a little at a time."""
    clock, metrics = ports.clock, ports.metrics
    while True:
        await clock.sleep(SWEEP_EVERY_S * (0.5 + ports.chance.fraction()))
        now = clock.now()
        try:
            while expired := await ports.messages.expire(now, at_once=SWEPT_AT_ONCE):
                metrics.add(Metric.PUSH_DELIVERED, "expired", amount=expired)
            await ports.receipts.drop(now - RECEIPTS_KEPT, at_once=SWEPT_AT_ONCE)
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))


async def _forget(ports: NodePorts, connections: Connections, kept: timedelta) -> None:
    """Forget devices that were away for long.

    An hour passes first: where the service itself was away, devices come back before that.
    """
    clock = ports.clock
    while True:
        await clock.sleep(DEVICES_EVERY_S * (1.0 + ports.chance.fraction() / 2))
        try:
            await forget_absent(ports, connections, kept)
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))


async def forget_absent(ports: NodePorts, connections: Connections, kept: timedelta) -> None:
    """Say who is here; then end who was not for `kept`.

    Raises:
        StoreUnavailableError: the rest waits for the next time.
    """
    now = ports.clock.now()
    here = [session.device for session in connections.sessions() if session.device is not None]
    for low in range(0, len(here), SEEN_AT_ONCE):
        await ports.devices.seen(here[low : low + SEEN_AT_ONCE], now)
    while gone := await ports.devices.forget(now - kept, now, at_once=SWEPT_AT_ONCE):
        ports.metrics.add(Metric.PUSH_FORGOTTEN, amount=gone)
