"""Messages: accepted, read, steered, traced."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from clarion.api import accepted, accepting, reporting
from clarion.api.cursor import moment_before, moment_cursor
from clarion.api.decoding import decode, number
from clarion.api.events import progress_events
from clarion.api.exchange import KIND, Answer, Exchange, Stream, json_answer
from clarion.api.patience import waiting
from clarion.api.problems import ProblemError, not_found
from clarion.api.routing import Api, Route
from clarion.api.segmenting import used
from clarion.api.shapes.messages import (
    AcceptedView,
    MessageBody,
    MessagePage,
    MessageView,
    StateName,
    SteeredView,
    TraceView,
)
from clarion.api.shapes.people import PageQuery, UserQuery
from clarion.domain.campaign import MessageInput
from clarion.domain.decided import Decided
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import MessageId, UserId
from clarion.domain.outcome import Reason
from clarion.ports.facts import AttemptFact, SignalFact
from clarion.ports.keys import Scope
from clarion.ports.messages import (
    Acceptance,
    Accepted,
    MessageRecord,
    NewMessage,
    TransitionRefusedError,
)
from clarion.ports.registry import ByExternalId, ById, PersonRecord
from clarion.ports.suppression import SuppressedBy
from clarion.telemetry.names import LogEvent, Metric

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ENCODER: Final = msgspec.json.Encoder()
_IDEMPOTENCY: Final = (
    (
        "Idempotency-Key",
        (
            "1 to 255 visible ASCII characters. The same key with the same body within 30 days is "
            "answered as the first time, with `Idempotency-Replayed: true`."
        ),
    ),
)


async def send(api: Api, call: Exchange) -> Answer:
    """Accept a message: it is durable when the answer comes.

    Urgent lanes (`call`, `transactional`) are on the wire by then. The payload is checked against
    every network that it goes to before it is accepted.
    """
    raw = await call.json_bytes(api.deps.limits.max_body)
    body = decode(raw, MessageBody)
    key = accepting.idempotency_key(call)
    now = api.deps.clock.now()
    message = MessageId(api.deps.chance.uuid7(now))
    app = call.caller.app
    ids = accepting.MessageIds(message, None if key is None else accepted.retry_id(app, key))
    checked = await accepting.check(api, body, now, app=app, ids=ids)
    lane = checked.message.lane
    state: StateName = "scheduled" if checked.scheduled else "sending"
    answer = _ENCODER.encode(
        AcceptedView(message, state, reporting.LANE_NAMES[lane], checked.send_at, now)
    )
    new = NewMessage(
        message=checked.message,
        target=checked.target,
        send_at=checked.send_at,
        request=_ENCODER.encode(body),
        key=call.caller.id,
        idempotency=None if key is None else accepted.keyed(key, raw),
        answer_status=accepted.STATUS,
        answer=answer,
        moment=checked.moment,
    )
    if checked.plain and (kind := call.extension(KIND)) is not None:
        api.plain.learn(kind, checked.message, now)
    acceptance = await _accepted(api, new, now)
    if isinstance(acceptance, Accepted):
        api.deps.metrics.add(Metric.MESSAGES_ACCEPTED, reporting.LANE_NAMES[lane])
    return accepted.answer_of(acceptance, new)


async def _accepted(api: Api, new: NewMessage, now: datetime) -> Acceptance:
    """Accept a message. What may be on the wire by then is waited for as long as it takes."""
    with waiting(None if new.message.lane.urgent else api.patience):
        return await api.deps.acceptor.accept(new, now)


async def read_page(api: Api, call: Exchange) -> Answer:
    """The app's messages, newest first."""
    query = call.query(PageQuery)
    app, key = call.caller.app, api.deps.cursor_key
    before = moment_before(query.cursor, app=app, key=key)
    records = await api.deps.messages.page(app, before=before, limit=query.limit)
    last = records[-1] if len(records) == query.limit else None
    following = None if last is None else moment_cursor(last.created_at, last.id, app=app, key=key)
    return json_answer(MessagePage([reporting.summary(r) for r in records], following))


async def read_one(api: Api, call: Exchange) -> Answer:
    """A message with its recorded outcomes."""
    record = await _record(api, call)
    counts = await api.deps.facts.counts(record.app, record.id, at_least_xid=record.xid)
    return json_answer(reporting.view(record, counts))


async def follow(api: Api, call: Exchange) -> Stream:
    """Server-sent events until the message is finished.

    `progress` events carry `ProgressView`; the last event is `end`. A comment line every 15
    seconds keeps proxies from closing the connection.
    """
    record = await _record(api, call)
    pieces = progress_events(api.deps, record.app, record.id)
    return Stream(pieces, b"text/event-stream", ((b"x-accel-buffering", b"no"),))


async def trace(api: Api, call: Exchange) -> Answer:
    """Why did this person get it, or not: every decision and attempt, in order of time."""
    by = call.query(UserQuery).by
    record = await _record(api, call)
    name = call.params["user"]
    ref = ByExternalId(external_id=name)
    if by == "id":
        person = await api.deps.people.get(record.app, ById(id=UserId(number(name, "user"))))
    else:
        person = await api.deps.people.get(record.app, ref)
    if person is None:
        raise not_found("user")
    deps = api.deps
    attempts: list[AttemptFact] = []
    decided: list[Decided] = []
    signals: list[SignalFact] = []
    # What the person was sent before a login is recorded under the number that they had then.
    for user in await deps.people.numbers(record.app, person.id):
        theirs = (record.app, record.id, user)
        decided += await deps.facts.decisions(*theirs, at_least_xid=record.xid)
        attempts += await deps.facts.trace(*theirs, at_least_xid=record.xid)
        signals += await deps.facts.signals(*theirs)
    chosen_by = {pair for one in decided for pair in one.segments.items()}
    part = reporting.Part(
        attempts=sorted(attempts, key=lambda attempt: attempt.at),
        decided=decided,
        signals=sorted(signals, key=lambda signal: signal.at),
        devices=await deps.devices.of_person(record.app, person.id),
        digests=await deps.messages.digest_parts(record.id, person.id),
        segments=await used(deps.segments, record.app, chosen_by),
        suppressed_by=await _suppressed_by(api, person, attempts),
        too_old=record.finished_at is not None
        and record.finished_at < deps.clock.now() - timedelta(days=deps.limits.outcomes_days),
    )
    return json_answer(reporting.trace(record, person, part))


async def _suppressed_by(
    api: Api, person: PersonRecord, told: Sequence[AttemptFact]
) -> Sequence[SuppressedBy]:
    """The lists that kept the person from a message: those that had the name at the time."""
    times = [one.at for one in told if one.reason is Reason.SUPPRESSION_LIST]
    if not times or person.external_id is None:
        return []
    lists = await api.deps.suppressions.with_name(person.app, person.external_id)
    return [one for one in lists if one.since <= max(times)]


async def cancel(api: Api, call: Exchange) -> Answer:
    """Withdraw a message: what was not sent yet is recorded as canceled."""
    return await _steer(api, call, MessageInput.CANCEL)


async def pause(api: Api, call: Exchange) -> Answer:
    """Hold a message; what is on the wire is finished."""
    return await _steer(api, call, MessageInput.PAUSE)


async def resume(api: Api, call: Exchange) -> Answer:
    """Go on with a paused message."""
    return await _steer(api, call, MessageInput.RESUME)


async def _steer(api: Api, call: Exchange, what: MessageInput) -> Answer:
    message, now = _id(call), api.deps.clock.now()
    try:
        state = await api.deps.messages.steer(call.caller.app, message, what, now)
    except TransitionRefusedError as error:
        name = error.state.name.lower()
        raise ProblemError(
            ErrorCode.STATE_CONFLICT, f"The message is {name}, which does not allow {what}."
        ) from None
    if state is None:
        raise _no_such(api, message)
    call.note(LogEvent.MESSAGE_STEERED, message=message, what=what.value)
    return json_answer(SteeredView(message, reporting.STATE_NAMES[state]))


def _id(call: Exchange) -> MessageId:
    text = call.params["id"].lower()
    if not _UUID.fullmatch(text):
        raise not_found("message")
    return MessageId(text)


async def _record(api: Api, call: Exchange) -> MessageRecord:
    message = _id(call)
    record = await api.deps.messages.get(call.caller.app, message)
    if record is None:
        raise _no_such(api, message)
    return record


def _no_such(api: Api, message: MessageId) -> ProblemError:
    """An id tells when it was made (RFC 9562 section 5.7): an old one may have been kept once."""
    days = api.deps.limits.messages_days
    milliseconds = int(message[:8] + message[9:13], 16)
    age_ms = api.deps.clock.now().timestamp() * 1000 - milliseconds
    if age_ms < days * 86_400_000:
        return not_found("message")
    return ProblemError(
        ErrorCode.NOT_FOUND,
        f"This app has no such message, or no longer: messages are kept for {days} days after "
        "they ended.",
    )


def _command(name: Literal["cancel", "pause", "resume"]) -> Route:
    handle = {"cancel": cancel, "pause": pause, "resume": resume}[name]
    return Route(
        method="POST",
        path=f"/v1/messages/{{id}}:{name}",
        handle=handle,
        summary=f"{name.capitalize()} a message",
        tag="Messages",
        scope=Scope.SEND,
        answers={200: SteeredView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.STATE_CONFLICT),
    )


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/messages",
        handle=send,
        summary="Send a message",
        tag="Messages",
        scope=Scope.SEND,
        body=MessageBody,
        answers={202: AcceptedView},
        errors=(
            ErrorCode.HEADER_INVALID,
            ErrorCode.MESSAGE_REFUSED,
            ErrorCode.CATEGORY_UNKNOWN,
            ErrorCode.IDEMPOTENCY_KEY_REUSED,
            ErrorCode.IDEMPOTENCY_IN_FLIGHT,
        ),
        headers=_IDEMPOTENCY,
    ),
    Route(
        method="GET",
        path="/v1/messages",
        handle=read_page,
        summary="List messages",
        tag="Messages",
        scope=Scope.SEND,
        query=PageQuery,
        answers={200: MessagePage},
        errors=(ErrorCode.CURSOR_INVALID,),
    ),
    Route(
        method="GET",
        path="/v1/messages/{id}",
        handle=read_one,
        summary="Show a message and its outcomes",
        tag="Messages",
        scope=Scope.SEND,
        answers={200: MessageView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.FACTS_UNAVAILABLE),
    ),
    Route(
        method="GET",
        path="/v1/messages/{id}/events",
        handle=follow,
        summary="Follow a message's progress",
        tag="Messages",
        scope=Scope.SEND,
        answers={200: "text/event-stream"},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/v1/messages/{id}/recipients/{user}",
        handle=trace,
        summary="Trace one person's part in a message",
        tag="Messages",
        scope=Scope.SEND,
        query=UserQuery,
        answers={200: TraceView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.FACTS_UNAVAILABLE),
    ),
    _command("cancel"),
    _command("pause"),
    _command("resume"),
)
