"""Quiet hours over columns say of each row what a look at the clock says."""

from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.oracles import quiet_hours as oracle

from clarion.domain.intervals import NEVER
from clarion.domain.quiet_hours import QuietRules, QuietVerdict, quiet_times
from clarion.domain.quiet_windows import (
    EVERY_DAY,
    QuietAction,
    QuietHours,
    QuietHoursError,
    Window,
    text_of_person,
    windows_of_person,
)
from clarion.domain.zones import DAY_US, MINUTE_US, UNKNOWN_ZONE, ZoneTable

NAMES = (
    *("Europe/Paris", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll"),
    *("Africa/Casablanca", "Pacific/Apia", "Pacific/Kiritimati", "Asia/Kathmandu"),
)
BEGIN = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
ZONES = ZoneTable.build(NAMES, BEGIN - 5 * DAY_US, BEGIN + 420 * DAY_US)
CHANGES = [
    int(datetime(2026, month, day, tzinfo=UTC).timestamp()) * 1_000_000
    for month, day in ((3, 29), (3, 8), (10, 25), (10, 4), (2, 15), (3, 22), (11, 1))
]
WINDOWS = st.builds(
    Window,
    days=st.integers(1, EVERY_DAY) | st.just(EVERY_DAY),
    start_min=st.integers(0, 95).map(lambda q: q * 15),
    end_min=st.integers(1, 96).map(lambda q: q * 15),
).filter(lambda w: w.start_min != w.end_min)


def owner(windows: list[Window], action: QuietAction) -> QuietHours | None:
    """The quiet hours, unless they never open."""
    try:
        return QuietHours(windows=tuple(windows), action=action)
    except QuietHoursError:
        return None


OWNERS = st.builds(owner, st.lists(WINDOWS, max_size=2), st.sampled_from(QuietAction)).filter(bool)
INSTANTS = st.builds(
    lambda base, minutes: base + minutes * MINUTE_US,
    st.sampled_from(CHANGES) | st.integers(0, 360).map(lambda d: BEGIN + d * DAY_US),
    st.integers(-600, 600),
)
ROWS = st.tuples(st.sampled_from([*range(len(NAMES)), UNKNOWN_ZONE]), st.integers(0, 2), INSTANTS)


@settings(deadline=None, max_examples=60)
@given(
    owners=st.lists(OWNERS, max_size=2),
    own=st.lists(st.lists(WINDOWS, min_size=1, max_size=2), min_size=2, max_size=2).filter(
        lambda all_: all(owner(windows, QuietAction.HOLD) for windows in all_)
    ),
    rows=st.lists(ROWS, min_size=1, max_size=3),
)
def test_columns_say_what_the_clock_says(
    owners: list[QuietHours], own: list[list[Window]], rows: list[tuple[int, int, int]]
) -> None:
    """Every zone, every mixture of owners, around every kind of change of clocks."""
    rules = QuietRules(owners=tuple(owners), persons=tuple(text_of_person(w) for w in own))
    zone, person, at = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    times = quiet_times(rules, ZONES, zone, person, at)
    for i, (code, who, instant) in enumerate(rows):
        name = None if code == UNKNOWN_ZONE else NAMES[code]
        windows = own[who] if who < len(own) else []
        said = oracle.decide_one(owners, windows, name, instant)
        verdict = times.verdict[i]
        assert said.dropped == (verdict == QuietVerdict.DROPPED)
        if said.dropped:
            continue
        assert (said.send_us is None) == (verdict == QuietVerdict.NEVER_OPENS)
        if said.send_us is not None:
            assert times.send_us[i] == said.send_us
            assert times.silent[i] == said.silent
            assert (verdict == QuietVerdict.HELD) == said.held
            check_open_until(
                owners, windows, name, int(times.send_us[i]), int(times.open_until_us[i])
            )


def check_open_until(
    owners: list[QuietHours], own: list[Window], name: str | None, send: int, until: int
) -> None:
    """Nothing changes for the worse between the sending and `until`; at `until` it does."""

    def worse(at: int, *, silent: bool) -> bool:
        loud = [w for o in owners if o.action is not QuietAction.SILENT for w in o.windows]
        soft = [w for o in owners if o.action is QuietAction.SILENT for w in o.windows]
        return oracle.quiet([*loud, *own], name, at) or (
            not silent and oracle.quiet(soft, name, at)
        )

    was = oracle.quiet(
        [w for o in owners if o.action is QuietAction.SILENT for w in o.windows], name, send
    )
    probes = 40
    end = min(until, send + DAY_US)
    for step in range(probes):
        assert not worse(send + (end - send) * step // probes, silent=was)
    if until != NEVER:
        assert worse(int(until), silent=was)


@given(windows=st.lists(WINDOWS, min_size=1, max_size=5))
def test_a_persons_windows_come_back_from_their_text(windows: list[Window]) -> None:
    """The stored text holds all of them; equal windows have equal text."""
    if owner(windows, QuietAction.HOLD) is None:
        return
    text = text_of_person(windows)
    assert set(windows_of_person(text)) == set(windows)
    assert text_of_person(windows[::-1]) == text
