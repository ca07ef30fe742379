"""Whatever is planned, in whatever order, no person is disturbed more often than a cap says."""

from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import frequency as oracle
from tests.oracles.frequency import Sent

from clarion.domain.cap_room import earliest, make_room
from clarion.domain.cap_rounds import Book, CapAsk, CapVerdict, disturbances
from clarion.domain.frequency import (
    EXEMPT_PRIORITY,
    Asked,
    Cap,
    CapAction,
    Ledger,
    Scope,
    cap_from,
    cap_json,
    loads,
)
from clarion.domain.intervals import NEVER
from clarion.domain.periods import Period
from clarion.domain.row_of import placed
from clarion.domain.zones import DAY_US, HOUR_US, ZoneTable

NAMES = ("Europe/Paris", "Pacific/Apia", "Australia/Lord_Howe")
BEGIN = int(datetime(2026, 3, 25, 12, tzinfo=UTC).timestamp()) * 1_000_000
ZONES = ZoneTable.build(NAMES, BEGIN - 60 * DAY_US, BEGIN + 200 * DAY_US)
TIMES = st.integers(0, 40).map(lambda h: BEGIN + h * HOUR_US)
CAPS = st.builds(
    Cap,
    count=st.integers(1, 3),
    window=st.sampled_from([6 * HOUR_US, DAY_US, 3 * DAY_US, *Period]),
    scope=st.sampled_from(Scope),
    action=st.sampled_from(CapAction),
    counts_exempt=st.booleans(),
)
SENT = st.builds(
    Sent,
    at_us=TIMES,
    networks=st.frozensets(st.integers(1, 3), min_size=1),
    category=st.integers(0, 1),
    priority=st.sampled_from([1, 5, 9, EXEMPT_PRIORITY]),
)


def columns(entries: list[tuple[int, Sent]]) -> Ledger:
    """(user, disturbance) as columns."""
    return Ledger(
        user=np.array([user for user, _ in entries], np.int64),
        at_us=np.array([s.at_us for _, s in entries], np.int64),
        networks=np.array([sum(1 << n for n in s.networks) for _, s in entries], np.uint8),
        category=np.array([s.category for _, s in entries], np.uint8),
        priority=np.array([s.priority for _, s in entries], np.uint8),
    )


def asked_by(rows: list[tuple[int, int, int]], zone: dict[int, int]) -> Asked:
    """(user, instant, network) as columns."""
    return Asked(
        user=np.array([user for user, _, _ in rows], np.int64),
        at_us=np.array([at for _, at, _ in rows], np.int64),
        network=np.array([network for _, _, network in rows], np.uint8),
        zone=np.array([zone[user] for user, _, _ in rows], np.int64),
        category=0,
    )


LEDGERS = st.lists(st.tuples(st.integers(0, 3), SENT), max_size=14)
HOMES = st.fixed_dictionaries(dict.fromkeys(range(4), st.integers(0, 2)))


@settings(deadline=None)
@given(
    caps=st.lists(CAPS, min_size=1, max_size=3),
    entries=LEDGERS,
    zone=HOMES,
    times=st.tuples(*[TIMES] * 4) | TIMES.map(lambda at: (at,) * 4),
)
def test_a_load_is_what_counting_gives(
    caps: list[Cap], entries: list[tuple[int, Sent]], zone: dict[int, int], times: tuple[int, ...]
) -> None:
    """For every scope and window, with entries before and after, some people without any."""
    rows = [(user, times[user], network) for user in range(4) for network in (1, 2)]
    found = loads(caps, columns(entries), asked_by(rows, zone), ZONES)
    for place, cap in enumerate(caps):
        for i, (user, at, network) in enumerate(rows):
            theirs = [s for owner, s in entries if owner == user]
            expected = oracle.load(cap, theirs, at, network, 0, NAMES[zone[user]])
            assert found[place, i] == expected


@settings(deadline=None)
@given(caps=st.lists(CAPS, min_size=1, max_size=2), entries=LEDGERS, zone=HOMES, at=TIMES)
def test_the_earliest_instant_permits_and_no_earlier_one_does(
    caps: list[Cap], entries: list[tuple[int, Sent]], zone: dict[int, int], at: int
) -> None:
    """Every hour before it is tried; all times are at full hours here."""
    rows = [(user, at, 1 + user % 3) for user in range(4)]
    found = earliest(caps, columns(entries), asked_by(rows, zone), ZONES)

    def permitted(user: int, network: int, when: int) -> bool:
        theirs = [s for owner, s in entries if owner == user]
        name = NAMES[zone[user]]
        return all(oracle.load(c, theirs, when, network, 0, name) < c.count for c in caps)

    for (user, _, network), first in zip(rows, found.tolist(), strict=True):
        assert permitted(user, network, first)
        for when in range(at, first, HOUR_US // 2):
            assert not permitted(user, network, when)


STEPS = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 2), TIMES, st.integers(1, 3)), min_size=1, max_size=6),
        st.integers(1, 9),
        st.integers(0, 240).map(lambda h: BEGIN + h * HOUR_US),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=200)
@given(caps=st.lists(CAPS, min_size=1, max_size=3), steps=STEPS, zone=HOMES)
def test_no_sequence_of_plans_and_evictions_exceeds_a_cap(
    caps: list[Cap], steps: list[tuple[list[tuple[int, int, int]], int, int]], zone: dict[int, int]
) -> None:
    """People with several devices, at several instants, messages of any importance."""
    ledger = Ledger.empty()
    for rows, priority, now in steps:
        asked = asked_by(rows, zone)
        ask = CapAsk(
            caps=tuple(caps),
            category=0,
            priority=priority,
            takes_places=True,
            gives_way_after_us=now,
            deadline_us=NEVER,
        )
        book = Book(ledger=ledger)
        answers = book.ask(ask, asked, ZONES)
        taken = answers.verdict == CapVerdict.PERMITTED
        gone = np.concatenate([np.zeros(0, np.int64), *book.evicted])
        assert (ledger.at_us[gone] > now).all()
        assert (ledger.priority[gone] < priority).all()
        kept = np.setdiff1d(np.arange(len(ledger)), gone)
        new = Asked(
            user=asked.user[taken],
            at_us=asked.at_us[taken],
            network=asked.network[taken],
            zone=asked.zone[taken],
            category=0,
        )
        merged = ledger.take(kept).plus(disturbances(new, priority=priority))
        ledger = Ledger(
            user=merged.user,
            at_us=merged.at_us,
            networks=merged.networks,
            category=merged.category,
            priority=merged.priority,
        )
        for user in range(4):
            mine = ledger.user == user
            theirs = [
                Sent(
                    at_us=int(at),
                    networks=frozenset(n for n in range(1, 4) if bits >> n & 1),
                    category=0,
                    priority=int(weight),
                )
                for at, bits, weight in zip(
                    ledger.at_us[mine].tolist(),
                    ledger.networks[mine].tolist(),
                    ledger.priority[mine].tolist(),
                    strict=True,
                )
            ]
            for cap in caps:
                assert not oracle.exceeded(cap, theirs, (1, 2, 3), 0, NAMES[zone[user]])


def test_the_least_important_gives_way_and_no_more_than_needed() -> None:
    """Of three that are held, one place is taken: that of the least important, latest one."""
    held = [
        (7, Sent(at_us=BEGIN + h * HOUR_US, networks=frozenset({1}), category=0, priority=p))
        for h, p in ((1, 3), (2, 2), (3, 2))
    ]
    cap = Cap(count=3, window=DAY_US)
    ledger = columns(held)
    asked = asked_by([(7, BEGIN, 1)], {7: 0})
    room = make_room([cap], ledger, asked, ZONES, ledger.priority < 9)
    assert room.granted.tolist() == [True]
    assert room.evicted.tolist() == [2]


def test_nothing_gives_way_where_it_would_not_help() -> None:
    """What was sent already fills the cap: the held one stays."""
    entries = [
        (7, Sent(at_us=BEGIN + h * HOUR_US, networks=frozenset({1}), category=0, priority=1))
        for h in (-2, -1, 5)
    ]
    ledger = columns(entries)
    asked = asked_by([(7, BEGIN, 1)], {7: 0})
    room = make_room([Cap(count=2, window=DAY_US)], ledger, asked, ZONES, ledger.at_us > BEGIN)
    assert room.granted.tolist() == [False]
    assert room.evicted.tolist() == []


@given(cap=CAPS)
def test_a_cap_comes_back_from_its_json(cap: Cap) -> None:
    """Nothing of it is lost."""
    assert cap_from(cap_json(cap)) == cap


IDS = (
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(0, 20)
    | st.builds(lambda above, bucket: above * 1024 + bucket, st.integers(0, 9), st.integers(3, 5))
)


@given(users=st.lists(IDS), wanted=st.lists(IDS))
def test_people_are_found_whatever_their_ids(users: list[int], wanted: list[int]) -> None:
    """Dense ids by a table, sparse ones by a search: the last row of each."""
    found = placed(np.array(users, np.int64), np.array(wanted, np.int64))
    rows = {user: row for row, user in enumerate(users)}
    assert found.tolist() == [rows.get(one, -1) for one in wanted]


def test_the_edges_of_a_window_are_exact() -> None:
    """A window apart from a held one is permitted; a microsecond nearer waits till after it."""
    held = columns(
        [(7, Sent(at_us=BEGIN + DAY_US, networks=frozenset({1}), category=0, priority=5))]
    )
    cap = Cap(count=1, window=DAY_US)
    for at, first in ((BEGIN, BEGIN), (BEGIN + 1, BEGIN + 2 * DAY_US)):
        asked = asked_by([(7, at, 1)], {7: 0})
        assert earliest([cap], held, asked, ZONES).tolist() == [first]
        assert loads([cap], held, asked, ZONES).tolist() == [[int(at != first)]]
