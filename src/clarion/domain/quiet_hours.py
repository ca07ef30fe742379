"""When a person is left alone: windows of the app, the category and the person, all at once.

It is quiet whenever a clock where the person is shows a time within a window. So a window is as
long as the clock makes it: an hour that comes twice is quiet twice, a skipped one not at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import Int64s
from clarion.domain.intervals import NEVER, Intervals, distinct, merged, repeated
from clarion.domain.quiet_windows import QuietAction, QuietHours, Window, windows_of_person
from clarion.domain.zones import (
    DAY_US,
    INHABITED_OFFSETS_MIN,
    MINUTE_US,
    UNKNOWN_ZONE,
    ZoneTable,
)

Mask = npt.NDArray[np.bool_]

_SEARCHED_DAYS: Final = 16
"""How far an opening is looked for: two weeks, should a change of clocks skip the only one."""
_EPOCH_WEEKDAY: Final = 3
"""1 January 1970 was a Thursday."""


class QuietVerdict(IntEnum):
    """What quiet hours say of one row at one instant."""

    OPEN = 0
    SILENT = 1
    HELD = 2
    DROPPED = 3
    NEVER_OPENS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietRules:
    """All quiet hours that bear upon one message."""

    owners: tuple[QuietHours, ...] = ()
    """Of the app and of the category."""
    persons: tuple[str, ...] = ()
    """The distinct texts of people's own windows; these hold."""

    def windows(self, action: QuietAction) -> tuple[Window, ...]:
        """The windows of all owners but the person that do this to a message."""
        return tuple(w for owner in self.owners if owner.action is action for w in owner.windows)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuietTimes:
    """What quiet hours make of each row; columns of n rows."""

    send_us: Int64s
    """The instant asked about, or the opening that it is held to."""
    verdict: npt.NDArray[np.uint8]
    """`QuietVerdict`; HELD says that `send_us` moved (it may be silent there too)."""
    silent: Mask
    open_until_us: Int64s
    """When it becomes quiet again after `send_us`; `intervals.NEVER` if it never does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Closed:
    """The quiet stretches of each (zone, person's text) pair, per action."""

    drop: Intervals
    hold: Intervals
    silent: Intervals
    horizon_us: int


def quiet_times(
    rules: QuietRules, zones: ZoneTable, zone: Int64s, person: Int64s, at_us: Int64s
) -> QuietTimes:
    """Apply all quiet hours to the rows, decided once per distinct (zone, person's text, instant).

    Args:
        rules: the quiet hours of the app, the category and people.
        zones: a table whose horizon reaches from the earliest instant to 16 days past the latest.
        zone: code of each row; `UNKNOWN_ZONE` is quiet whenever it is quiet anywhere.
        person: index into `rules.persons`, or its length for people without windows of their own.
        at_us: the instant at which each row would be sent.
    """
    if not len(at_us) or (not rules.persons and not any(o.windows for o in rules.owners)):
        return _all_open(at_us)
    texts = len(rules.persons) + 1
    pair = zone * texts + person
    kind = distinct(pair)
    pairs = kind.values
    closed = _closed(
        rules, zones, pairs // texts, pairs % texts, (int(at_us.min()), int(at_us.max()))
    )
    steady = at_us[kind.example]
    if (steady[kind.index] == at_us).all():  # one instant a pair: the work is the pairs', not n
        found = _decide(closed, np.arange(len(pairs), dtype=np.int64), steady)
        return QuietTimes(
            send_us=found.send_us[kind.index],
            verdict=found.verdict[kind.index],
            silent=found.silent[kind.index],
            open_until_us=found.open_until_us[kind.index],
        )
    return _decide(closed, kind.index, at_us)


def _all_open(at_us: Int64s) -> QuietTimes:
    return QuietTimes(
        send_us=at_us.copy(),
        verdict=np.zeros(len(at_us), np.uint8),
        silent=np.zeros(len(at_us), np.bool_),
        open_until_us=np.full(len(at_us), NEVER),
    )


def _decide(closed: _Closed, group: Int64s, at_us: Int64s) -> QuietTimes:
    dropped = closed.drop.closed(group, at_us)
    send = np.where(dropped, at_us, closed.hold.opening(group, at_us))
    held = send > at_us
    never = send >= closed.horizon_us
    dropped |= closed.drop.closed(group, send)
    silent = closed.silent.closed(group, send) & ~dropped & ~never
    verdict = np.where(held, np.uint8(QuietVerdict.HELD), np.uint8(QuietVerdict.OPEN))
    verdict[~held & silent] = QuietVerdict.SILENT
    verdict[never] = QuietVerdict.NEVER_OPENS
    verdict[dropped] = QuietVerdict.DROPPED
    until = np.minimum(closed.hold.closing(group, send), closed.drop.closing(group, send))
    louder = np.where(silent, NEVER, closed.silent.closing(group, send))
    return QuietTimes(
        send_us=np.where(dropped | never, at_us, send),
        verdict=verdict,
        silent=silent,
        open_until_us=np.minimum(until, louder),
    )


def _closed(
    rules: QuietRules, zones: ZoneTable, zone: Int64s, person: Int64s, span: tuple[int, int]
) -> _Closed:
    horizon = span[1] + _SEARCHED_DAYS * DAY_US
    clocks = _clocks(zones, zone, (span[0] - DAY_US, horizon))
    stretches = {}
    for action in QuietAction:
        general = rules.windows(action)
        own = [windows_of_person(text) for text in rules.persons]
        texts = [*own, ()] if action is QuietAction.HOLD else [()] * (len(own) + 1)
        table = [(*general, *windows) for windows in texts]
        stretches[action] = _stretches(table, person, clocks, (span[0], horizon))
    return _Closed(
        drop=stretches[QuietAction.DROP],
        hold=stretches[QuietAction.HOLD],
        silent=stretches[QuietAction.SILENT],
        horizon_us=horizon,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clocks:
    """The clocks that count for each group, as periods of constant offset."""

    group: Int64s
    start_us: Int64s
    end_us: Int64s
    offset_us: Int64s


def _clocks(zones: ZoneTable, zone: Int64s, span: tuple[int, int]) -> _Clocks:
    """A known zone has its own clock; of an unknown one, every clock where people live counts."""
    unknown = np.flatnonzero(zone == UNKNOWN_ZONE)
    known = np.flatnonzero(zone != UNKNOWN_ZONE)
    code = zone[known]
    row, period = repeated(zones.first[code], zones.first[code + 1])
    near = (zones.start_us[period] < span[1]) & (zones.end_us[period] > span[0])
    row, period = row[near], period[near]
    offsets = np.array(INHABITED_OFFSETS_MIN, np.int64) * MINUTE_US
    each = np.repeat(unknown, len(offsets))
    return _Clocks(
        group=np.concatenate((known[row], each)),
        start_us=np.concatenate((zones.start_us[period], np.full(len(each), span[0]))),
        end_us=np.concatenate((zones.end_us[period], np.full(len(each), span[1]))),
        offset_us=np.concatenate((zones.offset_us[period], np.tile(offsets, len(unknown)))),
    )


def _stretches(
    table: Sequence[Sequence[Window]], person: Int64s, clocks: _Clocks, span: tuple[int, int]
) -> Intervals:
    """The quiet stretches of each group, in instants; one in which time ends is cut there."""
    first = np.cumsum([0, *(len(windows) for windows in table)])
    flat = [window for windows in table for window in windows]
    days, start, minutes = (
        np.array([getattr(window, name) for window in flat], np.int64)
        for name in ("days", "start_min", "minutes")
    )
    code = person[clocks.group]
    row, window = repeated(first[code], first[code + 1])
    first_day = span[0] // DAY_US - 3  # offsets reach 14 hours, windows a day
    last_day = span[1] // DAY_US + 2
    day = np.arange(first_day, last_day + 1)
    fits = days[window][:, None] >> (day + _EPOCH_WEEKDAY)[None, :] % 7 & 1 == 1
    which, on = np.nonzero(fits)
    row, window = row[which], window[which]
    wall = day[on] * DAY_US + start[window] * MINUTE_US - clocks.offset_us[row]
    begin = np.maximum(wall, clocks.start_us[row])
    end = np.minimum(wall + minutes[window] * MINUTE_US, clocks.end_us[row])
    end = np.minimum(end, span[1])
    return merged(len(person), clocks.group[row], begin, end)
