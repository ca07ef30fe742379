"""Accepting messages: many requests, one transaction.

A message goes to its device at once where that is connected here. Messages are gathered for some
milliseconds and stored together; one that its device acknowledged before is never written at all.
A sender is answered when its message has arrived or is committed, never before.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final

from clarion.ports.pushservice import (
    DeviceNumber,
    NodeNumber,
    Push,
    PushId,
    PushMessages,
    ReceiptStatus,
    Stored,
)
from clarion.ports.store import StoreUnavailableError
from clarion.ports.system import Clock
from clarion.pushservice.connections import Connections
from clarion.pushservice.refusals import Refusal, RefusedError

MAX_GROUP: Final = 2_000


class Fate(Enum):
    """What a sender is told."""

    ACCEPTED = "accepted"
    GONE = "gone"
    FULL = "full"
    UNAVAILABLE = "unavailable"


_ACCEPTED: Final = Fate.ACCEPTED
_OF_STORED: Final = {
    Stored.GONE: Fate.GONE, Stored.KEPT: Fate.ACCEPTED, Stored.FULL: Fate.FULL,
}  # fmt: skip


@dataclass(slots=True)
class _Open:
    """A message whose sender waits."""

    push: Push
    tell: Callable[[Fate], None]
    arrived: ReceiptStatus | None = None
    cancelled: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptingPorts:
    """What accepting needs."""

    messages: PushMessages
    late: Callable[[DeviceNumber, PushId, ReceiptStatus], None]
    """Told of messages that were stored although they had arrived meanwhile."""
    connections: Connections
    clock: Clock
    node: NodeNumber


class Accepting:
    """Messages between their request and their commit."""

    def __init__(self, ports: AcceptingPorts, *, every_s: float, most: int) -> None:
        self._ports = ports
        self._every_s = every_s
        self._most = most
        self._open: dict[PushId, _Open] = {}
        self._gathered: dict[PushId, _Open] = {}
        self._some = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many senders wait."""
        return len(self._open)

    def offer(self, push: Push, tell: Callable[[Fate], None], *, store: bool) -> None:
        """Take a message.

        Args:
            push: the message.
            tell: called once, with what its sender is to be told.
            store: False for one that is delivered now or never (a TTL of 0).

        Raises:
            RefusedError: too many wait already.
        """
        still_open = self._open
        if len(still_open) >= self._most:
            raise RefusedError(Refusal.BUSY)
        direct = self._ports.connections.direct(push)
        if not store and (direct or push.receipt is None):
            tell(_ACCEPTED)
            return
        still_open[push.id] = self._gathered[push.id] = _Open(push, tell)
        self._some.set()

    def arrived(self, push: PushId, status: ReceiptStatus) -> bool:
        """A device has a message; True where nothing of it is or will be stored."""
        entry = self._open.get(push)
        if entry is None:
            return False
        entry.arrived = status
        if entry.push.receipt is None:  # nothing of it has to be written any more
            self._gathered.pop(push, None)  # the group may wait long for the store
            del self._open[push]
            entry.tell(_ACCEPTED)
        return True

    def cancel(self, push: PushId) -> bool:
        """A sender withdraws a message that is not stored yet."""
        entry = self._open.get(push)
        if entry is None:
            return False
        entry.cancelled = True
        return True

    async def run(self) -> None:
        """Store group after group, until cancelled; what is open then is stored once more."""
        try:
            while True:
                await self._some.wait()
                await self._ports.clock.sleep(self._every_s)
                await self._group()
        finally:
            while self._gathered:
                await self._group()

    async def _group(self) -> None:
        group = list(islice(self._gathered.values(), MAX_GROUP))
        for entry in group:
            del self._gathered[entry.push.id]
        if not self._gathered:
            self._some.clear()
        now = self._ports.clock.now()
        over = [entry for entry in group if entry.arrived or entry.cancelled]
        told = [
            (entry.push, entry.arrived)
            for entry in over
            if entry.arrived is not None and entry.push.receipt is not None
        ]
        kept = [entry for entry in group if not entry.arrived and not entry.cancelled]
        try:
            if kept or told:
                became = await self._ports.messages.store(
                    [entry.push for entry in kept], told, self._ports.node, now
                )
            else:
                became = []
        except StoreUnavailableError:
            for entry in group:
                untold = entry.arrived is not None and entry.push.receipt is None
                fate = Fate.ACCEPTED if untold or entry.cancelled else Fate.UNAVAILABLE
                self._answer(entry, fate)
            return
        for entry in over:
            self._answer(entry, Fate.ACCEPTED)
        for entry, stored in zip(kept, became, strict=True):
            fate = _OF_STORED[stored]
            if entry.arrived is not None:
                self._ports.late(entry.push.device, entry.push.id, entry.arrived)
                fate = Fate.ACCEPTED
            self._answer(entry, fate)
        # A device may have come back while the group was committed, and looked too early.
        connections = self._ports.connections
        connections.wake(
            entry.push.device
            for entry in kept
            if not entry.arrived and not connections.on_the_way(entry.push)
        )

    def _answer(self, entry: _Open, fate: Fate) -> None:
        if self._open.pop(entry.push.id, None) is not None:  # else it arrived, and is answered
            entry.tell(fate)
