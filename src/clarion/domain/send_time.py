"""When a message is due for each person: now, at an instant, or when their clock shows a time."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import Int64s
from clarion.domain.intervals import distinct
from clarion.domain.zones import DAY_US, ZoneTable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class IfPassed(StrEnum):
    """What becomes of a message whose local time is over where the person is."""

    NEXT_DAY = "next_day"
    """It is due when their clock shows the time again."""
    DROP = "drop"
    SEND_NOW = "send_now"
    """It is due at once while no more than `grace_us` have gone by, and dropped after."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Now:
    """As soon as it may be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class At:
    """At one instant, everywhere."""

    at_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AtLocal:
    """When the clock of each person shows a time."""

    clock: time
    day: date | None = None
    """None: the day that it is where the person is."""
    if_passed: IfPassed = IfPassed.NEXT_DAY
    grace_us: int = 0


When = Now | At | AtLocal


def instant_us(at: datetime) -> int:
    """Microseconds since the epoch of an aware instant."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant(at_us: int) -> datetime:
    """The instant, in UTC."""
    return _EPOCH + timedelta(microseconds=at_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class SendTimes:
    """When each row is due; columns of n rows."""

    send_us: Int64s
    passed: npt.NDArray[np.bool_]
    """The time is over and the message is to be dropped."""


def send_times(when: When, zones: ZoneTable, zone: Int64s, now_us: int) -> SendTimes:
    """When each row is due, never before `now_us`.

    Args:
        when: what the sender asked for.
        zones: a table from two days before `now_us` to two days after the last due instant.
        zone: codes of known zones, n rows.
        now_us: the instant of the decision.
    """
    n = len(zone)
    if not isinstance(when, AtLocal) or not n:
        due = when.at_us if isinstance(when, At) else now_us
        return SendTimes(
            send_us=np.full(n, max(due, now_us), np.int64), passed=np.zeros(n, np.bool_)
        )
    kind = distinct(zone)
    times = _local(when, zones, kind.values, now_us)
    return SendTimes(send_us=times.send_us[kind.index], passed=times.passed[kind.index])


def _local(when: AtLocal, zones: ZoneTable, zone: Int64s, now_us: int) -> SendTimes:
    today = zones.to_local(zone, np.full(len(zone), now_us)) // DAY_US
    day = today if when.day is None else np.full(len(zone), _day(when.day))
    clock_us = _clock_us(when.clock)
    due = zones.to_utc(zone, day * DAY_US + clock_us)
    over = due < now_us
    none = np.zeros(len(zone), np.bool_)
    if when.if_passed is IfPassed.NEXT_DAY:
        for later in (today, today + 1, today + 2):  # tomorrow's may be over on a skipped day
            due = np.where(due < now_us, zones.to_utc(zone, later * DAY_US + clock_us), due)
        return SendTimes(send_us=due, passed=none)
    late = over if when.if_passed is IfPassed.DROP else now_us - due > when.grace_us
    return SendTimes(send_us=np.maximum(due, now_us), passed=over & late)


def _day(day: date) -> int:
    return day.toordinal() - _EPOCH.toordinal()


def _clock_us(clock: time) -> int:
    return ((clock.hour * 60 + clock.minute) * 60 + clock.second) * 1_000_000 + clock.microsecond
