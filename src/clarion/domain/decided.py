"""Recorded decisions: rows with the policy and the names that they point to, and their bytes."""

import io
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.domain.decision_row import DECISION_ROW, Action, DecisionColumns
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import BUCKETS, AppId, MessageId
from clarion.domain.zones import HOUR_US

_COLUMNS: Final = DECISION_ROW.names or ()
_HEAD: Final = struct.Struct("<4sIHHqq")
_IN_ROWS: Final = b"dec1"
_IN_COLUMNS: Final = b"dec2"
_FEW: Final = 64
"""So few rows are squeezed as they are: a data frame would cost more than it saves."""
_STEPS: Final = ("user", "device")
"""Ids come in long ascending runs: the steps between them shrink, the ids do not."""
_QUICK: Final = 1
_BITS: Final = (3, 16, 4)
"""Of an action, a reason and a network in the key of a count."""
_HOUR_BITS: Final = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class _Decided:
    """What one policy came to for some recipients."""

    app: AppId
    messages: Sequence[MessageId]
    runs: Sequence[int]
    """How many rows each message has, one after the other."""
    rows: npt.NDArray[np.void] | DecisionColumns
    policy: Mapping[str, object]
    """`policy.to_json` of the policy that was asked."""
    zones: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    segments: Mapping[str, int] = field(default_factory=dict)
    """The version of each segment by which the people were chosen, by its name."""

    @property
    def meta(self) -> dict[str, object]:
        """What the rows point to, as plain values."""
        return {
            "policy": dict(self.policy),
            "zones": list(self.zones),
            "persons": list(self.persons),
            "languages": list(self.languages),
            "segments": dict(self.segments),
            "runs": list(self.runs),
            "counts": self.counts,
        }

    @property
    def counts(self) -> list[list[int]]:
        """(place of the message, action, reason, network, hour, rows): reports add these up.

        The hour since the epoch in which what is held is due; -1 for all else.
        """
        rows, hold = self.rows, self.rows["action"] == Action.HOLD
        key = np.repeat(np.arange(len(self.runs)), self.runs)
        parts = (rows["action"], rows["reason"], rows["network"])
        for part, bits in zip(parts, _BITS, strict=True):
            key = key << bits | part
        key = key << _HOUR_BITS | np.where(hold, rows["send_us"] // HOUR_US + 1, 0)
        if not len(key) or (key == key[0]).all():
            return [_count(one, len(key)) for one in key[:1].tolist()]
        keys, counts = np.unique(key, return_counts=True)
        return [_count(*pair) for pair in zip(keys.tolist(), counts.tolist(), strict=True)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided(_Decided):
    """Decisions as rows: of a few recipients, and those that are read again."""

    rows: npt.NDArray[np.void]
    """Structured array of `DECISION_ROW`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecidedColumns(_Decided):
    """Hand-off 4 of planning: the same as columns, which is how many are written."""

    rows: DecisionColumns


def _count(key: int, rows: int) -> list[int]:
    """What one key of `Decided.counts` stands for."""
    told = [rows, (key & (1 << _HOUR_BITS) - 1) - 1]
    key >>= _HOUR_BITS
    for bits in reversed(_BITS):
        told.append(key & (1 << bits) - 1)
        key >>= bits
    return [key, *reversed(told)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Whom packed decisions may be about: told by their first octets, all ends included."""

    rows: int
    buckets: tuple[int, int]
    users: tuple[int, int]


def packed(rows: npt.NDArray[np.void] | DecisionColumns) -> bytes:
    """`DECISION_ROW`s as few octets: kept for years, written for everybody who is considered.

    A column that says the same on every row is one value, in the first row, which is there whole;
    bit n of the mask says so of column n. The others are an Arrow stream.
    """
    user = cast("Int64s", rows["user"])
    if len(rows) < _FEW:
        return _head(_IN_ROWS, user) + zlib.compress(_structured(rows).tobytes(), _QUICK)
    constant, columns = 0, {}
    differ = _differing(rows)
    for place, name in enumerate(_COLUMNS):
        if name not in differ:
            constant |= 1 << place
            continue
        column = rows[name]
        if column.ndim > 1:  # four counters, side by side
            column = np.ascontiguousarray(column).view("<u4").reshape(-1)
        if name in _STEPS:
            columns[name] = _narrow(np.diff(column, prepend=column[:1]))
        else:
            columns[name] = np.ascontiguousarray(column)
    out = io.BytesIO()
    if columns:
        pl.DataFrame(columns).write_ipc_stream(out, compression="zstd")
    mask = constant.to_bytes(4, "little")
    whole = rows.part(0, 1) if isinstance(rows, DecisionColumns) else rows[:1]
    first = _structured(whole).tobytes()
    return b"".join((_head(_IN_COLUMNS, user), mask, first, out.getvalue()))


def _structured(rows: npt.NDArray[np.void] | DecisionColumns) -> npt.NDArray[np.void]:
    return rows.rows() if isinstance(rows, DecisionColumns) else rows


def span(blob: bytes) -> Span:
    """Whom packed decisions may be about.

    Raises:
        ValueError: it is something else.
    """
    if len(blob) < _HEAD.size or blob[:4] not in {_IN_ROWS, _IN_COLUMNS}:
        raise ValueError("not packed decisions")
    _, rows, low, high, first, last = _HEAD.unpack_from(blob)
    return Span(rows=rows, buckets=(low, high), users=(first, last))


def unpacked(blob: bytes) -> npt.NDArray[np.void]:
    """The rows that `packed` wrote.

    Raises:
        ValueError: it is something else.
    """
    n = span(blob).rows
    try:
        if blob[:4] == _IN_ROWS:
            octets = zlib.decompress(blob[_HEAD.size :])
            if len(octets) != n * DECISION_ROW.itemsize:
                raise ValueError("packed decisions of another length")
            return np.frombuffer(octets, DECISION_ROW)
        return _of_columns(blob[_HEAD.size :], n)
    except (zlib.error, pl.exceptions.PolarsError, OSError) as error:
        raise ValueError(f"not packed decisions: {error}") from error


def _head(form: bytes, user: npt.NDArray[np.int64]) -> bytes:
    if not len(user):
        return _HEAD.pack(form, 0, 0, 0, 0, 0)
    bucket = user % BUCKETS
    ends = (int(bucket.min()), int(bucket.max()), int(user.min()), int(user.max()))
    return _HEAD.pack(form, len(user), *ends)


def _differing(rows: npt.NDArray[np.void] | DecisionColumns) -> set[str]:
    """Columns that do not say the same on every row."""
    return {
        name
        for name in _COLUMNS
        if (column := rows[name]).strides[0] and (column != column[0]).any()
    }


def _narrow(steps: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | npt.NDArray[np.int32]:
    """Steps in half the octets, where none is too long for that."""
    reach = np.iinfo(np.int32)
    fits = reach.min <= steps.min() and steps.max() <= reach.max
    return steps.astype(np.int32) if fits else steps


def _of_columns(octets: bytes, n: int) -> npt.NDArray[np.void]:
    constant, first = int.from_bytes(octets[:4], "little"), 4 + DECISION_ROW.itemsize
    if len(octets) < first:
        raise ValueError("packed decisions that were cut short")
    rows = np.repeat(np.frombuffer(octets[4:first], DECISION_ROW), n)
    names = [name for place, name in enumerate(_COLUMNS) if not constant >> place & 1]
    if not names:
        return rows
    frame = pl.read_ipc_stream(io.BytesIO(octets[first:]))
    if frame.columns != names or len(frame) != n:
        raise ValueError("packed decisions of another form")
    for name in names:
        column = frame[name].to_numpy()
        if name in _STEPS:
            rows[name] += np.cumsum(column)
        elif rows[name].ndim == 1:
            rows[name] = column
        else:
            rows[name] = np.ascontiguousarray(column).view(np.uint8).reshape(n, -1)
    return rows
