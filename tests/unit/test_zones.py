"""Clocks of every zone, against a clock that is looked at again and again."""

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import polars as pl
import pytest
from tests.oracles.quiet_hours import shown

from clarion.domain.intervals import bisect
from clarion.domain.zone_rows import resolve
from clarion.domain.zones import (
    DAY_US,
    HOUR_US,
    INHABITED_OFFSETS_MIN,
    MINUTE_US,
    UNKNOWN_ZONE,
    UnknownZoneNameError,
    ZoneSource,
    ZoneTable,
    known,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = sorted(available_timezones() - {"localtime", "Factory"})
LOW, HIGH = datetime(2024, 1, 1, tzinfo=UTC), datetime(2030, 12, 31, tzinfo=UTC)


def us(at: datetime) -> int:
    """Microseconds since the epoch."""
    return (at - EPOCH) // timedelta(microseconds=1)


def wall_us(wall: datetime) -> int:
    """A clock's time as microseconds."""
    return us(wall.replace(tzinfo=UTC))


def wall_at(name: str, at_us: int) -> int:
    """What `zoneinfo` says that the clock shows."""
    return wall_us(shown(name, at_us))


@cache
def table() -> ZoneTable:
    """Every zone, 2024 to 2030."""
    return ZoneTable.build(NAMES, us(LOW), us(HIGH))


@cache
def changes() -> tuple[tuple[int, int], ...]:
    """(zone, instant) of each change of every zone."""
    zones = table()
    found = []
    for code in range(len(NAMES)):
        low, high = int(zones.first[code]), int(zones.first[code + 1])
        found += [(code, int(at)) for at in zones.start_us[low + 1 : high]]
    return tuple(found)


@pytest.mark.parametrize(
    "name",
    ["Europe/Paris", "Australia/Lord_Howe", "Antarctica/Troll", "Africa/Casablanca", "Asia/Gaza"],
)
def test_no_change_of_clocks_is_missed(name: str) -> None:
    """A look every half hour of seven years sees the changes that the table has."""
    zone = ZoneInfo(name)
    step = timedelta(minutes=30)
    instants = [LOW + step * i for i in range((HIGH - LOW) // step + 1)]
    offsets = [at.astimezone(zone).utcoffset() for at in instants]
    seen = [
        us(b)
        for (_, b), (x, y) in zip(pairwise(instants), pairwise(offsets), strict=True)
        if x != y
    ]
    assert [at for code, at in changes() if NAMES[code] == name] == seen


def test_every_zone_shows_what_zoneinfo_shows() -> None:
    """Around every change, and in the middle of every month, of every zone."""
    zone, at = [], []
    for code, change in changes():
        for shift in (-DAY_US, -HOUR_US, -1, 0, 1, 30 * MINUTE_US, HOUR_US, DAY_US):
            zone.append(code)
            at.append(change + shift)
    for code in range(len(NAMES)):
        for month in range(0, 84, 5):
            zone.append(code)
            at.append(us(datetime(2024 + month // 12, month % 12 + 1, 15, 7, tzinfo=UTC)))
    shown_us = table().to_local(np.array(zone), np.array(at))
    expected = [wall_at(NAMES[code], instant) for code, instant in zip(zone, at, strict=True)]
    assert shown_us.tolist() == expected


def test_a_wall_time_is_the_first_instant_that_shows_it_or_a_later_one() -> None:
    """Quarter of an hour by quarter of an hour, around every change of every zone."""
    step, around = 15 * MINUTE_US, 3 * HOUR_US
    zone, wall, expected = [], [], []
    for code, change in changes():
        instants = list(range(change - 2 * around, change + 2 * around, step))
        clock = [wall_at(NAMES[code], at) for at in instants]
        for asked in range(clock[0] + around, clock[-1] - around, step):
            first = next(at for at, c in zip(instants, clock, strict=True) if c >= asked)
            zone.append(code)
            wall.append(asked)
            expected.append(first)
    assert table().to_utc(np.array(zone), np.array(wall)).tolist() == expected


@pytest.mark.parametrize(
    ("name", "wall", "instant"),
    [
        ("Europe/Paris", "2026-03-29T02:30:00", "2026-03-29T01:00:00"),  # skipped
        ("Europe/Paris", "2026-10-25T02:30:00", "2026-10-25T00:30:00"),  # comes twice
        ("Europe/Paris", "2026-10-25T03:00:00", "2026-10-25T02:00:00"),  # after the second pass
        ("Australia/Lord_Howe", "2026-10-04T02:10:00", "2026-10-03T15:30:00"),  # half an hour
        ("Pacific/Apia", "2011-12-30T12:00:00", "2011-12-30T10:00:00"),  # a day without noon
        ("Pacific/Kiritimati", "2026-01-01T00:00:00", "2025-12-31T10:00:00"),
        ("America/Santiago", "2026-09-06T00:00:00", "2026-09-06T04:00:00"),  # no midnight
        ("Antarctica/Troll", "2026-03-29T02:00:00", "2026-03-29T01:00:00"),  # two hours
    ],
)
def test_gaps_and_overlaps(name: str, wall: str, instant: str) -> None:
    """A skipped time is the end of the gap; a time that comes twice is the first."""
    expected = us(datetime.fromisoformat(instant).replace(tzinfo=UTC))
    zones = ZoneTable.build([name], expected - DAY_US, expected + DAY_US)
    asked = np.array([wall_us(datetime.fromisoformat(wall))])
    assert zones.to_utc(np.array([0], np.uint16), asked).tolist() == [expected]


def test_inhabited_offsets_have_every_offset_that_is_shown() -> None:
    """Zones of the sea, of no country, are not asked."""
    shown_min = {
        int(offset) // MINUTE_US
        for code, name in enumerate(NAMES)
        if not name.startswith(("Etc/", "posix/", "right/"))
        for offset in table().offset_us[int(table().first[code]) : int(table().first[code + 1])]
    }
    assert shown_min == set(INHABITED_OFFSETS_MIN)


def test_unknown_names_are_refused_by_a_table() -> None:
    """A name of no zone is an error, not UTC."""
    with pytest.raises(UnknownZoneNameError, match="Mars/Base"):
        ZoneTable.build(["Mars/Base"], 0, 1)
    assert not any(known(name) for name in ("", "America", "../etc/passwd", "Mars/Base", "\0"))


def test_a_row_takes_the_zone_it_names_else_that_of_its_country() -> None:
    """Names that are no zones count as not known; the source says which one served."""
    found = resolve(
        pl.Series(["Europe/Paris", None, "Mars/Base", "Asia/Tokyo", None]),
        np.array([1, 0, 1, 2, 0], np.uint8),
        pl.Series(["BE", "FR", "FR", None, "US"]),
        of_country={"FR": "Europe/Paris", "BE": "Europe/Brussels"},
    )
    names = [None if z == UNKNOWN_ZONE else found.names[z] for z in found.zone.tolist()]
    assert names == ["Europe/Paris", "Europe/Paris", "Europe/Paris", "Asia/Tokyo", None]
    source = ZoneSource
    assert found.source.tolist() == [
        *(source.DEVICE, source.COUNTRY, source.COUNTRY, source.USER, source.UNKNOWN)
    ]


def test_rows_without_any_zone_are_all_unknown() -> None:
    """Nothing to encode is no error."""
    nothing = pl.Series([None, None], dtype=pl.String)
    found = resolve(nothing, np.zeros(2, np.uint8), nothing, of_country={})
    assert found.zone.tolist() == [UNKNOWN_ZONE, UNKNOWN_ZONE]
    assert found.names == ()


def test_bisect_searches_each_row_in_its_own_stretch() -> None:
    """The first value beyond what is wanted, or the stretch's end."""
    values = np.array([1, 3, 5, 2, 4])
    low, high = np.array([0, 0, 3, 3]), np.array([3, 3, 5, 3])
    assert bisect(values, low, high, np.array([3, 9, 1, 1])).tolist() == [2, 3, 3, 3]
