"""From the JSON of `POST /v1/messages` to a checked message."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from clarion.api.decoding import refuse, utc
from clarion.api.exchange import Exchange
from clarion.api.problems import FieldProblem, ProblemError, field_problem, refusal_of
from clarion.api.routing import Api
from clarion.api.shapes.messages import MessageBody
from clarion.api.targeting import target_of, target_problems
from clarion.api.timing import begins_at, moment_of
from clarion.api.wording import free_problems, prepared, says_nothing, worded
from clarion.domain.app_rules import Moment
from clarion.domain.category import CALLS
from clarion.domain.content import Message, Priority, PushType
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import NETWORK_BY_LABEL
from clarion.ports.messages import Target

MAX_URGENT: Final = 10
"""At most this many named recipients make a message transactional when no lane is asked for."""
IDEMPOTENCY_HEADER: Final = b"idempotency-key"

VISIBLE: Final = re.compile(r"[!-~]{1,255}", re.ASCII)
_LANES: Final = {lane.name.lower(): lane for lane in Lane}
_PRIORITIES: Final = {priority.name.lower(): priority for priority in Priority}
_PUSH_TYPES: Final = {kind.value: kind for kind in PushType}


class MessageIds(NamedTuple):
    """What a message is called, and what all tries of its request are."""

    message: MessageId
    retry: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """A message that every targeted network would take."""

    message: Message
    target: Target
    send_at: datetime
    scheduled: bool
    moment: Moment
    plain: bool
    """The networks were not asked: they take every message of its kind."""


async def check(
    api: Api, body: MessageBody, now: datetime, *, app: AppId, ids: MessageIds
) -> Checked:
    """Everything that can be known before acceptance; raises `ProblemError` (422)."""
    most = api.deps.limits.max_recipients
    refuse([*target_problems(body.to, most), *free_problems(body)])
    content, wording = await worded(api, app, body)
    if says_nothing(content):
        detail = "Say something: `title`, `body`, `data`, `badge`, `overrides` or `template`."
        refuse([_combined("", detail)])
    category = await _category(api, app, body, now)
    moment = moment_of(body)
    send_at = begins_at(moment, now) if body.send_at is None else utc(body.send_at, "/send_at")
    expires_at = None if body.expires_at is None else utc(body.expires_at, "/expires_at")
    if expires_at is not None and body.send_at is not None and expires_at <= send_at:
        refuse([_combined("/expires_at", "The message would end before it is sent.")])
    scheduled = send_at > now
    made = Message(
        id=ids.message,
        app=app,
        lane=_lane(body, scheduled=scheduled),
        content=content,
        push_type=_PUSH_TYPES[body.push_type],
        priority=_PRIORITIES[body.priority],
        ttl=None if body.ttl is None else timedelta(seconds=body.ttl),
        expires_at=expires_at,
        collapse_id=body.collapse_id,
        retry_id=ids.retry,
        category=category,
        wording=wording,
    )
    target = await target_of(api, app, body.to, now)
    plain = await _ask_networks(api, app, made, body, max(send_at, now))
    return Checked(made, target, max(send_at, now), scheduled, moment, plain)


def idempotency_key(call: Exchange) -> str | None:
    """The `Idempotency-Key` header; raises `ProblemError` for one that can't be kept."""
    key = call.header(IDEMPOTENCY_HEADER)
    if key is not None and not VISIBLE.fullmatch(key):
        detail = "1 to 255 visible ASCII characters."
        raise ProblemError(
            ErrorCode.HEADER_INVALID,
            f"Idempotency-Key: {detail}",
            errors=[field_problem("Idempotency-Key", FieldCode.INVALID, detail)],
        )
    return key


def _lane(body: MessageBody, *, scheduled: bool) -> Lane:
    if body.lane is not None:
        return _LANES[body.lane]
    few = 0 < body.to.named <= MAX_URGENT
    at_once = not scheduled and body.local_time is None and body.throttle_per_minute is None
    return Lane.TRANSACTIONAL if few and at_once else Lane.CAMPAIGN


async def _category(api: Api, app: AppId, body: MessageBody, now: datetime) -> str:
    """The slug of the message's category; raises `ProblemError` for one that the app has not."""
    rules = await api.deps.rulebook.of(app, now)
    slug = body.category
    if slug is None:
        return CALLS if body.lane == "call" else rules.default_category
    if slug in rules.categories and slug not in rules.archived:
        return slug
    known = ", ".join(sorted(rules.categories.keys() - rules.archived))
    detail = f"The app has no category {slug!r}; it has {known}."
    raise ProblemError(
        ErrorCode.CATEGORY_UNKNOWN,
        detail,
        errors=[field_problem("/category", FieldCode.INVALID, detail)],
    )


async def _ask_networks(
    api: Api, app: AppId, message: Message, body: MessageBody, now: datetime
) -> bool:
    """Ask each targeted network that the app can send over what it would refuse.

    True: they take every plain message of the same kind. An app without any credential is checked
    against all: what it writes should not start to fail on the day when it gets one.
    """
    named = {NETWORK_BY_LABEL[label] for label in body.to.networks}
    wanted = named or api.deps.providers.keys()
    chosen = (wanted & await api.networks.of(app)) or wanted
    networks = sorted(chosen & api.deps.providers.keys())
    if message.wording is None:
        variants: Sequence[Message] = (message,)
        if api.plain.fine(message, networks, now):
            return True
    else:
        variants = prepared(api, message, message.wording).variants
    errors = [
        field_problem(p.path, p.code, p.detail)
        for variant in variants
        for network in networks
        for p in api.deps.providers[network].check_message(variant, now)
    ]
    if errors:
        raise refusal_of(ErrorCode.MESSAGE_REFUSED, errors)
    return False


def _combined(path: str, detail: str) -> FieldProblem:
    return field_problem(path, FieldCode.COMBINATION, detail)
