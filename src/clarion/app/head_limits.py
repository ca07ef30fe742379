"""How long the head of a request may take, and how long it may be.

uvicorn with httptools waits for a head as long as it takes, and keeps as much of it as comes: who
sends one slowly, or without end, would hold a connection or the memory of the process, and need no
key for it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, cast

from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from clarion.api.problems import ProblemError
from clarion.domain.errors import ErrorCode

Unread: TypeAlias = Callable[[ProblemError], tuple[int, bytes, bytes]]
"""See `clarion.api.server.Application.unread`."""

HEAD_TIME_S: Final = 20.0
"""Seconds that a head may take to arrive; the first one's from the connection on."""
HEAD_OCTETS: Final = 65_536
"""Octets of a head, besides those that come in one piece with its beginning."""
_TOO_LATE: Final = ProblemError(
    ErrorCode.HEAD_TIMEOUT, f"The head of a request has {HEAD_TIME_S:g} seconds to arrive."
)
_TOO_LONG: Final = ProblemError(
    ErrorCode.HEAD_TOO_LARGE, f"The head of a request has at most {HEAD_OCTETS:,} octets."
)
_NO_HTTP: Final = ProblemError(
    ErrorCode.HTTP_MALFORMED, "What was sent can't be read as a request of HTTP/1.1 (RFC 9112)."
)


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
        self._unread: Final[Unread] = cast("Any", config.app).unread
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

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(_NO_HTTP)

    def _may_answer(self) -> bool:
        """Whether what is written now is not taken for the answer to an earlier request."""
        return bool(getattr(self.cycle, "response_complete", True))

    def _refuse(self, problem: ProblemError) -> None:
        """Close the connection, with an answer unless an earlier one is still being written."""
        if self.transport.is_closing():  # a head may be malformed and too long
            return
        if self._may_answer():
            status, fields, body = self._unread(problem)
            self.transport.write(written(self.server_state.default_headers, status, fields, body))
        self.transport.close()


def written(dated: Sequence[tuple[bytes, bytes]], status: int, fields: bytes, body: bytes) -> bytes:
    """A whole answer."""
    date = b"".join([b"%b: %b\r\n" % field for field in dated])
    return b"".join((STATUS_LINE[status], date, fields, b"\r\n", body))
