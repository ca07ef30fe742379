"""HTTP/1.1 as uvicorn speaks it, with a shorter way in and out for small exchanges.

Everything that guards a connection is uvicorn's (pipelining, keep-alive, upgrades), and the limits
of a head are those of `clarion.app.head_limits`. What is added is the ASGI extension
`clarion.api.exchange.SHORT`: a body that is here already is taken without waiting for it, and an
answer that is complete is written in one piece. And a request that `clarion.api.quick.QuickWay`
takes has no task: its answer is written when it is known.

A request whose head is of a known form (`clarion.app.known_heads`) does not even meet the parser.

A request is begun when all octets that came with its head are understood: what is answered with
"400 Bad Request" for what follows it has done nothing, and may be sent again.
"""

import asyncio
from typing import TYPE_CHECKING, Any, Final, cast

from starlette.types import ASGIApp, Scope
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from clarion.api.exchange import SHORT
from clarion.api.quick import PATH, QuickWay
from clarion.app.head_limits import HeadLimits, written
from clarion.app.known_heads import KnownHeads

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, HTTPScope


_HEADS: Final = KnownHeads(PATH.encode())
_SCOPE: Final[dict[str, object]] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "POST",
    "path": PATH,
    "raw_path": PATH.encode(),
    "query_string": b"",
    "root_path": "",
}
"""What all requests that are recognised have in common, as far as an answer asks for it."""


class LeanHttp(HeadLimits):
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
        self._declined: dict[str, object] | None = None
        """What the quick way said as it left a request to the parser."""

    @override
    def data_received(self, data: bytes) -> None:
        between = self._quick is not None and self._between()
        if between and self._recognised(data):
            return
        self._reading = True
        super().data_received(data)
        self._reading = False
        if self._held is not None:
            cycle, app = self._held
            self._held = None
            if not self.transport.is_closing():  # it is after octets that are no HTTP
                self._begin(cycle, app, data if between else b"")
        self._declined = None

    @override
    def _may_answer(self) -> bool:
        begun = self._held is None or self._held[0] is not self.cycle
        return super()._may_answer() if begun else True

    def _request(self) -> "tuple[RequestResponseCycle | _Brief | None, object]":
        """The latest request, and the scope of the latest head that was begun; None before."""
        return self.cycle, self.scope

    def _between(self) -> bool:
        """Whether the parser is at the start of a request, and nothing waits for an answer."""
        cycle, scope = self._request()
        if cycle is None:
            between = scope is None
        else:  # a head that is here in part has a scope already, and no cycle
            between = cycle.response_complete and not cycle.more_body and cycle.scope is scope
        return between and self.limit_concurrency is None and not self.transport.is_closing()

    def _recognised(self, data: bytes) -> bool:
        """Whether the octets are a request that was taken; if not, nothing has happened."""
        found = _HEADS.read(data)
        if found is None or self._quick is None:
            return False
        fields, body = found
        brief = _Brief(self)
        scope: dict[str, Any] = {"headers": fields, "extensions": {}}
        if not self._quick.take(scope, body, brief):
            self._declined = scope["extensions"]
            return False
        self._unset_keepalive_if_required()
        self.head_is_here()
        self.cycle = brief  # type: ignore[assignment]  # to uvicorn it is one
        return True

    @override
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        if self._reading:  # of a short request the body comes with the head
            self._held = cycle, app
        else:
            self._begin(cycle, app)

    def _begin(
        self, cycle: RequestResponseCycle, app: "ASGI3Application", data: bytes = b""
    ) -> None:
        exchange, scope = _Exchange(cycle, self), cast("Scope", cycle.scope)
        scope["extensions"] = {SHORT: {"arrived": exchange.arrived, "whole": exchange.whole}}
        whole = not (cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue)
        if whole and self._quick is not None and app is self.app and self._quick.wants(scope):
            if self._declined is not None:
                scope["extensions"] |= self._declined
            elif self._quick.take(scope, bytes(cycle.body), exchange):
                if cycle.keep_alive:
                    _HEADS.learn(data, scope["headers"])
                return
        super()._start_asgi_task(cycle, app)

    def answered_by(self, app: ASGIApp, brief: "_Brief") -> None:
        """Let this callable answer a request that has no cycle: it gets one."""
        scope = cast("HTTPScope", {**_SCOPE, "headers": [], "state": self.app_state.copy()})
        cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=brief.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.more_body, cycle.disconnected = False, brief.disconnected
        if (
            self._request()[0] is brief
        ):  # else another request has come meanwhile, and waits its turn
            self.cycle, self.scope = cycle, scope
        self.start(cycle, cast("ASGI3Application", app))

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
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        cycle.transport.write(written(cycle.default_headers, status, fields, body))
        cycle.message_event.set()
        cycle.on_response()
        return True

    def otherwise(self, app: ASGIApp) -> None:
        """Let this callable answer, as a task."""
        self._protocol.start(self._cycle, app)  # type: ignore[arg-type]  # uvicorn's own types


class _NobodyWaits:
    """In place of the event that wakes who reads a body."""

    def set(self) -> None:
        """Nothing."""


class _Brief:
    """A request that was recognised: to uvicorn its cycle, to the quick way its connection."""

    __slots__ = ("_protocol", "disconnected", "keep_alive", "response_complete", "scope")

    message_event: Final = _NobodyWaits()
    more_body: Final = False

    def __init__(self, protocol: LeanHttp) -> None:
        self._protocol = protocol
        self.scope: Final = protocol.scope
        self.disconnected = self.response_complete = False
        self.keep_alive = True

    def whole(self, status: int, fields: bytes, body: bytes) -> bool:
        """See `clarion.api.quick.Connection`."""
        protocol = self._protocol
        if protocol.flow.write_paused or not self.keep_alive:
            return False
        if self.disconnected:
            return True
        self.response_complete = True
        dated = protocol.server_state.default_headers
        protocol.transport.write(written(dated, status, fields, body))
        protocol.on_response_complete()
        return True

    def otherwise(self, app: ASGIApp) -> None:
        """See `clarion.api.quick.Connection`."""
        self._protocol.answered_by(app, self)
