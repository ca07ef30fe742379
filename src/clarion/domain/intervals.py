"""Stretches of time in which something may not happen, per group, as columns.

Quiet hours and frequency caps both come to this: half-open intervals `[start, end)` of instants
that are closed for a group (a zone with its windows; a person), and the question when it opens.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import Int64s

_SPARSE: Final = 64
_ALWAYS: Final = 1 << 17
"""A table has no more than so many places a row, and so many."""
_FEW_BITS: Final = 12
_SCATTER: Final = np.uint64(0x9E3779B97F4A7C15)
"""2^64 by the golden ratio: multiples of it lie apart (Knuth, The Art of Computer Programming,
volume 3, section 6.4)."""
NEVER: Final = np.iinfo(np.int64).max
"""An instant that does not come."""


def bisect(values: Int64s, low: Int64s, high: Int64s, wanted: Int64s) -> Int64s:
    """For each row the first i in `low` <= i < `high` with `values[i]` > `wanted`, else `high`.

    `values[low:high]` is sorted for every row. All rows are searched at once, halving by halving.
    """
    low, high = low.copy(), high.copy()
    open_ = low < high
    while open_.any():
        middle = (low + high) >> 1
        beyond = values[np.where(open_, middle, 0)] > wanted
        high = np.where(open_ & beyond, middle, high)
        low = np.where(open_ & ~beyond, middle + 1, low)
        open_ = low < high
    return low


def pointers(group: Int64s, groups: int) -> Int64s:
    """Where each group begins in a column sorted by group; `groups` + 1 values."""
    return np.concatenate(([0], np.cumsum(np.bincount(group, minlength=groups)))).astype(np.int64)


def repeated(first: Int64s, last: Int64s) -> tuple[Int64s, Int64s]:
    """All pairs (row, i) with `first[row]` <= i < `last[row]`, in order, as two columns."""
    counts = last - first
    row = np.repeat(np.arange(len(first), dtype=np.int64), counts)
    begin = np.cumsum(counts) - counts
    return row, np.arange(len(row), dtype=np.int64) - begin[row] + first[row]


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervals:
    """Disjoint intervals that do not touch, sorted within each group."""

    first: Int64s
    """Group g has the intervals `first[g]` <= i < `first[g + 1]`."""
    start: Int64s
    end: Int64s

    def closed(self, group: Int64s, at: Int64s) -> npt.NDArray[np.bool_]:
        """Whether each instant lies in an interval of its group."""
        return self._starts(group, at)[0] <= at

    def opening(self, group: Int64s, at: Int64s) -> Int64s:
        """The first instant from `at` on that lies in no interval of its group."""
        start, index = self._starts(group, at)
        inside = start <= at
        ends = self.end[np.where(inside, index, 0)] if len(self.end) else at
        return np.where(inside, ends, at)

    def closing(self, group: Int64s, at: Int64s) -> Int64s:
        """When the next interval begins (`at` itself or before, inside one); `NEVER` if none."""
        return self._starts(group, at)[0]

    def _starts(self, group: Int64s, at: Int64s) -> tuple[Int64s, Int64s]:
        """The start of the first interval that ends after `at`, and its index."""
        stop = self.first[group + 1]
        if not len(self.end):
            return np.full(len(at), NEVER), stop
        index = bisect(self.end, self.first[group], stop, at)
        there = index < stop
        return np.where(there, self.start[np.where(there, index, 0)], NEVER), index


def merged(groups: int, group: Int64s, start: Int64s, end: Int64s) -> Intervals:
    """The union, group by group, of half-open intervals in any order; empty ones are no matter."""
    real = start < end
    group, start, end = group[real], start[real], end[real]
    order = np.lexsort((start, group))
    group, start, end = group[order], start[order], end[order]
    reach = _furthest(group, end)
    fresh = np.ones(len(group), np.bool_)
    fresh[1:] = (group[1:] != group[:-1]) | (start[1:] > reach[:-1])
    last = np.roll(fresh, -1)
    return Intervals(
        first=pointers(group[fresh], groups),
        start=start[fresh],
        end=reach[last],
    )


def _furthest(group: Int64s, end: Int64s) -> Int64s:
    """The running maximum of `end` within each group (sorted), doubling the reach each step."""
    reach = end.copy()
    longest = int(np.bincount(group).max()) if len(group) else 0
    step = 1
    while step < longest:
        same = group[step:] == group[:-step]
        before = np.where(same, reach[:-step], reach[step:])
        reach[step:] = np.maximum(reach[step:], before)
        step *= 2
    return reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Distinct:
    """The distinct values of a column."""

    values: Int64s
    index: Int64s
    example: Int64s
    """A row of each value."""


def distinct(values: Int64s) -> Distinct:
    """The distinct values of non-negative codes, by a table: a sort costs many times that.

    Codes of pairs (a zone, a person's own windows) may be few and far between: a few of them have a
    place in a small table each, and where two meet there, it is a sort after all.
    """
    highest = int(values.max())
    if highest > _SPARSE * len(values) + _ALWAYS:
        place = (values.view(np.uint64) * _SCATTER >> np.uint64(64 - _FEW_BITS)).view(np.int64)
        code = np.full(1 << _FEW_BITS, -1, np.int64)
        code[place] = values
        if (code[place] != values).any():
            found, example, index = np.unique(values, return_index=True, return_inverse=True)
            return Distinct(values=found, index=index.reshape(-1), example=example)
        few = distinct(place)
        order = np.argsort(values[few.example])
        return Distinct(
            values=values[few.example[order]],
            index=np.argsort(order)[few.index],
            example=few.example[order],
        )
    place = np.full(highest + 1, -1, np.int64)
    place[values] = np.arange(len(values))
    found = np.flatnonzero(place >= 0)
    example = place[found]
    place[found] = np.arange(len(found))
    return Distinct(values=found, index=place[values], example=example)
