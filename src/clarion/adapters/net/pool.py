"""Connections to one host: opened when needed, replaced when broken, some for urgent requests."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from clarion.adapters.net.addresses import Find
from clarion.adapters.net.link import OPENING_ERRORS, Link, Route
from clarion.adapters.net.tls import Http2NotOfferedError, TlsPipe, prepare
from clarion.adapters.net.tunnel import Tunnel
from clarion.ports.system import Chance, Clock
from clarion.ports.transport import EgressForbiddenError
from clarion.wire.http2 import Batch, Cause, Connection, Failure, LocalSettings

_BACK_OFF_FIRST_S: Final = 0.1
_BACK_OFF_LAST_S: Final = 30.0
_CLOSE_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """One host, and how it is spoken to.

    Attributes:
        host: Name or address to connect to.
        port: Its port.
        authority: Value of `:authority`.
        tls: Client context, with a certificate for mutual TLS where the host wants one; it is
            made fit for HTTP/2. None speaks HTTP/2 without TLS.
        server_name: Name the certificate must carry, where it is not `host`.
        max_connections: Connections for requests that are not urgent.
        reserved: Connections that only urgent requests use.
        proxy: `http://[user:password@]host:port` of a proxy to CONNECT through.
        connect_s: Seconds until a connection must be ready for requests.
        attempts: How often a request is tried that the server has certainly not processed.
        settings: The HTTP/2 settings of each connection.
    """

    host: str
    port: int
    authority: bytes
    tls: ssl.SSLContext | None
    server_name: str | None = None
    max_connections: int = 4
    reserved: int = 1
    proxy: str | None = None
    connect_s: float = 10.0
    attempts: int = 3
    settings: LocalSettings = field(default_factory=LocalSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSnapshot:
    """What a pool is doing; `last_error` says why its last connection could not open or ended."""

    connections: int
    open_streams: int
    waiting_batches: int
    last_error: str | None


@dataclass(slots=True, eq=False)
class _Job:
    """A batch on its way through a lane."""

    batch: Batch
    done: asyncio.Future[None]
    urgent: bool
    avoid: Link | None = None
    link: Link | None = None
    told: Callable[[Batch], None] | None = None

    def finish(self, batch: Batch) -> None:
        """Wakes the sender of the batch, unless it has left, and whom else the batch tells."""
        if self.told is not None:
            self.told(batch)
        if not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True, eq=False)
class _Lane:
    """Connections of one kind and the batches that wait for them."""

    size: int
    urgent: bool
    links: list[Link] = field(default_factory=list)
    waiting: deque[_Job] = field(default_factory=deque)
    opening: asyncio.Task[None] | None = None
    failures: int = 0


class Http2Pool:
    """Sends batches to one host; see `send`.

    Args:
        config: The host.
        clock: For deadlines and back-off.
        chance: For jitter.
        find: Names the addresses that a new connection may go to, in the order to try them, anew
            for each; the host itself without it. Raises `EgressForbiddenError` where there is
            none to go to, and `OSError` where none was found.
    """

    def __init__(
        self, config: HostConfig, clock: Clock, chance: Chance, find: Find | None = None
    ) -> None:
        if config.tls is not None:
            prepare(config.tls)
        self._config = config
        self._clock = clock
        self._chance = chance
        self._find = find
        self._settings = config.settings
        self._bulk = _Lane(max(1, config.max_connections), urgent=False)
        self._urgent = _Lane(config.reserved, urgent=True) if config.reserved else self._bulk
        self._last_error: str | None = None
        self._closing = False

    def snapshot(self) -> PoolSnapshot:
        """What the pool is doing now."""
        links = [link for lane in self._lanes() for link in lane.links]
        return PoolSnapshot(
            connections=len(links),
            open_streams=sum(link.connection.open_streams for link in links),
            waiting_batches=sum(len(lane.waiting) for lane in self._lanes()),
            last_error=self._last_error,
        )

    async def send(self, batch: Batch, *, urgent: bool = False) -> None:
        """Sends a batch, and returns when each request has an answer or a failure.

        Requests that the server has certainly not processed are sent again on another connection,
        a bounded number of times and within the batch's deadline.

        Raises:
            Http2NotOfferedError: The host speaks no HTTP/2; nothing of the batch was sent.
            EgressForbiddenError: The egress guard refuses the host; likewise.
        """
        if not len(batch):
            return
        give_up_at = self._clock.monotonic() + batch.deadline_s
        used = await self._run(batch, urgent=urgent, avoid=None)
        for _ in range(self._config.attempts - 1):
            again = batch.safe_failures()
            left_s = give_up_at - self._clock.monotonic()
            if not again or left_s <= 0 or self._closing:
                return
            part = batch.subset(again)
            part.deadline_s = left_s
            used = await self._run(part, urgent=urgent, avoid=used)
            batch.take_over(again, part)

    async def close(self) -> None:
        """Finishes what is open, then closes every connection; what waits ends as REFUSED."""
        self._closing = True
        for lane in self._lanes():
            if lane.opening is not None:
                lane.opening.cancel()
            self._refuse_waiting(lane)
        links = [link for lane in self._lanes() for link in lane.links]
        for link in links:
            link.drain()
        give_up_at = self._clock.monotonic() + _CLOSE_PATIENCE_S
        while any(lane.links for lane in self._lanes()):
            if self._clock.monotonic() >= give_up_at:
                break
            await asyncio.sleep(0.01)
        for link in [link for lane in self._lanes() for link in lane.links]:
            link.abort("the pool was closed")

    def has_room(self, link: Link) -> None:
        """A link may take more requests: the waiting ones get it (called by links)."""
        lane = self._lane_of(link)
        if lane is None:
            return
        if link.useful:
            lane.failures = 0
        if lane.waiting:
            self._dispatch(lane)

    def ended(self, link: Link) -> None:
        """A link is over (called by links)."""
        lane = self._lane_of(link)
        if lane is None:
            return
        lane.links.remove(link)
        if not link.useful:
            lane.failures += 1  # a host that accepts and hangs up must not be stormed either
        ending = link.connection.ending
        if ending is not None and ending.cause is not Cause.DRAINED:
            self._last_error = ending.sentence
        if ending is not None and ending.cause is Cause.STATEFUL_HEADERS:
            self._settings = replace(self._settings, stateful_headers=True)
        if lane.waiting:
            self._dispatch(lane)

    def _lanes(self) -> list[_Lane]:
        return [self._bulk] if self._urgent is self._bulk else [self._bulk, self._urgent]

    def _lane_of(self, link: Link) -> _Lane | None:
        return next((lane for lane in self._lanes() if link in lane.links), None)

    async def _run(self, batch: Batch, *, urgent: bool, avoid: Link | None) -> Link | None:
        """One attempt: waits for a link, then until the batch has ended; returns the link."""
        if self._closing:
            self._refuse(batch)
            return None
        loop = asyncio.get_running_loop()
        job = _Job(batch, loop.create_future(), urgent, avoid, told=batch.on_done)
        batch.on_done = job.finish
        lane = self._urgent if urgent else self._bulk
        lane.waiting.append(job)
        expiry = loop.call_later(batch.deadline_s, self._expire, lane, job)
        try:
            self._dispatch(lane)
            await job.done
        finally:
            expiry.cancel()
            batch.on_done = job.told
            if job in lane.waiting:
                lane.waiting.remove(job)
        return job.link

    def _dispatch(self, lane: _Lane) -> None:
        """Gives waiting batches to links with room, and opens another link if some still wait."""
        for _ in range(len(lane.waiting)):
            job = lane.waiting[0]
            link = self._roomiest(lane, job.avoid)
            if link is None:
                break
            lane.waiting.popleft()
            job.link = link
            link.submit(job.batch, urgent=job.urgent)
        if lane.waiting and lane.opening is None and len(lane.links) < lane.size:
            lane.opening = asyncio.get_running_loop().create_task(self._open(lane))

    def _roomiest(self, lane: _Lane, avoid: Link | None) -> Link | None:
        candidates = [link for link in lane.links if link.connection.capacity > 0]
        others = [link for link in candidates if link is not avoid]
        if not others and candidates and len(lane.links) < lane.size:
            return None  # a request refused here is better tried on a link still to be opened
        pick = others or candidates
        return max(pick, key=lambda link: link.connection.capacity) if pick else None

    async def _open(self, lane: _Lane) -> None:
        """Opens one link; after a failure, everything that waits is told and the next one rests."""
        try:
            if lane.failures:
                await self._clock.sleep(self._back_off_s(lane.failures))
            async with asyncio.timeout(self._config.connect_s):
                await self._connect(lane)
        except (Http2NotOfferedError, EgressForbiddenError) as error:
            self._tell_waiting(lane, error)
        except (TimeoutError, *OPENING_ERRORS) as error:
            self._last_error = f"{type(error).__name__}: {error}"
            if not lane.links:
                self._refuse_waiting(lane)
        finally:
            lane.opening = None
        if lane.waiting and not self._closing:
            self._dispatch(lane)

    def _back_off_s(self, failures: int) -> float:
        """Doubles up to a bound, of which a random half to whole is waited."""
        bound: float = min(_BACK_OFF_LAST_S, _BACK_OFF_FIRST_S * 2 ** min(failures - 1, 10))
        return bound * (0.5 + 0.5 * self._chance.fraction())

    async def _connect(self, lane: _Lane) -> None:
        """Try each address; TLS still asks for the host's name."""
        found = (self._config.host,) if self._find is None else await self._find()
        patience_s = self._config.connect_s / len(found)
        for address in found:
            try:
                async with asyncio.timeout(patience_s):
                    await self._connect_to(address, lane)
            except (TimeoutError, *OPENING_ERRORS):
                if address == found[-1]:
                    raise
            else:
                return

    async def _connect_to(self, address: str, lane: _Lane) -> None:
        config = self._config
        connection = Connection(
            config.authority, settings=self._settings, now=self._clock.monotonic()
        )
        tls = None
        if config.tls is not None:
            tls = TlsPipe(config.tls, config.server_name or config.host)
        tunnel = None if config.proxy is None else Tunnel(config.proxy, address, config.port)
        host, port = (address, config.port) if tunnel is None else tunnel.address
        link = Link(
            connection,
            Route(tls=tls, tunnel=tunnel),
            self,
            self._clock.monotonic,
            coalesce=not lane.urgent,
        )
        lane.links.append(link)
        try:
            await asyncio.get_running_loop().create_connection(lambda: link, host, port)
            await link.ready
        except BaseException as error:
            link.abort(str(error))
            raise

    def _expire(self, lane: _Lane, job: _Job) -> None:
        """A batch that got no link within its deadline was never written."""
        if job in lane.waiting:
            lane.waiting.remove(job)
            self._refuse(job.batch)

    def _refuse_waiting(self, lane: _Lane) -> None:
        waiting, lane.waiting = lane.waiting, deque()
        for job in waiting:
            self._refuse(job.batch)

    @staticmethod
    def _tell_waiting(lane: _Lane, error: Exception) -> None:
        waiting, lane.waiting = lane.waiting, deque()
        for job in waiting:
            if not job.done.done():
                job.done.set_exception(error)

    @staticmethod
    def _refuse(batch: Batch) -> None:
        batch.failures.update(dict.fromkeys(range(batch.claimed, len(batch)), Failure.REFUSED))
        batch.claimed = len(batch)
        batch.left = 0
        if batch.on_done is not None:
            batch.on_done(batch)
