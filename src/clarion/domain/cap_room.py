"""Where there is room under the caps: the first instant that permits, and who gives way."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clarion.domain.frequency import Asked, Cap, Ledger, counted, loads, scopes
from clarion.domain.handoffs import Int64s
from clarion.domain.intervals import merged, repeated
from clarion.domain.periods import Period, bounds
from clarion.domain.zones import ZoneTable

Mask = npt.NDArray[np.bool_]


def earliest(caps: Sequence[Cap], ledger: Ledger, asked: Asked, zones: ZoneTable) -> Int64s:
    """The first instant from each row's own on at which all caps permit one more.

    Each row is looked at by itself; other rows of the same person do not count.
    """
    ledger = ledger.of(asked.user)
    ledger = ledger.take(np.lexsort((ledger.at_us, ledger.user)))
    row, entry = repeated(
        np.searchsorted(ledger.user, asked.user, "left"),
        np.searchsorted(ledger.user, asked.user, "right"),
    )
    groups: list[Int64s] = []
    starts: list[Int64s] = []
    ends: list[Int64s] = []
    for cap in caps:
        for networks, rows in scopes(cap, asked.network):
            entries = counted(cap, ledger, asked.category, networks)
            chosen = np.broadcast_to(rows, len(asked.user))[row]
            if entries is not None:
                chosen = chosen & entries[entry]
            group, at_us = row[chosen], ledger.at_us[entry[chosen]]
            of_row = asked.zone[group]
            full = _full(cap, group, at_us, (zones, of_row))
            for column, part in zip((groups, starts, ends), full, strict=True):
                column.append(part)
    if not groups:
        return asked.at_us.copy()
    closed = merged(
        len(asked.user), np.concatenate(groups), np.concatenate(starts), np.concatenate(ends)
    )
    return closed.opening(np.arange(len(asked.user), dtype=np.int64), asked.at_us)


def _full(
    cap: Cap, group: Int64s, at_us: Int64s, where: tuple[ZoneTable, Int64s]
) -> tuple[Int64s, Int64s, Int64s]:
    """(group, start, end) of the stretches in which a cap has no room; entries are sorted.

    With N entries from x to y, y - x < W, one more at t makes N + 1 within less than W if and only
    if y - W < t < x + W.
    """
    last = max(len(group) - cap.count + 1, 0)
    low, high = slice(0, last), slice(cap.count - 1, cap.count - 1 + last)
    same = group[low] == group[high]
    if isinstance(cap.window, Period):
        start, end = bounds(where[0], cap.window, where[1], at_us)
        full = same & (start[low] == start[high])
        return group[low][full], start[low][full], end[low][full]
    full = same & (at_us[high] - at_us[low] < cap.window)
    return (
        group[low][full],
        at_us[high][full] - cap.window + 1,
        at_us[low][full] + cap.window,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """What gave way."""

    granted: Mask
    """The rows that have a place now."""
    evicted: Int64s
    """Places in the ledger's columns of the entries that gave way."""


def make_room(
    caps: Sequence[Cap], ledger: Ledger, asked: Asked, zones: ZoneTable, gives_way: Mask
) -> Room:
    """Take the places of entries that may give way, as few and as unimportant as it goes.

    Of the entries that may stay, the more important stay first, of equals the earlier. Nothing
    gives way for somebody to whom it would not help.

    Args:
        caps: all caps of the message.
        ledger: entries of the rows' people.
        asked: rows that some cap does not permit.
        zones: the zones of the rows.
        gives_way: entries that are held, and less important than the message.
    """
    limit = np.array([cap.count for cap in caps])[:, None]

    def permitted(staying: Mask) -> Mask:
        full = (loads(caps, ledger.take(staying), asked, zones) >= limit).any(axis=0)
        return ~np.isin(asked.user, asked.user[full])  # a person's rows fare alike

    granted = permitted(~gives_way)
    helped = np.isin(ledger.user, asked.user[granted])
    candidates = np.flatnonzero(gives_way & helped)
    order = np.lexsort(
        (
            ledger.at_us[candidates],
            -ledger.priority[candidates].astype(np.int64),
            ledger.user[candidates],
        )
    )
    candidates = candidates[order]
    owner = ledger.user[candidates]
    fresh = np.concatenate(([True], owner[1:] != owner[:-1])) if len(owner) else owner == 0
    begin = np.flatnonzero(fresh)
    rank = np.arange(len(owner)) - np.repeat(begin, np.diff(np.append(begin, len(owner))))
    staying = ~gives_way
    for turn in range(int(rank.max()) + 1 if len(rank) else 0):
        tried = candidates[rank == turn]
        staying[tried] = True
        crowded = asked.user[granted & ~permitted(staying)]
        staying[tried[np.isin(ledger.user[tried], crowded)]] = False
    evicted = gives_way & helped & ~staying
    return Room(granted=granted, evicted=ledger.places()[evicted])
