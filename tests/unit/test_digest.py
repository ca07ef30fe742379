"""Digests are due by the person's clock, and hold what came before."""

from datetime import UTC, datetime

import numpy as np
import polars as pl

from clarion.domain.digest import DigestClock, Rhythm, due, gather
from clarion.domain.send_time import instant, instant_us
from clarion.domain.zones import DAY_US, ZoneTable

AT = instant_us(datetime(2026, 3, 28, 17, 0, tzinfo=UTC))
ZONES = ZoneTable.build(["Europe/Paris", "America/New_York"], AT - 9 * DAY_US, AT + 30 * DAY_US)


def test_a_digest_is_due_at_the_next_such_hour_after() -> None:
    """At six in the evening sharp it is tomorrow's, which is an hour earlier by UTC."""
    found = due(
        DigestClock(minute=18 * 60), Rhythm.DAILY, ZONES, np.array([0, 0, 1]),
        np.array([AT, AT - 1, AT]),
    )  # fmt: skip
    assert [f"{instant(int(at)):%d %H:%M}" for at in found] == ["29 16:00", "28 17:00", "28 22:00"]


def test_a_weekly_digest_is_due_on_its_day() -> None:
    """28 March 2026 is a Saturday; Monday's comes first, then a week later."""
    clock = DigestClock(minute=9 * 60, weekday=0)
    first = due(clock, Rhythm.WEEKLY, ZONES, np.array([0]), np.array([AT]))
    second = due(clock, Rhythm.WEEKLY, ZONES, np.array([0]), first)
    assert f"{instant(int(first[0])):%a %d %H:%M}" == "Mon 30 07:00"
    assert int(second[0] - first[0]) == 7 * DAY_US


def test_messages_are_gathered_per_person_and_window() -> None:
    """The newest first; ties are broken by number."""
    waiting = pl.DataFrame(
        {
            "user": [1, 1, 2, 1],
            "due_us": [10, 10, 10, 20],
            "at_us": [5, 5, 4, 15],
            "number": [1, 2, 3, 4],
            "title": ["a", "b", "c", "d"],
        }
    )
    assert gather(waiting).rows() == [
        (1, 10, 2, ["b", "a"], "b"),
        (2, 10, 1, ["c"], "c"),
        (1, 20, 1, ["d"], "d"),
    ]
