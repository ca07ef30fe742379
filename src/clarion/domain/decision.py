"""The order of the rules: who, consent, local time, quiet hours, caps, deadline.

Quiet hours and caps are asked in turn until neither moves a message any more. Deferral goes only
forward, so it ends: at the latest when the rounds are used up, and then the message is capped.
"""

from dataclasses import dataclass
from datetime import UTC as _UTC
from datetime import datetime, time
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.cap_rounds import Book, CapAnswers, CapAsk, CapVerdict, disturbances, verdicts
from clarion.domain.consent import sendable
from clarion.domain.decision_row import (
    NO_WINDOWS,
    Action,
    Decisions,
    Flag,
    Inputs,
    Recorded,
)
from clarion.domain.digest import Rhythm, due
from clarion.domain.eligibility import reasons
from clarion.domain.frequency import MAX_CAPS, Asked, Ledger
from clarion.domain.handoffs import Int64s, UInt8s, UInt16s
from clarion.domain.intervals import NEVER
from clarion.domain.outcome import Reason
from clarion.domain.periods import Period, bounds
from clarion.domain.permission import refused
from clarion.domain.policy import Policy, UnknownZone
from clarion.domain.quiet_hours import QuietRules, QuietVerdict, quiet_times
from clarion.domain.send_time import At, AtLocal, SendTimes, instant_us, send_times
from clarion.domain.zones import DAY_US, MINUTE_US, SECOND_US, UNKNOWN_ZONE, ZoneTable

Mask = npt.NDArray[np.bool_]

ROUNDS: Final = 8
"""How often quiet hours and caps are asked in turn."""
IN_FLIGHT_US: Final = 60 * SECOND_US
"""Entries that are due within this time may be on their way: they don't give way."""
_BEFORE_US: Final = 40 * DAY_US
"""How far back a calendar month reaches, and a little."""
_AHEAD_US: Final = 400 * DAY_US
"""How far ahead clocks are known exactly."""


@dataclass(kw_only=True, slots=True)
class _Sheet:
    """The columns that the rules fill in, row by row."""

    reason: UInt16s
    action: UInt8s
    send_us: Int64s
    held_for: UInt16s
    silent: Mask
    open_until_us: Int64s
    counters: UInt8s
    permitted_us: Int64s
    capped_later: Mask
    digested_later: Mask

    @classmethod
    def blank(cls, reason: UInt16s, send_us: Int64s) -> "_Sheet":
        n = len(reason)
        return cls(
            reason=reason,
            action=np.full(n, Action.SKIP, np.uint8),
            send_us=send_us,
            held_for=np.zeros(n, np.uint16),
            silent=np.zeros(n, np.bool_),
            open_until_us=np.full(n, NEVER),
            counters=np.zeros((n, MAX_CAPS), np.uint8),
            permitted_us=np.zeros(n, np.int64),
            capped_later=np.zeros(n, np.bool_),
            digested_later=np.zeros(n, np.bool_),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where rows are, as the policy takes it."""

    zones: ZoneTable
    known: Int64s
    """A known zone for every row: the app's where the row's is not known."""
    quiet: Int64s
    """The zone whose quiet hours count; `UNKNOWN_ZONE` for everybody's."""


def decide(read: Inputs, policy: Policy, *, now_us: int, usage: Ledger | Recorded) -> Decisions:
    """What is done about each row, and why, in the documented order.

    All rows of one person have to be decided in one call.

    Args:
        read: n rows.
        policy: the rules of the message.
        now_us: the instant of the decision.
        usage: what was sent to the rows' people and what is held for them; or, to decide again,
            what an earlier decision had read of it.
    """
    place = _place(read, policy, now_us, usage)
    times = send_times(policy.when, place.zones, place.known, now_us)
    sheet = _Sheet.blank(_who(read), times.send_us.copy())
    _consent(sheet, read, policy, times)
    _digest_wanted(sheet, read, policy, place)
    _local_time(sheet, read, policy, times)
    evicted = _quiet_and_caps(sheet, (read, policy, place), now_us, usage)
    _deadline(sheet, policy, times)
    _conclude(sheet, times, now_us)
    return Decisions(
        action=sheet.action,
        reason=sheet.reason,
        send_us=sheet.send_us,
        silent=sheet.silent,
        open_until_us=sheet.open_until_us,
        recorded=Recorded(
            counters=sheet.counters,
            permitted_us=sheet.permitted_us,
            capped_later=sheet.capped_later,
            digested_later=sheet.digested_later,
        ),
        evicted=evicted,
    )


def ledger_of(read: Inputs, said: Decisions, policy: Policy) -> Ledger:
    """The entries that these decisions add to the ledger: what is sent, and what is held."""
    rows = np.flatnonzero((said.action == Action.SEND) | (said.action == Action.HOLD))
    sent = Asked(
        user=read.user[rows],
        at_us=said.send_us[rows],
        network=read.network[rows],
        zone=rows,  # nobody's calendar is asked
        category=policy.category.slot,
    )
    return disturbances(sent, priority=policy.weight)


def _place(read: Inputs, policy: Policy, now_us: int, usage: Ledger | Recorded) -> _Place:
    names = read.zone_names
    if policy.app_zone not in names:
        names = (*names, policy.app_zone)
    app = names.index(policy.app_zone)
    low = high = now_us
    if isinstance(usage, Ledger) and len(usage):
        low = min(low, int(usage.at_us.min()))
        high = max(high, int(usage.at_us.max()))
    if isinstance(policy.when, At):
        high = max(high, policy.when.at_us)
    elif isinstance(policy.when, AtLocal) and policy.when.day is not None:
        high = max(high, instant_us(datetime.combine(policy.when.day, time(), _UTC)))
    zones = ZoneTable.build(names, low - _BEFORE_US, high + _AHEAD_US)
    zone = read.zone.astype(np.int64)
    known = np.where(zone == UNKNOWN_ZONE, app, zone)
    return _Place(
        zones=zones,
        known=known,
        quiet=known if policy.unknown_zone is UnknownZone.APP_ZONE else zone,
    )


def _who(read: Inputs) -> UInt16s:
    """Step 1: whom the message can reach at all."""
    opted_out = read.has(Flag.USER_OPTED_OUT)
    reason = reasons(
        user_opted_out=opted_out,
        device=read.device,
        dead=read.has(Flag.DEAD),
        device_opted_out=read.has(Flag.DEVICE_OPTED_OUT),
        wanted=read.has(Flag.WANTED),
        able=read.has(Flag.ABLE),
    )
    later = (Reason.ACCEPTED, Reason.NETWORK_EXCLUDED, Reason.CREDENTIAL_MISSING)
    shut = refused(read.permission)
    if shut.any():
        reason[shut & np.isin(reason, later)] = Reason.PERMISSION_DENIED
    reason[read.has(Flag.SUPPRESSED) & ~opted_out] = Reason.SUPPRESSION_LIST
    return reason


def _consent(sheet: _Sheet, read: Inputs, policy: Policy, times: SendTimes) -> None:
    """Step 2: what the person said to the category, and whether they paused everything."""
    category = policy.category
    denied = read.has(Flag.DENIED)
    willing = sendable(
        category.kind,
        category.default_state,
        can_opt_out=category.can_opt_out,
        granted=read.has(Flag.GRANTED),
        denied=denied,
    )
    asked = sheet.reason == 0
    refusing = denied & category.can_opt_out
    sheet.reason[asked & ~willing & refusing] = Reason.CATEGORY_OPTED_OUT
    sheet.reason[asked & ~willing & ~refusing] = Reason.CONSENT_MISSING
    if category.gathers:
        paused = read.paused_until_us > times.send_us
        sheet.reason[(sheet.reason == 0) & paused] = Reason.PAUSED_BY_PERSON


def _digest_wanted(sheet: _Sheet, read: Inputs, policy: Policy, place: _Place) -> None:
    """Step 2, still: whoever wants the category gathered gets it in their digest."""
    if not policy.category.gathers:
        return
    daily, weekly = read.has(Flag.DAILY), read.has(Flag.WEEKLY)
    for rhythm, wanted in ((Rhythm.DAILY, daily), (Rhythm.WEEKLY, weekly & ~daily)):
        rows = np.flatnonzero((sheet.reason == 0) & wanted)
        _to_digest(sheet, rows, (policy, place), rhythm)
        sheet.reason[rows] = Reason.DIGESTED


def _to_digest(sheet: _Sheet, rows: Int64s, where: tuple[Policy, _Place], rhythm: Rhythm) -> None:
    policy, place = where
    if len(rows):
        at_us = sheet.send_us[rows]
        zone = place.known[rows]
        sheet.action[rows] = Action.DIGEST
        sheet.send_us[rows] = due(policy.digest, rhythm, place.zones, zone, at_us)


def _local_time(sheet: _Sheet, read: Inputs, policy: Policy, times: SendTimes) -> None:
    """Step 3: whether the time asked for is still to come where the person is."""
    local = isinstance(policy.when, AtLocal)
    skips = policy.unknown_zone is UnknownZone.SKIP
    if skips and (local or policy.binding_quiet or (read.persons and policy.category.hushed)):
        nowhere = (read.zone == UNKNOWN_ZONE) & (sheet.reason == 0)
        sheet.reason[nowhere] = Reason.TIME_ZONE_UNKNOWN
    sheet.reason[(sheet.reason == 0) & times.passed] = Reason.LOCAL_TIME_PASSED


def _quiet_and_caps(
    sheet: _Sheet,
    where: tuple[Inputs, Policy, _Place],
    now_us: int,
    usage: Ledger | Recorded,
) -> Int64s:
    """Steps 4 and 5, in turn until neither moves a row; returns what gave way."""
    _, policy, _ = where
    rows = np.flatnonzero(sheet.reason == 0)
    book = Book(ledger=usage) if isinstance(usage, Ledger) else None
    ask = CapAsk(
        caps=policy.binding_caps,
        category=policy.category.slot,
        priority=policy.weight,
        takes_places=policy.takes_places,
        gives_way_after_us=now_us + IN_FLIGHT_US,
        deadline_us=NEVER if policy.expires_us is None else policy.expires_us,
    )
    for number in range(ROUNDS):
        _quiet(sheet, rows, where)
        rows = rows[sheet.reason[rows] == 0]
        if not ask.caps or not len(rows):
            break
        if book is not None:
            answers = book.ask(ask, _asked(sheet, rows, where), where[2].zones)
        else:
            assert isinstance(usage, Recorded)  # noqa: S101  narrows the sum type
            answers = _remembered(usage, sheet, rows, where, first=number == 0)
        if number == 0:
            sheet.counters[rows, : len(ask.caps)] = np.minimum(answers.load, 255).T
        rows = _apply(sheet, rows, answers, where, later=number > 0)
    if ask.caps and len(rows):
        sheet.reason[rows] = Reason.FREQUENCY_CAPPED
        sheet.capped_later[rows] = True
    gone: list[Int64s] = [np.zeros(0, np.int64)]
    if book is not None:
        gone += book.evicted
    evicted: Int64s = np.concatenate(gone)
    return evicted


def _quiet(sheet: _Sheet, rows: Int64s, where: tuple[Inputs, Policy, _Place]) -> None:
    read, policy, place = where
    if not policy.category.hushed:
        return
    rules = QuietRules(owners=policy.binding_quiet, persons=read.persons)
    person = read.quiet[rows].astype(np.int64)
    person[person == NO_WINDOWS] = len(read.persons)
    zone = place.quiet[rows]
    times = quiet_times(rules, place.zones, zone, person, sheet.send_us[rows])
    sheet.send_us[rows] = times.send_us
    sheet.silent[rows] = times.silent
    sheet.open_until_us[rows] = times.open_until_us
    sheet.held_for[rows[times.verdict == QuietVerdict.HELD]] = Reason.HELD_FOR_QUIET_HOURS
    shut = np.flatnonzero(times.verdict >= QuietVerdict.DROPPED)
    if len(shut):
        unknown = zone[shut] == UNKNOWN_ZONE
        why = np.where(unknown, Reason.TIME_ZONE_UNKNOWN, Reason.QUIET_HOURS)
        sheet.reason[rows[shut]] = why


def _asked(sheet: _Sheet, rows: Int64s, where: tuple[Inputs, Policy, _Place]) -> Asked:
    read, policy, place = where
    return Asked(
        user=read.user[rows],
        at_us=sheet.send_us[rows],
        network=read.network[rows],
        zone=place.known[rows],
        category=policy.category.slot,
    )


def _apply(
    sheet: _Sheet,
    rows: Int64s,
    answers: CapAnswers,
    where: tuple[Inputs, Policy, _Place],
    *,
    later: bool,
) -> Int64s:
    """Write down what the caps said; returns the rows that have to be asked again."""
    _, policy, place = where  # what is put off goes by whole minutes: people share batches
    dropped = rows[answers.verdict == CapVerdict.DROPPED]
    digested = rows[answers.verdict == CapVerdict.DIGESTED]
    moved = answers.verdict == CapVerdict.DEFERRED
    sheet.reason[dropped] = Reason.FREQUENCY_CAPPED
    _to_digest(sheet, digested, (policy, place), Rhythm.DAILY)
    sheet.reason[digested] = Reason.FREQUENCY_CAPPED
    if later:
        sheet.capped_later[dropped] = True
        sheet.digested_later[digested] = True
    deferred: Int64s = rows[moved]
    until_us = -(-answers.until_us[moved] // MINUTE_US) * MINUTE_US
    sheet.send_us[deferred] = sheet.permitted_us[deferred] = until_us
    sheet.held_for[deferred] = Reason.HELD_FOR_CAP
    return deferred


def _remembered(
    usage: Recorded,
    sheet: _Sheet,
    rows: Int64s,
    where: tuple[Inputs, Policy, _Place],
    *,
    first: bool,
) -> CapAnswers:
    """What the caps would have said, from what they had counted.

    Where they had not deferred but would now, the first permitted instant is not known: a whole
    window on is late enough for all that had been sent.
    """
    _, policy, place = where
    caps = policy.binding_caps
    load = usage.counters[rows, : len(caps)].T.astype(np.int64)
    if not first:
        verdict = np.where(usage.capped_later[rows], CapVerdict.DROPPED, CapVerdict.PERMITTED)
        verdict[usage.digested_later[rows]] = CapVerdict.DIGESTED
        return CapAnswers(verdict=verdict.astype(np.uint8), load=load, until_us=load[0])
    full = load >= np.array([cap.count for cap in caps])[:, None]
    at_us = sheet.send_us[rows]
    until = usage.permitted_us[rows].copy()
    guess = at_us.copy()
    for cap, over in zip(caps, full, strict=True):
        if isinstance(cap.window, Period):
            end = bounds(place.zones, cap.window, place.known[rows], at_us)[1]
        else:
            end = at_us + cap.window
        guess = np.where(over, np.maximum(guess, end), guess)
    until = np.where(until > at_us, until, guess)
    return CapAnswers(verdict=verdicts(caps, full), load=load, until_us=until)


def _deadline(sheet: _Sheet, policy: Policy, times: SendTimes) -> None:
    """Step 6: whatever would be sent at or after `expires_at` is not."""
    if policy.expires_us is None:
        return
    going = (sheet.reason == 0) | (sheet.action == Action.DIGEST)
    over = going & (sheet.send_us >= policy.expires_us)
    held = sheet.send_us > times.send_us
    sheet.action[over] = Action.SKIP
    sheet.reason[over & held] = Reason.HELD_PAST_DEADLINE
    sheet.reason[over & ~held] = Reason.DEADLINE_PASSED


def _conclude(sheet: _Sheet, times: SendTimes, now_us: int) -> None:
    going = sheet.reason == 0
    waits = going & (sheet.send_us > now_us)
    sheet.action[going] = Action.SEND
    sheet.action[waits] = Action.HOLD
    due_later = waits & (sheet.send_us == times.send_us)
    sheet.held_for[due_later] = Reason.HELD_FOR_LOCAL_TIME
    sheet.reason[waits] = sheet.held_for[waits]
    if not going.all():
        sheet.silent &= going
        sheet.open_until_us[~going] = NEVER
