"""From a forecast and a replay to their JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from clarion.api.routing import Api
from clarion.api.shapes.segments import SegmentUsedView
from clarion.api.shapes.trials import (
    CollisionsView,
    DecisionCount,
    DecisionsView,
    DryRunView,
    ExampleView,
    HeldHour,
    HourView,
    LocalTimeView,
    MessagePeople,
    MoveView,
    PayloadView,
    ReplaySample,
    ReplayView,
    SampleView,
    VerdictView,
)
from clarion.domain.decision_row import Action
from clarion.domain.ids import AppId, MessageId, UserId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.policy import to_json
from clarion.domain.send_curve import Hour, send_curve
from clarion.domain.send_time import instant
from clarion.ports.decisions import DecidedCount
from clarion.ports.registry import ById
from clarion.stages.planning.forecast import Collisions, Forecast, Shown
from clarion.stages.planning.replay import Replayed, Sample, Verdict

MOST_MESSAGES = 20
"""Other messages that are told of."""
MOST_SENTENCES = 20
Names = Mapping[int, str | None]


async def names_of(api: Api, app: AppId, users: Sequence[int]) -> Names:
    """The external id of each of some people, where they have one."""
    found: dict[int, str | None] = {}
    for user in dict.fromkeys(users):
        person = await api.deps.people.get(app, ById(id=UserId(user)))
        found[user] = None if person is None else person.external_id
    return found


async def dry_run_view(
    api: Api,
    app: AppId,
    found: Forecast,
    per_minute: Mapping[Network, int],
    throttle: int | None,
) -> DryRunView:
    """A forecast.

    Args:
        api: to look people's names up.
        app: whose people.
        found: the forecast.
        per_minute: the budgets of the app's credentials.
        throttle: messages a minute over all networks; None: any number.
    """
    shown = found.samples()
    users = [one.user for one in shown] + [one.user for one in found.examples.values()]
    names = await names_of(api, app, users)
    curve = send_curve(found.hours, per_minute, throttle)
    by_action: Counter[str] = Counter()
    for kind, count in found.counts.items():
        by_action[kind.action.label] += count
    return DryRunView(
        planned_at=found.at,
        people=found.people,
        recipients=by_action.total(),
        unknown=found.unknown,
        by_action={action.label: by_action[action.label] for action in Action},
        decisions=[
            DecisionCount(
                action=kind.action.label,
                reason=kind.reason.label,
                network=None if kind.network is None else kind.network.label,
                count=count,
            )
            for kind, count in found.counts.most_common()
        ],
        examples=[
            ExampleView(
                action=action.label,
                reason=reason.label,
                user=one.user,
                external_id=names[one.user],
                explanation=one.told,
            )
            for (action, reason), one in sorted(found.examples.items())
        ],
        curve=[_hour(found, hour) for hour in curve],
        per_minute={network.label: budget for network, budget in per_minute.items()},
        throttle_per_minute=throttle,
        last_hour=_hour(found, curve[-1]).at if curve else None,
        local_time=_local_time(found),
        time_zone_unknown=found.zone_unknown,
        caps=_collisions(found.collisions),
        payloads={
            network.label: PayloadView(
                limit=sizes.limit,
                longest=sizes.longest,
                too_long=sizes.over,
                users=sizes.offenders,
            )
            for network, sizes in sorted(found.sizes.items())
        },
        missing=dict(found.missing),
        failures=dict(found.failures.most_common(MOST_SENTENCES)),
        refused=found.refused,
        samples=[_sample(one, names) for one in shown],
        policy=to_json(found.policy),
    )


def _hour(found: Forecast, hour: Hour) -> HourView:
    return HourView(
        at=found.at + timedelta(hours=hour.hour),
        network=hour.network.label,
        due=hour.due,
        sent=hour.sent,
        waiting=hour.waiting,
    )


def _local_time(found: Forecast) -> LocalTimeView | None:
    passed = found.passed
    if passed is None:
        return None
    return LocalTimeView(
        passed=passed.over,
        next_day_held=passed.over,
        drop_dropped=passed.over,
        send_now_sent=passed.within_grace,
        send_now_dropped=passed.over - passed.within_grace,
    )


def _collisions(found: Collisions) -> CollisionsView:
    return CollisionsView(
        people=found.people,
        people_by_scheduled=found.people_by_scheduled,
        scheduled=_messages(found.scheduled),
        give_way=_messages(found.give_way),
    )


def _messages(found: Counter[MessageId]) -> list[MessagePeople]:
    return [
        MessagePeople(message=message, people=people)
        for message, people in found.most_common(MOST_MESSAGES)
    ]


def _sample(one: Shown, names: Names) -> SampleView:
    return SampleView(
        user=one.user,
        external_id=names[one.user],
        device=one.device,
        network=one.network.label,
        language=one.language,
        time_zone=one.zone,
        action=one.action.label,
        at=instant(one.send_us),
        title=one.title,
        body=one.body,
        link=one.link,
        octets=one.octets,
        explanation=one.told,
    )


def decisions_view(message: MessageId, rows: Sequence[DecidedCount]) -> DecisionsView:
    """What was decided about a message, counted."""
    kinds: Counter[tuple[Action, Reason, Network | None]] = Counter()
    hours: Counter[tuple[datetime, Reason]] = Counter()
    actions: Counter[str] = Counter({action.label: 0 for action in Action})
    for row in rows:
        kinds[row.action, row.reason, row.network] += row.count
        actions[row.action.label] += row.count
        if row.hour is not None:
            hours[row.hour, row.reason] += row.count
    return DecisionsView(
        message=message,
        recipients=actions.total(),
        by_action=dict(actions),
        decisions=[
            DecisionCount(
                action=action.label,
                reason=reason.label,
                network=None if network is None else network.label,
                count=count,
            )
            for (action, reason, network), count in kinds.most_common()
        ],
        held=[
            HeldHour(at=at, reason=reason.label, count=count)
            for (at, reason), count in sorted(hours.items())
        ],
    )


def replay_view(
    message: MessageId, found: Replayed, names: Names, segments: list[SegmentUsedView]
) -> ReplayView:
    """A replay."""
    return ReplayView(
        message=message,
        considered=found.considered,
        changed=found.changed,
        moves=[
            MoveView(before=_verdict(move.before), after=_verdict(move.after), count=move.count)
            for move in found.moves
        ],
        samples=[_moved(one, names) for one in found.samples],
        policies=sorted(list(pair) for pair in found.policies),
        segments=segments,
    )


def _moved(one: Sample, names: Names) -> ReplaySample:
    return ReplaySample(
        user=one.user,
        external_id=names[one.user],
        device=one.device,
        before=_verdict(one.before),
        after=_verdict(one.after),
        explanation_before=one.told_before,
        explanation_after=one.told_after,
    )


def _verdict(one: Verdict) -> VerdictView:
    return VerdictView(action=one.action.label, reason=Reason(one.reason).label)
