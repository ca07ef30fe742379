"""The API as one ASGI callable: request id, route, key, quota, handler, answer; in that order."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from clarion.api import cors
from clarion.api.auth import authenticate, require
from clarion.api.dependencies import ApiDependencies
from clarion.api.exchange import (
    SECURITY,
    SECURITY_FIELDS,
    Answer,
    ClientGoneError,
    Exchange,
    Headers,
    Stream,
)
from clarion.api.grouping import Registrar, store_rows
from clarion.api.networks import ConfiguredNetworks
from clarion.api.patience import waiting
from clarion.api.plain_messages import PlainMessages
from clarion.api.problems import ProblemError, problem_body
from clarion.api.quick import PATH, QuickWay, Shared
from clarion.api.quota import Quotas
from clarion.api.request_ids import RequestIds
from clarion.api.routes import ROUTES
from clarion.api.routing import Api, Route, Router, methods
from clarion.api.streaming import send_stream
from clarion.domain.errors import ERRORS, ErrorCode, Gravity
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.messages import MaybeSentError
from clarion.ports.store import Patience, StoreUnavailableError
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent, Metric
from clarion.wire.problem import MEDIA_TYPE

_LOGGER = logging.getLogger(__name__)
VISITORS_PER_S: Final = 5.0
VISITORS_BURST: Final = 300
"""Of one network of visitors (an IPv4 /24, an IPv6 /48), which may be an office or a carrier."""
_GOOD: Final = frozenset({200, 201, 202})
_BODILESS: Final = frozenset({204, 304})
"""RFC 9110 section 8.6: no Content-Length with a 204, nor one with a 304 that is not the 200's."""
_LEVELS: Final[Mapping[Gravity, int]] = {
    Gravity.QUIET: logging.DEBUG,
    Gravity.NOTABLE: logging.WARNING,
    Gravity.BUG: logging.ERROR,
}


def create_app(deps: ApiDependencies) -> "Application":
    """The API on the given ports."""
    return Application(deps)


class Application:
    """An ASGI application.

    Attributes:
        quick: a shorter way for who serves it; None where nothing urgent is sent.
    """

    def __init__(self, deps: ApiDependencies) -> None:
        self._deps = deps
        self._router = Router(ROUTES)
        self._quotas = Quotas(deps.limits.rate_per_s, deps.limits.rate_burst)
        networks = ConfiguredNetworks(deps.credentials, deps.clock)
        visitors = Quotas(VISITORS_PER_S, VISITORS_BURST, "visitor")
        plain = PlainMessages(deps.providers)
        registrar = Registrar(partial(store_rows, deps))
        patience = Patience(deps.limits.store_silence_s)
        self._api = Api(deps, networks, registrar, plain, visitors, patience)
        self._ids = RequestIds(deps.chance)
        shared = Shared(self._api.plain, self._quotas, self._ids, self._late)
        self.quick: Final = None if deps.urgent is None else QuickWay(deps, deps.urgent, shared)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification, version 3."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1000})
        else:
            await self._request(Exchange(scope, receive, self._deps.limits.body_time_s), send)

    async def _request(self, call: Exchange, send: Send) -> None:
        clock, metrics = self._deps.clock, self._deps.metrics
        started = clock.monotonic()
        call.request_id = self._ids.of(call.header(b"x-request-id"))
        extra: list[tuple[bytes, bytes]] = [(b"x-request-id", call.request_id.encode())]
        route: list[Route] = []
        try:
            answer = await self._answer(call, route.append, extra)
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001  the edge of the process: a bug is logged once
            answer = self._refused(call, error)
        if route and route[0].public:
            extra.extend(cors.headers(call, route, self._deps.allowed_origins))
        if isinstance(answer, Stream):
            status = 200
            await self._stream(answer, call, send, (*extra, *SECURITY))
        else:
            status = answer.status
            await _send(answer, extra, send, call)
        name = route[0].path if route else "unknown"
        metrics.add(Metric.HTTP_REQUESTS, name, str(status))
        metrics.observe(Metric.HTTP_SECONDS, clock.monotonic() - started, name)

    def unread(self, problem: ProblemError) -> tuple[int, bytes, bytes]:
        """What whoever serves this answers where no request was understood.

        Returns:
            Status, encoded header fields, body; the connection is to be closed.
        """
        request_id = self._ids.next()
        self._note(problem, request_id)
        body = problem_body(problem, instance=None, request_id=request_id)
        fields = (
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
            *SECURITY,
        )
        return ERRORS[problem.code].status, b"".join(map(b"%b: %b\r\n".__mod__, fields)), body

    def _late(
        self, found: Callable[[], Answer], request_id: str, headers: Headers, started: float
    ) -> ASGIApp:
        """Sends what is found, or the problem that is raised: the end of the quick way."""

        async def say(scope: Scope, receive: Receive, send: Send) -> None:
            call = Exchange(scope, receive, self._deps.limits.body_time_s)
            call.request_id = request_id
            try:
                answer = found()
            except Exception as error:  # noqa: BLE001  as above
                answer = self._refused(call, error)
            await _send(answer, [(b"x-request-id", request_id.encode()), *headers], send, call)
            seconds = self._deps.clock.monotonic() - started
            self._deps.metrics.add(Metric.HTTP_REQUESTS, PATH, str(answer.status))
            self._deps.metrics.observe(Metric.HTTP_SECONDS, seconds, PATH)

        return say

    async def _answer(
        self, call: Exchange, name: Callable[[Route], None], extra: list[tuple[bytes, bytes]]
    ) -> Answer | Stream:
        raw_path: bytes = call.scope.get("raw_path") or call.path.encode()
        if call.method == "OPTIONS":
            return self._options(call, raw_path, name)
        route, call.params = self._router.find(call.method, raw_path.partition(b"?")[0])
        name(route)
        if route.scope is not None:
            now = self._deps.clock.now()
            with waiting(self._api.patience):
                call.key = await authenticate(self._deps.keys, call.header(b"authorization"), now)
            quota = self._quotas.take(call.key.id, self._deps.clock.monotonic())
            extra += (quota, self._quotas.policy)
            require(call.key, route.scope)
        with waiting(None if route.long_work or route.body_media else self._api.patience):
            return await route.handle(self._api, call)

    async def _stream(self, answer: Stream, call: Exchange, send: Send, extra: Headers) -> None:
        """Send a stream; after its start there is no other status to answer with."""
        try:
            await send_stream(answer, call, send, extra)
        except Exception as error:
            log(
                _LOGGER,
                logging.ERROR,
                LogEvent.REQUEST_FAILED,
                error=error,
                request_id=call.request_id,
            )
            raise

    def _options(
        self, call: Exchange, raw_path: bytes, name: Callable[[Route], None]
    ) -> Answer | Stream:
        """What a path takes; for a browser's preflight also what pages may send."""
        by_method = self._router.at(raw_path)
        asked = call.header(b"access-control-request-method")
        chosen = by_method.get(asked or "")
        if chosen is not None:
            name(chosen)
        return Answer(204, headers=((b"allow", ", ".join(methods(by_method)).encode()),))

    def _refused(self, call: Exchange, error: Exception) -> Answer:
        """The problem that an error is for the client."""
        if isinstance(error, ProblemError):
            return self._refusal(call, error)
        if isinstance(error, StoreUnavailableError | FactsUnavailableError):
            return self._refusal(call, _unavailable(error, call.request_id))
        log(
            _LOGGER,
            logging.ERROR,
            LogEvent.REQUEST_FAILED,
            error=error,
            request_id=call.request_id,
        )
        sentence = "The request met a bug of the server; its log has the request id."
        return self._refusal(call, ProblemError(ErrorCode.INTERNAL_ERROR, sentence))

    def _refusal(self, call: Exchange, problem: ProblemError) -> Answer:
        self._note(problem, call.request_id)
        body = problem_body(problem, instance=call.path, request_id=call.request_id)
        headers = tuple((n.encode(), v.encode("latin-1")) for n, v in problem.headers.items())
        return Answer(ERRORS[problem.code].status, body, MEDIA_TYPE.encode(), headers)

    def _note(self, problem: ProblemError, request_id: str) -> None:
        """Count a refusal, and log one that is the client's own affair."""
        self._deps.metrics.add(Metric.HTTP_PROBLEMS, problem.code.value)
        kind = ERRORS[problem.code]
        if kind.gravity is Gravity.QUIET:
            log(
                _LOGGER,
                _LEVELS[kind.gravity],
                LogEvent.REQUEST,
                code=problem.code.value,
                request_id=request_id,
            )


def _unavailable(
    error: StoreUnavailableError | FactsUnavailableError, request_id: str
) -> ProblemError:
    retry = {"retry-after": "1"}
    if isinstance(error, StoreUnavailableError):
        event, code = LogEvent.STORE_UNAVAILABLE, ErrorCode.STORE_UNAVAILABLE
        detail = "The store can't be reached at the moment; try again."
        if isinstance(error, MaybeSentError):
            detail = (
                "The store did not confirm the message, which may have gone out all the same, or "
                "may do so yet. Send the same request again: with the same Idempotency-Key, or "
                "with a collapse_id, a device shows it once."
            )
    else:
        event, code = LogEvent.FACTS_UNAVAILABLE, ErrorCode.FACTS_UNAVAILABLE
        detail = "The recorded outcomes can't be read at the moment; nothing is lost."
    log(_LOGGER, logging.WARNING, event, request_id=request_id, cause=f"{error}")
    return ProblemError(code, detail, headers=retry)


async def _send(
    answer: Answer, extra: list[tuple[bytes, bytes]], send: Send, call: Exchange
) -> None:
    headers = [
        (b"content-type", answer.media_type),
        (b"content-length", b"%d" % len(answer.body)),
        *answer.headers,
        *extra,
    ]
    head = call.method == "HEAD"
    good = answer.status in _GOOD  # what refuses may also close: that is uvicorn's affair
    plain = answer.security is None
    if answer.body and good and plain and not head and _write(answer, headers, call):
        return
    headers += SECURITY if answer.security is None else answer.security
    if not answer.body:
        del headers[0]
    if answer.status in _BODILESS:
        del headers[0]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})


def _write(answer: Answer, headers: list[tuple[bytes, bytes]], call: Exchange) -> bool:
    """Hand the answer over in one piece, where the server takes it so."""
    short = call.short
    if short is None:
        return False
    fields = b"".join([b"%b: %b\r\n" % field for field in headers])
    if fields.count(b"\n") != len(headers) or fields.count(b"\r") != len(headers):
        raise ValueError("a header field has a line break")  # RFC 9110 section 5.5
    written: bool = short["whole"](answer.status, fields + SECURITY_FIELDS, answer.body)
    return written


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
