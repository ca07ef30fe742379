r"""Filling a payload's merge markers with each recipient's values, as one column of payloads.

A provider writes its JSON once a message; the markers of `domain.merge` pass through the writer
as they are (they are neither controls nor quotes, RFC 8259 section 7). Here the bytes are cut at
the markers once, and joined once a recipient with values escaped as the writers escape them:
`"`, `\\` and the controls below U+0020, with the short forms of RFC 8259, everything else as UTF-8.

A value can't end its string, so it can't add a member: whatever it holds, the filled payload is
the payload with that text in that place.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
UInt16s = npt.NDArray[np.uint16]
Columns = Sequence[Sequence[str]]
"""k columns of n texts each."""
Shorten = Callable[[str, int, Callable[[str], int]], str]
"""(text, most octets, octets of a text) -> the longest beginning that fits."""

# U+E000 to U+E003, and U+E010 to U+F8FF, in UTF-8.
_MARKER: Final = re.compile(
    b"\xee\x80\x80(\xee[\x80-\xbf][\x80-\xbf]|\xef[\x80-\xa3][\x80-\xbf])\xee\x80([\x80-\x83])"
)
_SPECIAL: Final = re.compile('[\x00-\x1f"\\\\\ud800-\udfff]')
_FIRST: Final = 0xE010
_REPLACEMENT: Final = "\ufffd"


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A payload cut at its markers: `pieces[0] value pieces[1] value ... pieces[-1]`."""

    pieces: tuple[bytes, ...]
    columns: tuple[int, ...]
    levels: tuple[int, ...]
    """How many times each value is escaped: 1, and one more for each JSON text around it; 0 where
    a network counts texts as they are (`domain.merge.counted`)."""

    @property
    def fixed(self) -> int:
        """Octets that are the same for everybody."""
        return sum(map(len, self.pieces))


@lru_cache(maxsize=256)
def cut(payload: bytes) -> Skeleton:
    """The skeleton of a payload; one piece and no columns where it has no marker."""
    parts = _MARKER.split(payload)
    return Skeleton(
        pieces=tuple(parts[0::3]),
        columns=tuple(ord(name.decode()) - _FIRST for name in parts[1::3]),
        levels=tuple(end[0] - 0x80 for end in parts[2::3]),
    )


def escaped(value: str, level: int = 1) -> bytes:
    """A value as the inside of a JSON string, escaped `level` times, in UTF-8.

    A lone surrogate has no UTF-8 form and becomes U+FFFD.
    """
    if _SPECIAL.search(value) is None:
        return value.encode()
    text = re.sub("[\ud800-\udfff]", _REPLACEMENT, value)
    for _ in range(level):
        text = json.dumps(text, ensure_ascii=False)[1:-1]
    return text.encode()


def escaped_column(values: Sequence[str], level: int = 1) -> list[bytes]:
    """`escaped` of every value; plain columns take one search for all of them."""
    if _SPECIAL.search("".join(values)) is None:
        return [value.encode() for value in values]
    return [escaped(value, level) for value in values]


def _escaped_columns(skeleton: Skeleton, columns: Columns) -> list[list[bytes]]:
    """One column a marker, each pair of column and level escaped once."""
    wanted = dict.fromkeys(zip(skeleton.columns, skeleton.levels, strict=True))
    ready = {(k, level): escaped_column(columns[k], level) for k, level in wanted}
    return [ready[pair] for pair in zip(skeleton.columns, skeleton.levels, strict=True)]


def fill(payload: bytes, columns: Columns, rows: Sequence[int] | None = None) -> list[bytes]:
    """One payload a recipient.

    Args:
        payload: What the provider wrote, with or without markers.
        columns: The batch's merge columns, all of one length.
        rows: Only these rows, in this order; None for all of them.

    Returns:
        As many payloads as rows. Without a marker, the same object each time.

    Raises:
        IndexError: A marker names a column that is not there.
    """
    skeleton = cut(payload)
    chosen = columns if rows is None else [[column[row] for row in rows] for column in columns]
    if not skeleton.columns:
        count = len(rows) if rows is not None else len(columns[0]) if columns else 0
        return [payload] * count
    values = _escaped_columns(skeleton, chosen)
    head, *tails = skeleton.pieces
    if len(values) == 1:
        tail = tails[0]
        return [head + value + tail for value in values[0]]
    join = b"".join
    if len(values) == 2:  # noqa: PLR2004  two values: the most common shape, title and body
        middle, tail = tails
        return [join((head, a, middle, b, tail)) for a, b in zip(*values, strict=True)]
    order: list[Sequence[bytes]] = []
    for value, piece in zip(values, tails, strict=True):
        order += [value, [piece] * len(value)]
    return [head + join(parts) for parts in zip(*order, strict=True)]


def sizes(payload: bytes, columns: Columns) -> Int64s:
    """Octets of each recipient's payload, without building one.

    Args:
        payload: What the provider wrote.
        columns: The batch's merge columns, n texts each.

    Returns:
        n sizes; empty where there are no columns.
    """
    count = len(columns[0]) if columns else 0

    def lengths(column: int, level: int) -> Int64s:
        escaped = escaped_column(columns[column], level)
        return np.fromiter(map(len, escaped), np.int64, count)

    return summed(payload, count, lengths)


def summed(payload: bytes, count: int, lengths: Callable[[int, int], Int64s]) -> Int64s:
    """The same from lengths that are known: (column, level) -> `count` octets of escaped values."""
    skeleton = cut(payload)
    total = np.full(count, skeleton.fixed, np.int64)
    wanted = list(zip(skeleton.columns, skeleton.levels, strict=True))
    for pair in dict.fromkeys(wanted):
        total += lengths(*pair) * wanted.count(pair)
    return total


def _of_each(message: UInt16s, columns: Columns) -> Iterator[tuple[int, list[int], Columns]]:
    """(message, its rows, their columns) of each message that has rows."""
    for at in np.unique(message).tolist():
        rows = np.flatnonzero(message == at).tolist()
        if len(rows) == len(message):
            yield at, rows, columns
        else:
            yield at, rows, [[column[row] for row in rows] for column in columns]


def fill_messages(payloads: Mapping[int, bytes], message: UInt16s, columns: Columns) -> list[bytes]:
    """`fill` where recipients have different messages.

    Args:
        payloads: Index of a message -> what the provider wrote for it.
        message: Per recipient, the index of its message.
        columns: The batch's merge columns, at least one.

    Returns:
        One payload a recipient; empty where its message has none.
    """
    filled = [b""] * len(message)
    for at, rows, mine in _of_each(message, columns):
        if at not in payloads:
            continue
        bodies = fill(payloads[at], mine)
        if len(rows) == len(message):
            return bodies
        for row, body in zip(rows, bodies, strict=True):
            filled[row] = body
    return filled


def longest_sizes(
    payloads: Mapping[int, Sequence[bytes]], message: UInt16s, columns: Columns
) -> Int64s:
    """`sizes` where recipients have different messages, of the longest of each one's payloads."""
    found = np.zeros(len(message), np.int64)
    for at, rows, mine in _of_each(message, columns):
        for payload in payloads.get(at, ()):
            found[rows] = np.maximum(found[rows], sizes(payload, mine))
    return found


def fit(
    payload: bytes, columns: Columns, *, limit: int, column: int, shorten: Shorten
) -> list[str]:
    """A column shortened where a recipient's payload is too long, else as it was.

    Rows that no shortening of this column can save keep their value; `sizes` finds them again.

    Args:
        payload: What the provider wrote.
        columns: The merge columns.
        limit: The most octets that a payload may have.
        column: Which column may be shortened.
        shorten: How (see `domain.graphemes.cut_octets`).
    """
    skeleton = cut(payload)
    places = [
        level for k, level in zip(skeleton.columns, skeleton.levels, strict=True) if k == column
    ]
    values = list(columns[column])
    if not places:
        return values

    def octets(text: str) -> int:
        return sum(len(escaped(text, level)) for level in places)

    excess = sizes(payload, columns) - limit
    for row in np.flatnonzero(excess > 0).tolist():
        room = octets(values[row]) - int(excess[row])
        if room > 0:
            values[row] = shorten(values[row], room, octets) or values[row]
    return values
