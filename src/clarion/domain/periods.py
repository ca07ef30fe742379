"""Days, weeks and months of a calendar, as stretches of instants in each row's zone."""

from enum import StrEnum

import numpy as np

from clarion.domain.handoffs import Int64s
from clarion.domain.intervals import distinct
from clarion.domain.zones import DAY_US, ZoneTable

_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday; weeks begin on Monday (ISO 8601)."""


class Period(StrEnum):
    """A stretch of the calendar."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


def bounds(zones: ZoneTable, period: Period, zone: Int64s, at_us: Int64s) -> tuple[Int64s, Int64s]:
    """The first instant of the period that each row is in, and of the next one.

    A period begins at the first instant at which clocks show its first midnight or later: so
    periods follow each other without a hole, even where midnight is skipped or comes twice.
    """
    if not len(at_us):
        return at_us.copy(), at_us.copy()
    kind = distinct(zone)
    steady = at_us[kind.example]
    if (steady[kind.index] == at_us).all():
        start, end = _bounds(zones, period, kind.values, steady)
        return start[kind.index], end[kind.index]
    return _bounds(zones, period, zone, at_us)


def _bounds(zones: ZoneTable, period: Period, zone: Int64s, at_us: Int64s) -> tuple[Int64s, Int64s]:
    number = _number(period, zones.to_local(zone, at_us) // DAY_US)
    end = zones.to_utc(zone, _midnight(period, number + 1))
    number += at_us >= end  # clocks went back over midnight: the next period has begun before
    start = zones.to_utc(zone, _midnight(period, number))
    return start, zones.to_utc(zone, _midnight(period, number + 1))


def _number(period: Period, day: Int64s) -> Int64s:
    """How many periods there are from the epoch's to that of each day."""
    if period is Period.DAY:
        return day
    if period is Period.WEEK:
        return (day + _EPOCH_WEEKDAY) // 7
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _midnight(period: Period, number: Int64s) -> Int64s:
    """The wall time at which each period begins."""
    if period is Period.DAY:
        return number * DAY_US
    if period is Period.WEEK:
        return (number * 7 - _EPOCH_WEEKDAY) * DAY_US
    return number.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) * DAY_US
