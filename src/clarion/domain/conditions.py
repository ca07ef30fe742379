"""What may be true of a row: told once, and asked of columns or of a single row.

Asking columns has a fixed price, asking a row has none, so a few rows are judged one by one and
many at once, by the same conditions. A condition is true, false, or unknown where it asks about a
null; unknown goes through "and", "or" and "not" as in SQL (Kleene's logic).
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

Cell = str | int | float | bool | datetime | bytes | None
Row = Mapping[str, Cell]
"""A row by the names of its columns; what is absent counts as null."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The same question to columns and to a row."""

    columns: pl.Expr
    row: Callable[[Row], bool | None]

    def __and__(self, other: "Condition") -> "Condition":
        first, second = self.row, other.row

        def both(row: Row) -> bool | None:
            one = first(row)
            if one is False:
                return False
            return second(row) if one else False if second(row) is False else None

        return Condition(self.columns & other.columns, both)

    def __or__(self, other: "Condition") -> "Condition":
        first, second = self.row, other.row

        def either(row: Row) -> bool | None:
            one = first(row)
            if one:
                return True
            return second(row) if one is False else True if second(row) else None

        return Condition(self.columns | other.columns, either)

    def __invert__(self) -> "Condition":
        asked = self.row

        def other(row: Row) -> bool | None:
            said = asked(row)
            return None if said is None else not said

        return Condition(~self.columns, other)

    def surely(self) -> "Condition":
        """False where it is unknown."""
        asked = self.row
        return Condition(self.columns.fill_null(value=False), lambda row: asked(row) is True)


def given(name: str) -> Condition:
    """There is a value."""
    return Condition(pl.col(name).is_not_null(), lambda row: row.get(name) is not None)


def absent(name: str) -> Condition:
    """There is none."""
    return Condition(pl.col(name).is_null(), lambda row: row.get(name) is None)


def number_given(names: Sequence[str], low: int, high: int) -> Condition:
    """At least `low` and at most `high` of these have a value."""
    count = pl.sum_horizontal(pl.col(name).is_not_null().cast(pl.Int8) for name in names)
    return Condition(
        count.is_between(low, high),
        lambda row: low <= sum(row.get(name) is not None for name in names) <= high,
    )


def among(name: str, values: Iterable[str]) -> Condition:
    """It is one of these texts."""
    chosen = frozenset(values)
    return _told(name, pl.col(name).is_in(sorted(chosen)), lambda value: value in chosen)


def is_text(name: str, text: str) -> Condition:
    """It is this text."""
    return _told(name, pl.col(name) == text, lambda value: value == text)


def begins(name: str, text: str) -> Condition:
    """The text begins so."""
    return _told(
        name, pl.col(name).str.starts_with(text), lambda value: str(value).startswith(text)
    )


def whole(name: str, pattern: str) -> Condition:
    """The whole text matches; the pattern is one that Rust and Python read alike, in ASCII."""
    fits = re.compile(pattern, re.ASCII).fullmatch
    return _told(
        name,
        pl.col(name).str.contains(rf"^(?:{pattern})$"),
        lambda value: fits(str(value)) is not None,
    )


def holds(name: str, pattern: str) -> Condition:
    """A part of the text matches; of the pattern the same as of that of `whole`."""
    finds = re.compile(pattern, re.ASCII).search
    return _told(
        name, pl.col(name).str.contains(pattern), lambda value: finds(str(value)) is not None
    )


def longer(name: str, octets: int) -> Condition:
    """The text has more octets of UTF-8."""
    return _told(
        name,
        pl.col(name).str.len_bytes() > octets,
        lambda value: len(str(value).encode("utf-8", "surrogatepass")) > octets,
    )


def more_characters(name: str, most: int) -> Condition:
    """The text has more characters (code points)."""
    return _told(name, pl.col(name).str.len_chars() > most, lambda value: len(str(value)) > most)


def finite(name: str) -> Condition:
    """It is neither infinite nor NaN."""
    return _told(
        name,
        pl.col(name).is_finite(),
        lambda value: isinstance(value, int | float) and math.isfinite(value),
    )


def between(name: str, low: float | datetime, high: float | datetime) -> Condition:
    """It is one of these two or between them; NaN is not, which columns hold for the greatest."""
    return _told(
        name,
        pl.col(name).is_between(_bound(low), _bound(high)),
        lambda value: _ordered(low, value) and _ordered(value, high),
    )


def above(name: str, limit: float | datetime) -> Condition:
    """It is greater."""
    return _told(name, pl.col(name) > _bound(limit), lambda value: not _ordered(value, limit))


def below(name: str, limit: float | datetime) -> Condition:
    """It is less."""
    return _told(
        name,
        pl.col(name) < _bound(limit),
        lambda value: value != limit and _ordered(value, limit),
    )


def _bound(limit: float | datetime) -> pl.Expr:
    return pl.lit(limit.astimezone(UTC) if isinstance(limit, datetime) else limit)


def _ordered(low: Cell, high: Cell) -> bool:
    """Whether two numbers, or two instants, stand in this order."""
    if isinstance(low, datetime) and isinstance(high, datetime):
        return low <= high
    if isinstance(low, int | float) and isinstance(high, int | float):
        return low <= high
    raise TypeError(f"{low!r} and {high!r} have no order")


def _told(name: str, columns: pl.Expr, ask: Callable[[Cell], bool]) -> Condition:
    """A condition on a value that is there."""

    def told(row: Row) -> bool | None:
        value = row.get(name)
        return None if value is None else ask(value)

    return Condition(columns, told)
