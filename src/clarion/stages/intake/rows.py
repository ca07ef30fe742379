"""Files as columns: CSV, NDJSON and Parquet, a batch at a time.

A row that can't be read is reported by its line and the reading goes on; what breaks the whole
file (no header, not Parquet, a quote that does not close on its line as it should) ends it with the
line where it broke: the rows before it are read, nothing behind it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

import polars as pl

from clarion.domain.attributes import FieldProblem, parse_time
from clarion.domain.registration import INSTANT, POINTERS, RAW_COLUMNS
from clarion.stages.intake.plain import plain_cells

_TRUE: Final = ("true", "t", "1", "yes")
_FALSE: Final = ("false", "f", "0", "no")


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What the columns of a file may be."""

    columns: Mapping[str, pl.DataType]
    objects: Mapping[str, str]
    """Columns of JSON objects, which a file may spread over `COLUMN.NAME` -> what a member is."""
    nested: Mapping[str, Mapping[str, str]]
    """JSON objects whose members are columns, as in the API: member -> column."""
    texts: frozenset[str] = frozenset()
    """Those of `objects` whose members are texts and whose names may hold a colon."""


REGISTRATIONS: Final = Layout(
    columns=RAW_COLUMNS,
    objects={"attributes": "attribute", "user_attributes": "attribute", "aliases": "alias"},
    nested={
        "keys": {"p256dh": "p256dh", "auth": "auth"},
        "location": {"latitude": "latitude", "longitude": "longitude"},
    },
    texts=frozenset({"aliases"}),
)


class Format(StrEnum):
    """What a file is."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    """A row that was not stored, or not all of it."""

    line: int
    """Counted from 1: the line of the file where the row starts, the row's number in Parquet."""
    field: str
    """JSON pointer, or the empty string when the row as a whole is meant."""
    code: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RawBatch:
    """Some rows as they were read."""

    rows: pl.DataFrame
    """Those of the layout's columns that the file has."""
    lines: Sequence[int]
    """Where each row starts."""
    bad: Sequence[BadRow]
    read: int
    """Rows of the file that this batch used up, the bad ones included."""


class MalformedFileError(Exception):
    """The file can't be read on; what was read before is stored."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {detail}" if line else detail)
        self.line = line
        self.detail = detail


FIELD_BY_POINTER: Final[Mapping[str, str]] = {path: name for name, path in POINTERS.items()}


def field_of(path: str) -> str:
    """The column that a JSON pointer of a problem means: `attributes.plan`, `user_language`."""
    if path in FIELD_BY_POINTER:
        return FIELD_BY_POINTER[path]
    for name in ("attributes", "user_attributes", "aliases"):
        pointer = POINTERS.get(name, f"/{name}")
        if path.startswith(f"{pointer}/"):
            return f"{name}.{path[len(pointer) + 1 :]}"
    return path.removeprefix("/")


def bad_row(line: int, problem: FieldProblem) -> BadRow:
    """A problem of a row, in the words of the file."""
    return BadRow(line=line, field=field_of(problem.path), code=problem.code, detail=problem.detail)


Cells = Sequence[object] | pl.Series
"""A column as it was read: plain values (JSON, Parquet), or text as a series of strings."""


def typed_frame(
    columns: Mapping[str, Cells], lines: Sequence[int], layout: Layout = REGISTRATIONS
) -> tuple[pl.DataFrame, Sequence[int], list[BadRow]]:
    """Columns of plain values (text from CSV, JSON values) as columns of the layout.

    Returns:
        The rows whose values have the right types, their lines, and the others.
    """
    bad: list[BadRow] = []
    broken: set[int] = set()
    made: list[pl.Series] = []
    for name, values in columns.items():
        kind = layout.columns[name]
        typed, wrong = _typed(name, values, kind)
        broken.update(wrong)
        bad += [
            BadRow(line=lines[row], field=name, code=_code(kind), detail=_wanted(kind))
            for row in wrong
        ]
        made.append(typed)
    frame = pl.DataFrame(
        made or [pl.Series(next(iter(layout.columns)), [None] * len(lines), pl.String())]
    )
    if not broken:
        return frame, lines, bad
    good = [row for row in range(len(lines)) if row not in broken]
    bad.sort(key=lambda problem: problem.line)
    return frame[good], [lines[row] for row in good], bad


def _typed(name: str, values: Cells, kind: pl.DataType) -> tuple[pl.Series, Sequence[int]]:
    """A column of the layout's type, and the rows whose value has none."""
    text = kind == pl.String()
    if isinstance(values, pl.Series):
        if text or values.dtype == kind:
            return values.cast(kind).alias(name), ()
        typed = plain_cells(values, kind)
        rows = (typed.is_null() & values.is_not_null()).arg_true()
        if not len(rows):
            return typed.alias(name), ()
        reads = _reader_of(kind)
        read = [reads(value) for value in values.gather(rows)]
        wrong = [row for row, value in zip(rows, read, strict=True) if value is None]
        return typed.scatter(rows, pl.Series(read, dtype=kind)).alias(name), wrong
    if text and all(type(v) is str or v is None for v in values):
        return pl.Series(name, values, pl.String()), ()
    reads = _reader_of(kind)
    read = [None if value is None else reads(value) for value in values]
    pairs = enumerate(zip(read, values, strict=True))
    wrong = [row for row, (value, given) in pairs if value is None and given is not None]
    return pl.Series(name, read, kind), wrong


def _reader_of(kind: pl.DataType) -> Callable[[object], object]:
    """What makes a value of a column's type, or None where it can't be; asked once a column."""
    if kind == pl.String():
        return lambda value: value if isinstance(value, str) else None
    if kind == INSTANT:
        return _Instants().read
    if kind == pl.Boolean():
        return to_truth
    return to_whole if kind == pl.Int64() else to_fraction


class _Instants:
    """Understands each different text once: many rows of a file are of one instant."""

    def __init__(self) -> None:
        self._known: dict[str, datetime | None] = {}

    def read(self, value: object) -> datetime | None:
        """The instant, or None."""
        if not isinstance(value, str):
            return None
        if value not in self._known:
            self._known[value] = parse_time(value)
        return self._known[value]


def to_truth(value: object) -> bool | None:
    """True or false, also as the words that spreadsheets write; None for all else."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def to_number(value: object, *, whole: bool) -> int | float | None:
    """A number, also as text; None for all else, and for a fraction where `whole` is asked."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = int(value) if whole and not isinstance(value, float) else float(value)
    except (ValueError, OverflowError):
        return None
    if whole and (isinstance(number, float) or abs(number) >= _INT64):
        return None
    return number


def to_whole(value: object) -> int | float | None:
    """An integer, also as text."""
    return value if type(value) is int and abs(value) < _INT64 else to_number(value, whole=True)


def to_fraction(value: object) -> int | float | None:
    """A number, also as text."""
    return value if type(value) is float else to_number(value, whole=False)


_INT64: Final = 2**63


def _code(kind: pl.DataType) -> str:
    return "time_invalid" if kind == INSTANT else "type_invalid"


def _wanted(kind: pl.DataType) -> str:
    if kind == INSTANT:
        return "the time is not RFC 3339 with an offset, such as 2026-01-31T08:00:00Z"
    if kind == pl.Boolean():
        return "the value is not true or false"
    return "the value is not a text" if kind == pl.String() else "the value is not a number"
