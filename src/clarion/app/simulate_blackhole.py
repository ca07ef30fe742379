"""A server that takes everything at next to no cost: `clarion simulate NETWORK --blackhole`."""

import asyncio
from typing import Final, cast

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from clarion.wire.http2.blackhole import Blackhole, Delays

LOOK_EVERY_S: Final = 0.001
"""How exactly delayed answers keep their time; spinning would cost a core."""


class Blackholes:
    """Makes one blackhole a connection and counts what all of them answered."""

    def __init__(self, *, max_streams: int, latency_s: tuple[float, float], seed: int) -> None:
        self.connections = 0
        self._max_streams = max_streams
        self._latency_s = latency_s
        self._chance = np.random.default_rng(seed)
        self._open: set[BlackholeConnection] = set()
        self._answered = 0

    @property
    def answered(self) -> int:
        """Requests answered, on all connections so far."""
        return self._answered + sum(connection.core.answered for connection in self._open)

    def accept(self) -> "BlackholeConnection":
        """The protocol of a new connection."""
        self.connections += 1
        delays: Delays | None = self._draw if self._latency_s[1] > 0 else None
        core = Blackhole(max_streams=self._max_streams, delays=delays)
        return BlackholeConnection(core, self)

    def opened(self, connection: "BlackholeConnection") -> None:
        """A connection lives."""
        self._open.add(connection)

    def closed(self, connection: "BlackholeConnection") -> None:
        """A connection has ended: keep its number only."""
        if connection in self._open:
            self._open.remove(connection)
            self._answered += connection.core.answered

    def abort(self) -> None:
        """Cut every connection."""
        for connection in tuple(self._open):
            connection.abort()

    def _draw(self, count: int) -> npt.NDArray[np.float64]:
        return self._chance.uniform(*self._latency_s, count)


class BlackholeConnection(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, core: Blackhole, owner: Blackholes) -> None:
        self.core = core
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._looking = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by form, not by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._owner.opened(self)
        self._flush()

    @override
    def data_received(self, data: bytes) -> None:
        self.core.feed(data, self._loop.time())
        self._flush()
        if self.core.waiting and not self._looking:
            self._looking = True
            self._loop.call_later(LOOK_EVERY_S, self._look)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._owner.closed(self)

    @override
    def pause_writing(self) -> None:
        # A client that does not read its answers is not read either.
        if self._transport is not None:
            self._transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def abort(self) -> None:
        """Cut the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        data = self.core.pull()
        if data and self._transport is not None:
            self._transport.write(data)

    def _look(self) -> None:
        self._looking = self._transport is not None and self.core.waiting
        if self._transport is None or not self._looking:
            return
        answers = self.core.due(self._loop.time())
        if answers:
            self._transport.write(b"".join(answers))
        self._loop.call_later(LOOK_EVERY_S, self._look)
