"""How long the head of a request may take, and how long it may be.

uvicorn with httptools waits for a head as long as it takes, and keeps as much of it as comes: who
sends one slowly, or without end, would hold a connection or the memory of the process, and need no
key for it.
"""

import asyncio
from typing import Final

from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_TIME_S: Final = 20.0
"""Seconds that a head may take to arrive; the first one's from the connection on."""
HEAD_OCTETS: Final = 65_536
"""Octets of a head, besides those that come in one piece with its beginning."""
_TOO_LATE: Final = b"408 Request Timeout"
_TOO_LONG: Final = b"431 Request Header Fields Too Large"
"""RFC 6585 section 5."""


class HeadLimits(HttpToolsProtocol):
    """uvicorn's protocol, with a clock and a measure for heads."""

    head_time_s = HEAD_TIME_S

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._in_head = True
        self._asked = False
        self._head_octets = 0
        self._head_due: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        super().connection_made(transport)
        self._head_due = self.loop.call_later(self.head_time_s, self._head_late)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.head_is_here()
        super().connection_lost(exc)

    @override
    def on_message_begin(self) -> None:
        self._in_head, self._asked, self._head_octets = True, True, 0
        super().on_message_begin()

    @override
    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    @override
    def data_received(self, data: bytes) -> None:
        self._head_octets += len(data)
        super().data_received(data)
        if not self._in_head:
            self.head_is_here()
        elif self._head_octets > HEAD_OCTETS:
            self._refuse(_TOO_LONG)
        elif self._head_due is None:
            self._head_due = self.loop.call_later(self.head_time_s, self._head_late)

    def head_is_here(self) -> None:
        """No head is awaited until the next one begins."""
        self._in_head = False
        if self._head_due is not None:
            self._head_due.cancel()
            self._head_due = None

    def _head_late(self) -> None:
        self._head_due = None
        if self._asked:
            self._refuse(_TOO_LATE)
        else:
            self.transport.close()

    def _refuse(self, status: bytes) -> None:
        """Close the connection, with an answer unless an earlier one is still being written."""
        if getattr(self.cycle, "response_complete", True):
            fields = b"content-length: 0\r\nconnection: close\r\n"
            self.transport.write(b"HTTP/1.1 %b\r\n%b\r\n" % (status, fields))
        self.transport.close()
