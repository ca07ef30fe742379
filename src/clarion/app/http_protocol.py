"""HTTP/1.1 as uvicorn speaks it, with a shorter way in and out for small exchanges.

Everything that guards a connection (limits, pipelining, keep-alive, upgrades) is uvicorn's. What
is added is the ASGI extension `clarion.api.exchange.SHORT`: a body that is here already is taken
without waiting for it, and an answer that is complete is written in one piece. And a request that
`clarion.api.quick.QuickWay` takes has no task: its answer is written when it is known.

A request is begun when all octets that came with its head are understood: what is answered with
"400 Bad Request" for what follows it has done nothing, and may be sent again.
"""

import asyncio
from typing import TYPE_CHECKING, Final, cast

from starlette.types import ASGIApp, Scope
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from clarion.api.exchange import SHORT
from clarion.api.quick import QuickWay

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application


class LeanHttp(HttpToolsProtocol):
    """What `uvicorn.Config(http=...)` takes."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, object],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._quick: Final[QuickWay | None] = getattr(config.app, "quick", None)
        self._reading = False
        self._held: tuple[RequestResponseCycle, ASGI3Application] | None = None

    @override
    def data_received(self, data: bytes) -> None:
        self._reading = True
        super().data_received(data)
        self._reading = False
        if self._held is not None:
            cycle, app = self._held
            self._held = None
            if not self.transport.is_closing():  # it is after octets that are no HTTP
                self._begin(cycle, app)

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        if self._reading:  # of a short request the body comes with the head
            self._held = cycle, app
        else:
            self._begin(cycle, app)

    def _begin(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        exchange, scope = _Exchange(cycle, self), cast("Scope", cycle.scope)
        scope["extensions"] = {SHORT: {"arrived": exchange.arrived, "whole": exchange.whole}}
        whole = not (cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue)
        if not (
            whole
            and self._quick is not None
            and app is self.app
            and self._quick.wants(scope)
            and self._quick.take(scope, bytes(cycle.body), exchange)
        ):
            super()._start_asgi_task(cycle, app)

    def start(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        """Start a task for a request that has none."""
        super()._start_asgi_task(cycle, app)


class _Exchange:
    """The short way through one of uvicorn's cycles."""

    __slots__ = ("_cycle", "_protocol")

    def __init__(self, cycle: RequestResponseCycle, protocol: LeanHttp) -> None:
        self._cycle = cycle
        self._protocol = protocol

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

    def otherwise(self, app: ASGIApp) -> None:
        """Let this callable answer, as a task."""
        self._protocol.start(self._cycle, app)  # type: ignore[arg-type]  # uvicorn's own types
