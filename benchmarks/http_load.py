"""A light HTTP/1.1 client for load: keep-alive connections, one request at a time on each.

It costs a fraction of what the server does, which a general client on the same cores would not.
"""

import asyncio
import contextlib
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, cast

import numpy as np
import numpy.typing as npt
from typing_extensions import override

Floats = npt.NDArray[np.float64]

_TICK_S: Final = 0.001
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def post(path: str, key: str, body: bytes) -> bytes:
    """A POST of JSON as octets."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


class Connection(asyncio.Protocol):
    """A connection that tells whoever made it when an answer is complete."""

    def __init__(self, answered: Callable[["Connection", int], None]) -> None:
        self.number = -1
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._octets = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, number: int, request: bytes) -> None:
        """Send a request; its number is kept until the answer is there."""
        assert self._transport is not None
        self.number = number
        self._transport.write(request)

    @override
    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._octets:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            found = _LENGTH.search(self._data, 0, end)
            self._octets = end + 4 + (int(found[1]) if found else 0)
        if len(self._data) >= self._octets:
            status = int(self._data[9:12])
            self._data, self._octets = b"", 0
            self._answered(self, status)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self.number >= 0:
            self._answered(self, 0)

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()


class Load:
    """Numbered requests over some connections, and when each was due, sent and answered.

    Attributes:
        due: monotonic seconds; NaN where requests follow each other without a schedule.
        sent: monotonic seconds; NaN where no connection was free until the end.
        answered: monotonic seconds; NaN without an answer.
        status: of HTTP; 0 where there was none.
    """

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.due: Floats = np.full(len(requests), np.nan)
        self.sent: Floats = np.full(len(requests), np.nan)
        self.answered: Floats = np.full(len(requests), np.nan)
        self.status = np.zeros(len(requests), np.uint16)
        self._port = port
        self._requests = requests
        self._left = len(requests)
        self._idle: list[Connection] = []
        self._late: deque[int] = deque()
        self._done = asyncio.Event()

    async def open(self, connections: int) -> None:
        """Connect."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, made = await loop.create_connection(
                lambda: Connection(self._answered), "127.0.0.1", self._port
            )
            self._idle.append(made)

    async def at_rate(self, per_s: float, patience_s: float) -> None:
        """Send each request when it is due, whatever became of those before (an open loop).

        Ends `patience_s` after the last was due at the latest.
        """
        self.due = time.monotonic() + _TICK_S + np.arange(len(self._requests)) / per_s
        due, at = self.due.tolist(), 0
        while at < len(due):
            now = time.monotonic()
            while at < len(due) and due[at] <= now:
                self._late.append(at)
                at += 1
            self._send_late()
            await asyncio.sleep(_TICK_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), patience_s)
        self._late.clear()

    async def in_turns(self) -> float:
        """Send each request as soon as a connection is free (a closed loop); seconds."""
        started = time.monotonic()
        self._late.extend(range(len(self._requests)))
        self._send_late()
        await self._done.wait()
        return time.monotonic() - started

    def close(self) -> None:
        """Close the connections."""
        for connection in self._idle:
            connection.close()

    def _send_late(self) -> None:
        while self._idle and self._late:
            number = self._late.popleft()
            self.sent[number] = time.monotonic()
            self._idle.pop().ask(number, self._requests[number])

    def _answered(self, connection: Connection, status: int) -> None:
        number, connection.number = connection.number, -1
        self.answered[number] = time.monotonic()
        self.status[number] = status
        self._left -= 1
        if status:
            self._idle.append(connection)
            self._send_late()
        if not self._left:
            self._done.set()
