"""Time zones as columns: what clocks show at an instant, and when a clock shows a time.

An instant is microseconds since the epoch in UTC. A wall time is what a clock shows, as the
microseconds that would be that time if the zone were UTC. Offsets are asked of `zoneinfo` once per
zone and year, never per row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from clarion.domain.handoffs import Int64s, UInt16s
from clarion.domain.intervals import bisect

UNKNOWN_ZONE: Final = 65535
"""The code of a row whose zone is not known."""

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LONG_AGO: Final = np.iinfo(np.int64).min // 4
"""Before every instant, yet far enough from the end of the type to add an offset."""
_FAR: Final = np.iinfo(np.int64).max // 4
_LOOK_EVERY_S: Final = 6 * 86_400

INHABITED_OFFSETS_MIN: Final = (
    *(-660, -600, -570, -540, -480, -420, -360, -300, -240, -210, -180, -150, -120, -60, 0, 60),
    *(120, 180, 210, 240, 270, 300, 330, 345, 360, 390, 420, 480, 525, 540, 570, 600, 630, 660),
    *(720, 765, 780, 825, 840),
)
"""Every offset from UTC, in minutes, that a clock where people live has shown since 2024."""


class UnknownZoneNameError(ValueError):
    """The time zone database has no zone of this name."""


class ZoneSource(IntEnum):
    """Where the zone of a row comes from; stored in decisions, never renumbered."""

    UNKNOWN = 0
    DEVICE = 1
    USER = 2
    COUNTRY = 3
    APP = 4


@lru_cache(maxsize=1024)
def known(name: str) -> bool:
    """Whether the time zone database has a zone of this name."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False  # OSError: the name of a directory of zones, such as `America`
    return True


@lru_cache(maxsize=65_536)
def _changes(name: str, year: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    """The offset (seconds) as a year begins, and (instant, offset) of each change in it.

    Looks every six days and halves where two looks differ: two changes within six days would be
    missed where one undoes the other. The shortest that a zone's summer time or Ramadan has
    been since 1970, or will be as far as the database knows, is just under seven; a test looks
    every half hour.
    """
    zone = ZoneInfo(name)

    def offset(at: int) -> int:
        shown = datetime.fromtimestamp(at, zone).utcoffset() or timedelta()
        return shown.days * 86_400 + shown.seconds

    start = round((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
    stop = round((datetime(year + 1, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())
    first = before = offset(start)
    changes = []
    for low in range(start, stop, _LOOK_EVERY_S):
        high = min(low + _LOOK_EVERY_S, stop)
        after = offset(high)
        if after != before:
            changes.append((_first_with(offset, low, high), after))
            before = after
    return first, tuple(changes)


def _first_with(offset: Callable[[int], int], low: int, high: int) -> int:
    """The first second in `low` < s <= `high` at which the offset is that of `high`."""
    after = offset(high)
    while high - low > 1:
        middle = (low + high) // 2
        if offset(middle) == after:
            high = middle
        else:
            low = middle
    return high


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoneTable:
    """Periods of constant offset of some zones, exact within the horizon it was built for.

    Zone z has the periods `first[z]` <= p < `first[z + 1]`. Outside the horizon, the nearest
    period goes on.
    """

    names: tuple[str, ...]
    first: Int64s
    start_us: Int64s
    """When each period begins."""
    end_us: Int64s
    offset_us: Int64s
    reach_us: Int64s
    """The latest wall time that clocks have come to by the end of each period."""

    @staticmethod
    def build(names: Sequence[str], low_us: int, high_us: int) -> "ZoneTable":
        """The table of `names` (their order gives the codes) for `low_us` <= t <= `high_us`.

        Raises `UnknownZoneNameError` for a name that the database does not have.
        """
        return _table(tuple(names), range(_year(low_us), _year(high_us) + 1))

    def to_local(self, zone: UInt16s | Int64s, at_us: Int64s) -> Int64s:
        """What the clocks of each row's zone show at each instant. Zones are known ones."""
        code = zone.astype(np.int64)
        period = bisect(self.start_us, self.first[code], self.first[code + 1], at_us) - 1
        return at_us + self.offset_us[period]

    def to_utc(self, zone: UInt16s | Int64s, wall_us: Int64s) -> Int64s:
        """The first instant at which the clocks of each row's zone show that time or a later one.

        So a time that is skipped (a gap) is the first instant after the gap, and of a time that
        comes twice (an overlap) it is the first.
        """
        code = zone.astype(np.int64)
        period = bisect(self.reach_us, self.first[code], self.first[code + 1], wall_us)
        first: Int64s = np.maximum(self.start_us[period], wall_us - self.offset_us[period])
        return first


@lru_cache(maxsize=64)
def _table(names: tuple[str, ...], years: range) -> ZoneTable:
    """The same for every shard of a message, whose people live in the same zones."""
    periods = [_periods(name, years) for name in names]
    counts = [columns.shape[1] for columns in periods]
    start, end, offset_us, reach = np.concatenate([np.zeros((4, 0), np.int64), *periods], axis=1)
    return ZoneTable(
        names=names,
        first=np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
        start_us=start,
        end_us=end,
        offset_us=offset_us,
        reach_us=reach,
    )


def _year(at_us: int) -> int:
    return (_EPOCH + timedelta(microseconds=at_us)).year


@lru_cache(maxsize=4096)
def _periods(name: str, years: range) -> Int64s:
    """Start, end, offset and reach of each period of constant offset: four rows."""
    if not known(name):
        raise UnknownZoneNameError(f"there is no time zone {name!r}")
    periods = [(_LONG_AGO, _changes(name, years[0])[0])]
    for year in years:
        periods.extend((at * SECOND_US, offset) for at, offset in _changes(name, year)[1])
    start, offset = np.array(periods, np.int64).T
    offset_us = offset * SECOND_US
    end = np.append(start[1:], _FAR)
    return np.stack((start, end, offset_us, np.maximum.accumulate(end + offset_us)))
