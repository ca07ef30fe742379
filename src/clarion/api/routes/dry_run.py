"""Messages tried before they are sent, what was decided of them, and deciding again."""

import re
from typing import Final

from clarion.api import accepting, segmenting
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.problems import ProblemError, field_problem, invalid, not_found
from clarion.api.routing import Api, Route
from clarion.api.segmenting import sentence
from clarion.api.shapes.messages import MessageBody
from clarion.api.shapes.trials import (
    DecisionsView,
    DryRunQuery,
    DryRunView,
    ReplayBody,
    ReplayView,
)
from clarion.api.trying import decisions_view, dry_run_view, names_of, replay_view
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import AppId, MessageId
from clarion.domain.network import Network
from clarion.domain.policy import PolicyError
from clarion.domain.segments.checking import SegmentReferenceError
from clarion.domain.send_time import instant_us
from clarion.ports.audience import AudienceUnavailableError
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.keys import Scope
from clarion.ports.messages import MessageRecord
from clarion.ports.rendering import ContentRefusedError
from clarion.stages.planning.dry_run import Trial, dry_run
from clarion.stages.planning.replay import replay as decide_again

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def try_out(api: Api, call: Exchange) -> Answer:
    """What a message would come to, without sending it: nothing is written.

    The body is that of `POST /v1/messages`. Everybody whom it is for is decided about under the
    rules as they are now, at the instant when it would be planned. What other messages use up of
    the same budgets in the meantime is not known, and not counted.
    """
    query = call.query(DryRunQuery)
    body = await call.json(MessageBody, api.deps.limits.max_body)
    app, now = call.caller.app, api.deps.clock.now()
    ids = accepting.MessageIds(MessageId(api.deps.chance.uuid7(now)), None)
    checked = await accepting.check(api, body, now, app=app, ids=ids)
    message = checked.message
    rules = await api.deps.rulebook.of(app, now)
    expires_us = None if message.expires_at is None else instant_us(message.expires_at)
    trial = Trial(
        app=app,
        message=message,
        target=checked.target,
        policy=rules.policy(message.category, checked.moment, expires_us=expires_us),
        at=checked.send_at,
        samples=query.samples,
    )
    try:
        found = await dry_run(api.deps.dry_runs, trial)
    except AudienceUnavailableError as error:
        raise FactsUnavailableError(str(error)) from error
    except SegmentReferenceError as error:
        raise invalid("/to", sentence(error.fault.sentence)) from None
    except ContentRefusedError as error:
        wrong = [field_problem(p.path, p.code, p.detail) for p in error.problems]
        raise ProblemError(ErrorCode.MESSAGE_REFUSED, str(error), errors=wrong) from None
    throttles = (rules.throttle_per_minute, trial.policy.throttle_per_minute)
    throttle = min((one for one in throttles if one is not None), default=None)
    budgets = await _budgets(api, app)
    return json_answer(await dry_run_view(api, app, found, budgets, throttle))


async def decisions(api: Api, call: Exchange) -> Answer:
    """What was decided about the recipients when the message was planned, by reason.

    Outcomes tell what became of them; this tells who was let go, who was held and until which
    hour, and who was left out, as a dry run forecasts it.
    """
    record = await _record(api, call)
    app, message = record.app, record.id
    rows = await api.deps.decisions.counted(app, message, at_least_xid=record.xid)
    return json_answer(decisions_view(message, rows))


async def replay(api: Api, call: Exchange) -> Answer:
    """Who would have been treated differently under other rules.

    Decides again about everybody who was considered, on what was recorded then: consent, zones,
    quiet hours, and what caps had counted. Nothing is sent, and nothing is written.
    """
    body = await call.json(ReplayBody, api.deps.limits.max_body)
    record = await _record(api, call)
    app, message = record.app, record.id
    try:
        found = await decide_again(
            api.deps.decisions,
            (app, message),
            body.policy,
            at_least_xid=record.xid,
            samples=body.samples,
        )
    except PolicyError as error:
        raise invalid(f"/policy{error.path}", sentence(error.detail)) from None
    names = await names_of(api, app, [one.user for one in found.samples])
    segments = await segmenting.used(api.deps.segments, app, found.segments)
    return json_answer(replay_view(message, found, names, segments))


async def _record(api: Api, call: Exchange) -> MessageRecord:
    app, message = call.caller.app, MessageId(call.params["id"].lower())
    record = await api.deps.messages.get(app, message) if _UUID.fullmatch(message) else None
    if record is None:
        raise not_found("message")
    return record


async def _budgets(api: Api, app: AppId) -> dict[Network, int]:
    """What each credential may send in a minute: its own budget, else its network's."""
    records = await api.deps.credentials.all(app)
    own = {record.network: record.per_minute for record in records}
    found: dict[Network, int] = {}
    for network, budget in own.items():
        known = budget if budget is not None else api.deps.quotas.get(network)
        if known is not None:
            found[network] = known
    return found


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/messages/dry-run",
        long_work=True,
        handle=try_out,
        summary="Try a message without sending it",
        tag="Messages",
        scope=Scope.SEND,
        body=MessageBody,
        query=DryRunQuery,
        answers={200: DryRunView},
        errors=(
            ErrorCode.MESSAGE_REFUSED,
            ErrorCode.CATEGORY_UNKNOWN,
            ErrorCode.FACTS_UNAVAILABLE,
        ),
    ),
    Route(
        method="GET",
        path="/v1/messages/{id}/decisions",
        handle=decisions,
        summary="Count what was decided about a message",
        tag="Messages",
        scope=Scope.SEND,
        answers={200: DecisionsView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.FACTS_UNAVAILABLE),
    ),
    Route(
        method="POST",
        path="/v1/messages/{id}/replay",
        long_work=True,
        handle=replay,
        summary="Decide again under other rules",
        tag="Messages",
        scope=Scope.SEND,
        body=ReplayBody,
        answers={200: ReplayView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.FACTS_UNAVAILABLE),
    ),
)
