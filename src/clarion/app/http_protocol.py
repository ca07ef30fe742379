"""HTTP/1.1 as uvicorn speaks it, with a shorter way in and out for small exchanges.

Everything that guards a connection (limits, pipelining, keep-alive, upgrades) is uvicorn's. What
is added is the ASGI extension `clarion.api.exchange.SHORT`: a body that is here already is taken
without waiting for it, and an answer that is complete is written in one piece.
"""

from typing import TYPE_CHECKING

from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from clarion.api.exchange import SHORT

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application


class LeanHttp(HttpToolsProtocol):
    """What `uvicorn.Config(http=...)` takes."""

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        exchange = _Exchange(cycle)
        cycle.scope["extensions"] = {SHORT: {"arrived": exchange.arrived, "whole": exchange.whole}}
        super()._start_asgi_task(cycle, app)


class _Exchange:
    """The short way through one of uvicorn's cycles."""

    __slots__ = ("_cycle",)

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def arrived(self) -> bytes | None:
        """The body, or None while some of it is still to come."""
        cycle = self._cycle
        if cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        body, cycle.body = bytes(cycle.body), bytearray()
        cycle.message_event.clear()
        cycle.flow.resume_reading()
        return body

    def whole(self, status: int, fields: bytes, body: bytes) -> bool:
        """Write an answer (fields: encoded, with `content-length`); False: use `send` instead."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.response_started or not cycle.keep_alive:
            return False
        if cycle.disconnected:
            return True  # nobody is left to read it
        date = b"".join([b"%b: %b\r\n" % field for field in cycle.default_headers])
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(b"".join((STATUS_LINE[status], date, fields, b"\r\n", body)))
        cycle.message_event.set()
        cycle.on_response()
        return True
