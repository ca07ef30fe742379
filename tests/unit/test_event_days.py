"""The day under which an event's id is remembered."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from clarion.domain.event import EventRules, check

NOW = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)
SEVENTH = "019c9b2e-0000-7000-8000-000000000001"
FOURTH = "0b6c7b8e-0000-4000-8000-000000000000"


def day(event_id: str, at: datetime | None, now: datetime = NOW) -> int:
    """The day of one event."""
    raw = pl.DataFrame(
        {"id": [event_id], "external_id": ["ann"], "name": ["view"], "at": [at]},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )
    checked = check(raw, EventRules(now=now, keep=timedelta(days=30)))
    assert not checked.problems
    return int(checked.rows["day"].item())


@pytest.mark.parametrize("at", [None, NOW, NOW - timedelta(days=5), NOW + timedelta(hours=2)])
def test_an_id_of_version_7_has_one_day(at: datetime | None) -> None:
    """Whatever `at` says, and however late it is told again."""
    assert day(SEVENTH, at) == day(SEVENTH, None, NOW + timedelta(days=3))


def test_another_id_has_the_day_of_at() -> None:
    """The same for each repeat that says the same; without `at`, that on which it arrives."""
    assert day(FOURTH, NOW) == day(FOURTH, NOW, NOW + timedelta(days=3))
    assert day(FOURTH, None, NOW + timedelta(seconds=2)) == day(FOURTH, None) + 1
