"""The whole decision about one person, rule after rule, as one would tell it."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from tests.oracles import frequency, quiet_hours
from tests.oracles.frequency import Sent
from tests.oracles.quiet_hours import EPOCH, shown

from clarion.domain.category import DefaultState, Kind
from clarion.domain.decision import ROUNDS
from clarion.domain.decision_row import Action
from clarion.domain.frequency import Cap, CapAction
from clarion.domain.outcome import Reason
from clarion.domain.permission import Permission
from clarion.domain.policy import Policy, UnknownZone
from clarion.domain.quiet_windows import Window
from clarion.domain.send_time import At, AtLocal, IfPassed, Now
from clarion.domain.zones import DAY_US, MINUTE_US

QUARTER_US = 15 * MINUTE_US
"""Everything in these tests happens at quarters of an hour."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """One person with one device, and what is known of both."""

    device: int = 1
    network: int = 1
    user_opted_out: bool = False
    suppressed: bool = False
    dead: bool = False
    device_opted_out: bool = False
    wanted: bool = True
    able: bool = True
    permission: Permission = Permission.GRANTED
    granted: bool = True
    denied: bool = False
    daily: bool = False
    weekly: bool = False
    paused_until_us: int = 0
    zone: str | None = "Europe/Paris"
    windows: tuple[Window, ...] = ()
    ledger: tuple[Sent, ...] = ()
    """Nothing in it gives way."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is done, and why."""

    action: Action
    reason: Reason
    send_us: int = 0
    silent: bool = False


def skip(reason: Reason) -> Verdict:
    """It is not sent."""
    return Verdict(action=Action.SKIP, reason=reason)


def who(person: Person) -> Reason | None:
    """Whether it can reach them at all."""
    rules = [
        (person.user_opted_out, Reason.USER_OPTED_OUT),
        (person.suppressed, Reason.SUPPRESSION_LIST),
        (person.device == 0, Reason.USER_HAS_NO_DEVICE),
        (person.dead, Reason.DEVICE_DEAD),
        (person.device_opted_out, Reason.DEVICE_OPTED_OUT),
        (
            person.permission in {Permission.DENIED, Permission.BLOCKED},
            Reason.PERMISSION_DENIED,
        ),
        (not person.wanted, Reason.NETWORK_EXCLUDED),
        (not person.able, Reason.CREDENTIAL_MISSING),
    ]
    return next((reason for broken, reason in rules if broken), None)


def consent(person: Person, policy: Policy) -> Reason | None:
    """Whether they want the category."""
    category = policy.category
    if person.denied and category.can_opt_out:
        return Reason.CATEGORY_OPTED_OUT
    silence_is_yes = (
        category.default_state is DefaultState.IN and category.kind is not Kind.MARKETING
    )
    return None if person.granted or silence_is_yes else Reason.CONSENT_MISSING


def first_showing(zone: str, day: date, minutes: int) -> int:
    """The first instant at which a clock shows a time of a day, or a later one."""
    wall = datetime.combine(day, datetime.min.time()) + timedelta(minutes=minutes)
    at = (wall.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) - DAY_US
    while shown(zone, at) < wall:
        at += QUARTER_US
    return at


def due(policy: Policy, zone: str, now: int) -> int | None:
    """When it is due; None when the time is over."""
    match policy.when:
        case Now():
            return now
        case At(at_us=at):
            return max(at, now)
        case AtLocal():
            return local(policy.when, zone, now)


def local(when: AtLocal, zone: str, now: int) -> int | None:
    """When a clock shows the time asked for."""
    minutes = when.clock.hour * 60 + when.clock.minute
    today = shown(zone, now).date()
    at = first_showing(zone, when.day or today, minutes)
    if at >= now:
        return at
    if when.if_passed is IfPassed.NEXT_DAY:
        days = (today + timedelta(days=n) for n in range(4))
        return next(t for t in (first_showing(zone, d, minutes) for d in days) if t >= now)
    if when.if_passed is IfPassed.SEND_NOW and now - at <= when.grace_us:
        return now
    return None


def digest_due(policy: Policy, zone: str, at: int, *, weekly: bool) -> int:
    """The next time that the digest is due after an instant."""
    today = shown(zone, at).date()
    for ahead in range(-1, 23):
        day = today + timedelta(days=ahead)
        if weekly and day.weekday() != policy.digest.weekday:
            continue
        if (found := first_showing(zone, day, policy.digest.minute)) > at:
            return found
    raise AssertionError


def decide_one(person: Person, policy: Policy, now: int) -> Verdict:
    """Every rule, in the order of the documents."""
    if reason := who(person) or consent(person, policy):
        return skip(reason)
    home = person.zone or policy.app_zone
    at = due(policy, home, now)
    category = policy.category
    if category.gathers and person.paused_until_us > (now if at is None else at):
        return skip(Reason.PAUSED_BY_PERSON)
    if category.gathers and (person.daily or person.weekly):
        weekly = not person.daily
        gathered = digest_due(policy, home, now if at is None else at, weekly=weekly)
        return deadline(
            policy,
            Verdict(action=Action.DIGEST, reason=Reason.DIGESTED, send_us=gathered),
            gathered - 1,
        )
    quiet = category.hushed and bool(policy.binding_quiet or person.windows)
    if (
        person.zone is None
        and policy.unknown_zone is UnknownZone.SKIP
        and (quiet or isinstance(policy.when, AtLocal))
    ):
        return skip(Reason.TIME_ZONE_UNKNOWN)
    if at is None:
        return skip(Reason.LOCAL_TIME_PASSED)
    return quiet_and_caps(person, policy, now, at)


def quiet_and_caps(person: Person, policy: Policy, now: int, at: int) -> Verdict:
    """In turn, until neither moves it."""
    home = person.zone or policy.app_zone
    clock = home if policy.unknown_zone is UnknownZone.APP_ZONE else person.zone
    send, held_for, silent = at, Reason.HELD_FOR_LOCAL_TIME, False
    for _ in range(ROUNDS):
        if policy.category.hushed:
            said = quiet_hours.decide_one(policy.binding_quiet, person.windows, clock, send)
            if said.send_us is None:
                return skip(Reason.TIME_ZONE_UNKNOWN if clock is None else Reason.QUIET_HOURS)
            silent = said.silent
            if said.held:
                send, held_for = said.send_us, Reason.HELD_FOR_QUIET_HOURS
        full = [cap for cap in policy.binding_caps if over(cap, person, policy, send)]
        if not full:
            action = Action.HOLD if send > now else Action.SEND
            reason = held_for if send > now else Reason.ACCEPTED
            verdict = Verdict(action=action, reason=reason, send_us=send, silent=silent)
            return deadline(policy, verdict, at)
        actions = {cap.action for cap in full}
        if CapAction.DROP in actions:
            return skip(Reason.FREQUENCY_CAPPED)
        if CapAction.DIGEST in actions:
            gathered = digest_due(policy, home, send, weekly=False)
            verdict = Verdict(
                action=Action.DIGEST, reason=Reason.FREQUENCY_CAPPED, send_us=gathered
            )
            return deadline(policy, verdict, at)
        deferring = [cap for cap in policy.binding_caps if cap.action is CapAction.DEFER]
        while any(over(cap, person, policy, send) for cap in deferring):
            send += QUARTER_US
        held_for = Reason.HELD_FOR_CAP
    return skip(Reason.FREQUENCY_CAPPED)


def over(cap: Cap, person: Person, policy: Policy, at: int) -> bool:
    """Whether one more would be too many."""
    home = person.zone or policy.app_zone
    slot = policy.category.slot
    return frequency.load(cap, person.ledger, at, person.network, slot, home) >= cap.count


def deadline(policy: Policy, verdict: Verdict, due_us: int) -> Verdict:
    """What would be sent too late is not."""
    if policy.expires_us is None or verdict.send_us < policy.expires_us:
        return verdict
    held = verdict.send_us > due_us
    return skip(Reason.HELD_PAST_DEADLINE if held else Reason.DEADLINE_PASSED)
