"""The short way of plain words to a few named people: no task, no routing, nothing asked twice.

It answers like the long way (`clarion.api.server`, `clarion.api.routes.messages`), octet by octet,
and takes a request only if nothing about it is in doubt: the key is remembered, the body is here
and has nothing but texts and names, and a message of its kind has been checked a moment ago.
Everything else, what has to be refused included, goes the long way.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Final, Literal, NamedTuple, Protocol

import msgspec
from starlette.types import ASGIApp, Scope

from clarion.api import accepted, reporting
from clarion.api.accepting import IDEMPOTENCY_HEADER, MAX_URGENT, VISIBLE
from clarion.api.auth import RANK
from clarion.api.dependencies import ApiDependencies
from clarion.api.exchange import JSON, KIND, SECURITY_FIELDS, Answer, Headers
from clarion.api.plain_messages import PLAIN_CHARACTERS, Kind, PlainMessages
from clarion.api.problems import ProblemError
from clarion.api.quota import Quotas
from clarion.api.request_ids import RequestIds
from clarion.api.shapes.messages import AcceptedView
from clarion.api.shapes.text import NO_CONTROL, NO_CONTROL_BUT_LINES, Name
from clarion.domain.app_rules import Moment
from clarion.domain.content import Content, Message
from clarion.domain.ids import MessageId
from clarion.domain.lanes import Lane
from clarion.ports import keys
from clarion.ports.messages import Acceptance, Accepted, NewMessage, Target, UrgentQueue
from clarion.telemetry.names import Metric

PATH: Final = "/v1/messages"
MAX_OCTETS: Final = 8_192

_RAW_PATH: Final = PATH.encode()
_ANY_MOMENT: Final = Moment()
_BEARER: Final = b"Bearer "
_ENCODER: Final = msgspec.json.Encoder()
_Line = Annotated[str, msgspec.Meta(max_length=PLAIN_CHARACTERS, pattern=NO_CONTROL)]
_Text = Annotated[str, msgspec.Meta(max_length=PLAIN_CHARACTERS, pattern=NO_CONTROL_BUT_LINES)]


class PlainTo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A few people by their external ids."""

    users: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=MAX_URGENT)]


class PlainBody(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The part of `MessageBody` that goes the short way, in its order."""

    title: _Line | None = None
    subtitle: _Line | None = None
    body: _Text | None = None
    to: PlainTo
    category: Name | None = None
    lane: Literal["call", "transactional"] | None = None


_DECODER: Final = msgspec.json.Decoder(PlainBody)


class Connection(Protocol):
    """Where the answer goes."""

    def whole(self, status: int, fields: bytes, body: bytes) -> bool:
        """Write a complete answer in one piece; False if it has not."""
        ...

    def otherwise(self, app: ASGIApp) -> None:
        """Let this callable answer, as if the request had been its from the start."""
        ...


class Shared(NamedTuple):
    """What the long way has too, each of them once."""

    plain: PlainMessages
    quotas: Quotas
    ids: RequestIds
    late: Callable[[Callable[[], Answer], str, Headers, float], ASGIApp]
    """Makes the callable that sends what a function returns, or the problem that it raises."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What the answer needs of a request that was taken."""

    connection: Connection
    request_id: str
    quota: tuple[bytes, bytes]
    new: NewMessage
    started: float


class QuickWay:
    """Takes requests to `POST /v1/messages` that need no more than this."""

    def __init__(self, deps: ApiDependencies, queue: UrgentQueue, shared: Shared) -> None:
        self._deps = deps
        self._queue = queue
        self._shared = shared
        self._octets = min(MAX_OCTETS, deps.limits.max_body)
        self._lanes: Counter[Lane] = Counter()
        self._seconds: list[float] = []

    def wants(self, scope: Scope) -> bool:
        """Whether the request may be one, by its method and path."""
        return bool(scope["raw_path"] == _RAW_PATH and scope["method"] == "POST")

    def take(self, scope: Scope, raw: bytes, connection: Connection) -> bool:
        """True: the connection gets its answer later. False: nothing has happened."""
        deps, shared = self._deps, self._shared
        started, now = deps.clock.monotonic(), deps.clock.now()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if len(raw) > self._octets or headers.get(b"content-type") != JSON:
            return False
        key = self._caller(headers, now)
        body = None if key is None else _decoded(raw)
        if key is None or body is None or len(body.to.users) > deps.limits.max_recipients:
            return False
        retry = headers.get(IDEMPOTENCY_HEADER, b"").decode("latin-1")
        if IDEMPOTENCY_HEADER in headers and not VISIBLE.fullmatch(retry):
            return False
        kind = Kind(key.app, body.lane, body.category, _texts(body))
        ruled = shared.plain.ruled(kind, now)
        if ruled is None:
            scope["extensions"][KIND] = kind  # the long way tells what it finds out
            return False
        try:
            quota = shared.quotas.take(key.id, started)
        except ProblemError:
            return False
        message = MessageId(deps.chance.uuid7(now))
        view = AcceptedView(message, "sending", reporting.LANE_NAMES[ruled.lane], now, now)
        new = NewMessage(
            message=Message(
                id=message,
                app=key.app,
                lane=ruled.lane,
                content=Content(title=body.title, subtitle=body.subtitle, body=body.body),
                category=ruled.category,
                retry_id=accepted.retry_id(key.app, retry) if retry else None,
            ),
            target=Target(users=body.to.users),
            send_at=now,
            request=_ENCODER.encode(body),
            key=key.id,
            idempotency=accepted.keyed(retry, raw) if retry else None,
            answer_status=accepted.STATUS,
            answer=_ENCODER.encode(view),
            moment=_ANY_MOMENT,
        )
        taken = _Taken(connection, _request_id(shared.ids, headers), quota, new, started)
        self._queue.enter(new).add_done_callback(partial(self._answer, taken))
        return True

    def _caller(self, headers: dict[bytes, bytes], now: datetime) -> keys.KeyRecord | None:
        """The key, where it is remembered and may send."""
        given = headers.get(b"authorization", b"")
        if not given.startswith(_BEARER):
            return None
        text = given[len(_BEARER) :].decode("latin-1")
        key = self._deps.keys.recall(text, now)
        return key if key is not None and RANK[key.scope] >= RANK[keys.Scope.SEND] else None

    def _answer(self, taken: _Taken, done: asyncio.Future[Acceptance]) -> None:
        deps, new, quotas = self._deps, taken.new, self._shared.quotas
        if done.exception() is None and isinstance(done.result(), Accepted):
            fields = (
                b"content-type: application/json\r\ncontent-length: %d\r\nlocation: %b\r\n"
                b"x-request-id: %b\r\n%b: %b\r\n%b: %b\r\n%b"
            ) % (
                len(new.answer),
                accepted.location(new.message.id),
                taken.request_id.encode(),
                *taken.quota,
                *quotas.policy,
                SECURITY_FIELDS,
            )
            self._told()
            self._lanes[new.message.lane] += 1
            if taken.connection.whole(accepted.STATUS, fields, new.answer):
                self._seconds.append(deps.clock.monotonic() - taken.started)
                return
        extra = (taken.quota, quotas.policy)
        late = self._shared.late(
            lambda: _answer_of(done, new), taken.request_id, extra, taken.started
        )
        taken.connection.otherwise(late)

    def _told(self) -> None:
        """Count what happens in this turn of the loop, a whole group as a rule, at its end."""
        if not self._lanes:
            asyncio.get_running_loop().call_soon(self._count)

    def _count(self) -> None:
        metrics = self._deps.metrics
        for lane, number in self._lanes.items():
            name = reporting.LANE_NAMES[lane]
            metrics.add(Metric.MESSAGES_ACCEPTED, name, amount=number)
        if self._seconds:
            metrics.add(Metric.HTTP_REQUESTS, PATH, "202", amount=len(self._seconds))
            metrics.observe_all(Metric.HTTP_SECONDS, self._seconds, PATH)
        self._lanes.clear()
        self._seconds.clear()


def _answer_of(done: asyncio.Future[Acceptance], new: NewMessage) -> Answer:
    return accepted.answer_of(done.result(), new)


def _decoded(raw: bytes) -> PlainBody | None:
    """The body, where it is a plain one; the long way finds out what else it is."""
    try:
        body = _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return body if any(_texts(body)) else None


def _texts(body: PlainBody) -> tuple[bool, bool, bool]:
    return body.title is not None, body.subtitle is not None, body.body is not None


def _request_id(ids: RequestIds, headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"x-request-id")
    return ids.of(None if given is None else given.decode("latin-1"))
