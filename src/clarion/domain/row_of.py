"""Which row is about a person, by a table instead of a search.

People of a few buckets have ids that lie 1,024 apart: by bucket and by what is above it they fill a
grid with few gaps, and the table is about as long as the column.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import Int64s
from clarion.domain.ids import BUCKETS

_BITS: Final = BUCKETS.bit_length() - 1
_SPARSE: Final = 64
"""A table has no more than this many places a row, and a few."""
_ALWAYS: Final = 1 << 12
_AT_ONCE: Final = 1 << 14
"""So many are looked up at a time: all that is reckoned of them stays in the processor's cache."""


class RowOf:
    """The last row of each person in a column of ids."""

    def __init__(self, users: Int64s) -> None:
        self._users = users
        self._lead: Int64s | None = None
        self._table: npt.NDArray[np.int32] | None = None
        if not len(users):
            return
        bucket, above = users & BUCKETS - 1, users >> _BITS
        self._bucket, self._above = int(bucket.min()), int(above.min())
        self._width = int(bucket.max()) - self._bucket + 1
        self._height = int(above.max()) - self._above + 1
        places = self._width * self._height
        if places <= _SPARSE * len(users) + _ALWAYS:
            self._table = np.full(places + 1, -1, np.int32)
            spot = (above - self._above) * self._width + (bucket - self._bucket)
            self._table[spot] = np.arange(len(users), dtype=np.int32)
        else:
            self._order = np.argsort(users, kind="stable")
            self._sorted = users[self._order]

    @property
    def lead(self) -> Int64s:
        """For each row of the column the one that stands for its person."""
        if self._lead is None:
            self._lead = self(self._users)
        return self._lead

    def __call__(self, wanted: Int64s) -> Int64s:
        """For each of `wanted` the last row that holds it, or -1."""
        if not len(self._users) or not len(wanted):
            return np.full(len(wanted), -1, np.int64)
        if self._table is None:
            at = np.maximum(np.searchsorted(self._sorted, wanted, "right") - 1, 0)
            return np.where(self._sorted[at] == wanted, self._order[at], -1)
        found = np.empty(len(wanted), np.int64)
        for low in range(0, len(wanted), _AT_ONCE):
            part = slice(low, low + _AT_ONCE)
            found[part] = self._table[self._spots(wanted[part], len(self._table) - 1)]
        return found

    def _spots(self, wanted: Int64s, nowhere: int) -> Int64s:
        """Where the table tells of each of `wanted`."""
        across, spot = wanted & BUCKETS - 1, wanted >> _BITS
        across -= self._bucket
        spot -= self._above
        inside = across.view(np.uint64) < self._width  # what is below zero is far above, unsigned
        inside &= spot.view(np.uint64) < self._height
        spot *= self._width
        spot += across
        if not inside.all():
            spot[~inside] = nowhere
        return spot


def placed(users: Int64s, wanted: Int64s) -> Int64s:
    """For each of `wanted` the last row of `users` that holds it, or -1."""
    return RowOf(users)(wanted)
