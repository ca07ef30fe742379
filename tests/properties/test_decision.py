"""The rules compose: over columns they say what the rules one after the other say."""

from dataclasses import replace
from datetime import UTC, datetime, time
from itertools import combinations
from typing import Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles.decision import Person, Verdict, decide_one
from tests.oracles.decision_columns import as_inputs, as_ledger
from tests.oracles.frequency import Sent, exceeded

from clarion.domain.category import Category, DefaultState, Kind
from clarion.domain.decision import decide, ledger_of
from clarion.domain.decision_row import Action, Decisions, inputs_of, record
from clarion.domain.explanation import explain
from clarion.domain.frequency import EXEMPT_PRIORITY, Cap, CapAction, Ledger, Scope
from clarion.domain.outcome import Reason
from clarion.domain.periods import Period
from clarion.domain.permission import Permission
from clarion.domain.policy import Policy, UnknownZone, patched, policy_from, to_json
from clarion.domain.quiet_windows import (
    EVERY_DAY,
    QuietAction,
    QuietHours,
    QuietHoursError,
    Window,
)
from clarion.domain.send_time import At, AtLocal, IfPassed, Now, When
from clarion.domain.zones import DAY_US, HOUR_US, MINUTE_US

NOW = int(datetime(2026, 3, 28, 20, tzinfo=UTC).timestamp()) * 1_000_000
"""The evening before clocks go forward in Europe."""
ZONES = ("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", None)
QUARTERS = st.integers(0, 95).map(lambda quarter: quarter * 15)


def hours(windows: list[Window], action: QuietAction) -> QuietHours | None:
    """Quiet hours, unless they never open."""
    try:
        return QuietHours(windows=tuple(windows), action=action)
    except QuietHoursError:
        return None


WINDOWS = (
    st.builds(
        Window,
        days=st.just(EVERY_DAY) | st.integers(1, EVERY_DAY),
        start_min=QUARTERS,
        end_min=QUARTERS,
    )
    .map(lambda w: replace(w, end_min=w.end_min or 1440))
    .filter(lambda w: w.start_min != w.end_min)
)
QUIET = st.builds(hours, st.lists(WINDOWS, min_size=1, max_size=2), st.sampled_from(QuietAction))
CAPS = st.builds(
    Cap,
    count=st.integers(1, 2),
    window=st.sampled_from([6 * HOUR_US, DAY_US, Period.DAY, Period.WEEK]),
    scope=st.sampled_from(Scope),
    action=st.sampled_from(CapAction),
    counts_exempt=st.booleans(),
)
RULES: Final = ("who", "consent", "local_time", "quiet_hours", "caps", "deadline")
PAIRS: Final = list(combinations(RULES, 2))


@st.composite
def policies(draw: st.DrawFn, rules: tuple[str, ...]) -> Policy:
    """A policy in which some rules bind and the others don't."""
    kind = draw(st.sampled_from(Kind)) if "consent" in rules else Kind.SYSTEM
    states = [s for s in DefaultState if kind is not Kind.MARKETING or s is not DefaultState.IN]
    category = Category(
        slug="news",
        kind=kind,
        slot=3,
        can_opt_out=kind is Kind.MARKETING or draw(st.booleans()),
        default_state=draw(st.sampled_from(states)),
        urgent="consent" in rules and draw(st.booleans()),
        quiet_hours=draw(st.none() | QUIET) if "quiet_hours" in rules else None,
        caps=tuple(draw(st.lists(CAPS, max_size=1))) if "caps" in rules else (),
    )
    local: st.SearchStrategy[When] = st.builds(
        AtLocal,
        clock=QUARTERS.map(lambda m: time(m // 60, m % 60)),
        day=st.none() | st.dates(datetime(2026, 3, 26).date(), datetime(2026, 4, 1).date()),  # noqa: DTZ001
        if_passed=st.sampled_from(IfPassed),
        grace_us=st.integers(0, 8).map(lambda q: q * HOUR_US),
    )
    fixed: st.SearchStrategy[When] = st.sampled_from(
        [Now(), At(at_us=NOW + 5 * HOUR_US), At(at_us=NOW - DAY_US)]
    )
    return Policy(
        category=category,
        when=draw(local if "local_time" in rules else fixed),
        quiet_hours=draw(QUIET) if "quiet_hours" in rules else None,
        caps=tuple(draw(st.lists(CAPS, min_size=1, max_size=2))) if "caps" in rules else (),
        expires_us=NOW + draw(st.integers(-2, 40)) * HOUR_US if "deadline" in rules else None,
        unknown_zone=draw(st.sampled_from(UnknownZone)),
        app_zone=draw(st.sampled_from(["UTC", "Europe/Paris"])),
        takes_places=False,
    )


@st.composite
def persons(draw: st.DrawFn, rules: tuple[str, ...]) -> Person:
    """A person for whom only some rules matter."""
    rare = st.integers(0, 5).map(lambda n: n == 0) if "who" in rules else st.just(value=False)
    wants = st.booleans() if "consent" in rules else st.just(value=False)
    sent = st.builds(
        Sent,
        at_us=st.integers(-60, 60).map(lambda h: NOW + h * HOUR_US),
        networks=st.frozensets(st.integers(1, 3), min_size=1),
        category=st.integers(2, 3),
        priority=st.sampled_from([5, EXEMPT_PRIORITY]),
    )
    own = draw(st.lists(WINDOWS, max_size=1)) if "quiet_hours" in rules else []
    return Person(
        device=0 if draw(rare) else 1,
        network=draw(st.integers(1, 3)),
        user_opted_out=draw(rare),
        suppressed=draw(rare),
        dead=draw(rare),
        device_opted_out=draw(rare),
        wanted=not draw(rare),
        able=not draw(rare),
        permission=draw(st.sampled_from(Permission)) if "who" in rules else Permission.GRANTED,
        granted="consent" not in rules or draw(wants),
        denied=draw(wants),
        daily=draw(wants) and draw(wants),
        weekly=draw(wants) and draw(wants),
        paused_until_us=draw(st.sampled_from([0, NOW + 3 * HOUR_US])) if draw(wants) else 0,
        zone=draw(st.sampled_from(ZONES)),
        windows=tuple(own) if hours(own, QuietAction.HOLD) else (),
        ledger=tuple(draw(st.lists(sent, max_size=4))) if "caps" in rules else (),
    )


def said(decisions: Decisions, row: int) -> Verdict:
    """One row of decisions as the oracle says it."""
    action = Action(int(decisions.action[row]))
    return Verdict(
        action=action,
        reason=Reason(int(decisions.reason[row])),
        send_us=0 if action is Action.SKIP else int(decisions.send_us[row]),
        silent=bool(decisions.silent[row]),
    )


def check(policy: Policy, people: list[Person]) -> None:
    """Decide over columns, one by one, and again from what was recorded; explain everything."""
    read = as_inputs(people)
    found = decide(read, policy, now_us=NOW, usage=as_ledger(people))
    for row, person in enumerate(people):
        assert said(found, row) == decide_one(person, policy, NOW)
    rows = record(read, found, NOW)
    recorded_read, usage = inputs_of(rows, read.zone_names, read.persons)
    again = decide(recorded_read, policy, now_us=NOW, usage=usage)
    for row in range(len(people)):
        assert said(again, row) == said(found, row)
        assert explain(rows[row], policy, read.zone_names, read.persons).strip()
    assert np.array_equal(again.open_until_us, found.open_until_us)
    assert len(ledger_of(read, found, policy)) == np.isin(found.action, [1, 2]).sum()


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_every_pair_of_rules_composes(pair: tuple[str, ...], data: st.DataObject) -> None:
    """Two rules bind: neither silently switches the other off, whatever zone and clock."""
    policy = data.draw(policies(pair))
    check(policy, data.draw(st.lists(persons(pair), min_size=1, max_size=3)))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_all_rules_compose(data: st.DataObject) -> None:
    """All of them bind at once."""
    policy = data.draw(policies(RULES))
    check(policy, data.draw(st.lists(persons(RULES), min_size=1, max_size=3)))


@settings(deadline=None)
@given(policy=policies(RULES))
def test_a_policy_comes_back_from_its_json_with_the_same_version(policy: Policy) -> None:
    """Recorded decisions can be decided again by the policy that they were made by."""
    again = policy_from(to_json(policy))
    assert again == policy
    assert again.version == policy.version
    other = patched(policy, {"priority": 77, "category": {"slug": "other"}})
    assert other.priority == 77
    assert other.category.slug == "other"
    assert other.version != policy.version


def test_a_more_important_message_takes_a_held_ones_place() -> None:
    """The held one gives way; the ledger then has one entry less."""
    held = Sent(at_us=NOW + 2 * HOUR_US, networks=frozenset({1}), category=3, priority=2)
    people = [Person(ledger=(held,))]
    policy = Policy(
        category=Category(slug="news", kind=Kind.SYSTEM, slot=3, priority=9),
        caps=(Cap(count=1, window=DAY_US),),
    )
    found = decide(as_inputs(people), policy, now_us=NOW, usage=as_ledger(people))
    assert found.action.tolist() == [Action.SEND]
    assert found.evicted.tolist() == [0]
    modest = replace(policy, priority=2)
    refused = decide(as_inputs(people), modest, now_us=NOW, usage=as_ledger(people))
    assert refused.reason.tolist() == [Reason.FREQUENCY_CAPPED]
    assert refused.evicted.tolist() == []


def test_nothing_gives_way_to_a_message_that_is_too_late() -> None:
    """A place is not taken for what the deadline stops anyway."""
    held = Sent(at_us=NOW + 2 * HOUR_US, networks=frozenset({1}), category=3, priority=2)
    people = [Person(ledger=(held,))]
    policy = Policy(
        category=Category(slug="news", kind=Kind.SYSTEM, slot=3, priority=9),
        caps=(Cap(count=1, window=DAY_US),),
        expires_us=NOW - MINUTE_US,
    )
    found = decide(as_inputs(people), policy, now_us=NOW, usage=as_ledger(people))
    assert found.evicted.tolist() == []
    assert found.action.tolist() == [Action.SKIP]


ROLLING = st.builds(
    Cap,
    count=st.integers(1, 2),
    window=st.sampled_from([6 * HOUR_US, DAY_US]),
    scope=st.sampled_from(Scope),
    action=st.sampled_from(CapAction),
)
SENDINGS = st.lists(
    st.tuples(
        QUARTERS, st.integers(1, 9), st.lists(st.sampled_from(ZONES), min_size=6, max_size=6)
    ),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=80)
@given(caps=st.lists(ROLLING, min_size=1, max_size=2), quiet=st.none() | QUIET, plans=SENDINGS)
def test_no_sequence_of_messages_disturbs_a_person_more_often_than_the_caps_say(
    caps: list[Cap], quiet: QuietHours | None, plans: list[tuple[int, int, list[str | None]]]
) -> None:
    """Three people with two devices each, in any zones; local times, quiet hours and caps bind."""
    ledger = Ledger.empty()
    for minutes, priority, homes in plans:
        policy = Policy(
            category=Category(slug="news", kind=Kind.SYSTEM, slot=3, priority=priority),
            when=AtLocal(clock=time(minutes // 60, minutes % 60)),
            quiet_hours=quiet,
            caps=tuple(caps),
            unknown_zone=UnknownZone.APP_ZONE,
        )
        people = [Person(zone=zone, network=1 + i % 3) for i, zone in enumerate(homes)]
        read = replace(as_inputs(people), user=np.arange(6, dtype=np.int64) // 2)
        found = decide(read, policy, now_us=NOW, usage=ledger)
        kept = ledger.take(np.setdiff1d(np.arange(len(ledger)), found.evicted))
        merged = kept.plus(ledger_of(read, found, policy))
        ledger = replace(merged, index=np.zeros(0, np.int64))
        for user in range(3):
            theirs = [
                Sent(
                    at_us=int(ledger.at_us[i]),
                    networks=frozenset(n for n in (1, 2, 3) if ledger.networks[i] >> n & 1),
                    category=3,
                    priority=int(ledger.priority[i]),
                )
                for i in np.flatnonzero(ledger.user == user)
            ]
            for cap in caps:
                assert not exceeded(cap, theirs, (1, 2, 3), 3, "UTC")
