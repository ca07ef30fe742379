"""Templates as columns: what a variable prints, and the path that needs no template engine.

A template that only puts values into text is a `Simple` one: texts and substitutions, each a
variable, perhaps a default, perhaps some filters on text. It is rendered as whole columns here,
and gives the same text as the Liquid engine gives one person at a time: tests/properties compares
the two on random templates and values.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import quote, quote_plus

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.domain.content import Json

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Column = pl.Series | Sequence[Json]
"""One value a recipient: a typed series, or a sequence where types are mixed. None is missing."""

SPACE: Final = "".join(map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680)))
"""With `WIDE_SPACE`, what `str.strip` takes for space (Unicode's White_Space and four controls)."""
WIDE_SPACE: Final = "".join(map(chr, (*range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F)))
_BLANK: Final = SPACE + WIDE_SPACE + "\u3000"


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a simple substitution, its arguments literals."""

    name: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Substitution:
    """`{{ user.first_name | default: "there" | upcase }}`."""

    path: str
    """Root and name: `user.first_name`."""
    default: str | None = None
    """What is printed for nothing, false, an empty text or list; None: such a value is printed."""
    keeps_false: bool = False
    """`allow_false: true`: the default does not replace false."""
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Simple:
    """A template of nothing but texts and substitutions."""

    parts: tuple[str | Substitution, ...]

    @property
    def substitutions(self) -> list[Substitution]:
        """Those that are there, each once, in order."""
        return list(dict.fromkeys(p for p in self.parts if isinstance(p, Substitution)))


def text_of(value: Json) -> str:
    """What a value prints as: `true`, `1.5`, the members of a list one after another, JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value + 0)  # a negative zero is nobody's balance
    if isinstance(value, Sequence):
        return "".join(map(text_of, value))
    if isinstance(value, Mapping):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    return "" if value is None else str(value)


def pruned(value: Json) -> Json:
    """A value without the members that are None: however it is told, they are missing."""
    if value is None or isinstance(value, str | int | float):
        return value  # most values are, and asking for abstract classes is slow
    if isinstance(value, Mapping):
        return {key: pruned(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, Sequence):
        return [pruned(inner) for inner in value]
    return value


def values_of(column: Column) -> list[Json]:
    """The column's values as the engine is given them."""
    if isinstance(column, pl.Series):
        if column.dtype.is_temporal():
            column = column.dt.to_string("iso:strict")
        elif column.dtype.is_decimal():
            column = column.cast(pl.Float64)
        if not column.dtype.is_nested():
            plain: list[Json] = column.to_list()
            return plain
        return [pruned(value) for value in column.to_list()]
    return [pruned(value) for value in column]


@dataclass(frozen=True, slots=True)
class Printed:
    """A column as text, and where a default takes over: three series of one length."""

    texts: pl.Series
    """Null where the value is missing."""
    empty: pl.Series
    """Missing, or an empty text, list or object."""
    false: pl.Series


def printed(column: Column) -> Printed:
    """A column as it prints (see `text_of`)."""
    if isinstance(column, pl.Series):
        nothing = column.is_null()
        never = pl.repeat(value=False, n=len(column), dtype=pl.Boolean, eager=True)
        if column.dtype == pl.String:
            return Printed(column, (column == "").fill_null(value=True), never)
        if column.dtype == pl.Boolean:
            words = pl.select(pl.when(column).then(pl.lit("true")).otherwise(pl.lit("false")))
            texts = words.to_series().set(nothing, None)
            return Printed(texts, nothing, ~column.fill_null(value=True))
        if column.dtype.is_integer():
            return Printed(column.cast(pl.String), nothing, never)
    values = values_of(column)
    words_of = [None if value is None else text_of(value) for value in values]
    empty = [value is None or value in ("", [], {}) for value in values]
    return Printed(
        pl.Series(words_of, dtype=pl.String),
        pl.Series(empty, dtype=pl.Boolean),
        pl.Series([value is False for value in values], dtype=pl.Boolean),
    )


def _each(texts: pl.Series, function: Callable[[str], str]) -> pl.Series:
    """A function of each text, called once for each distinct one."""
    distinct = texts.unique()
    known = distinct.drop_nulls()
    table = {text: function(text) for text in known.to_list()}
    return (
        texts.replace_strict(
            list(table), list(table.values()), default=None, return_dtype=pl.String
        )
        if table
        else texts
    )


def _is_ascii(texts: pl.Series) -> bool:
    return bool((texts.str.len_bytes() == texts.str.len_chars()).all())


def _cased(
    texts: pl.Series, fast: Callable[[pl.Series], pl.Series], slow: Callable[[str], str]
) -> pl.Series:
    """Case by the column engine where it can't differ: versions of Unicode do beyond ASCII."""
    return fast(texts) if _is_ascii(texts) else _each(texts, slow)


def _upcase(texts: pl.Series) -> pl.Series:
    return _cased(texts, lambda t: t.str.to_uppercase(), str.upper)


def _downcase(texts: pl.Series) -> pl.Series:
    return _cased(texts, lambda t: t.str.to_lowercase(), str.lower)


def _joined(*pieces: pl.Series | str) -> pl.Series:
    """Concatenation row by row; null where any piece is null."""
    exprs = [pl.lit(p, dtype=pl.String) if isinstance(p, str) else pl.lit(p) for p in pieces]
    return pl.select(pl.concat_str(exprs, ignore_nulls=False)).to_series()


_UNARY: Final[Mapping[str, Callable[[pl.Series], pl.Series]]] = {
    "upcase": _upcase,
    "downcase": _downcase,
    "capitalize": lambda texts: _each(texts, str.capitalize),
    "strip": lambda texts: texts.str.strip_chars(_BLANK),
    "lstrip": lambda texts: texts.str.strip_chars_start(_BLANK),
    "rstrip": lambda texts: texts.str.strip_chars_end(_BLANK),
    "escape": lambda texts: _each(texts, escape),
    "url_encode": lambda texts: _each(texts, quote_plus),
    "url_component": lambda texts: _each(texts, lambda text: quote(text, safe="")),
    "raw": lambda texts: texts,
}
_BINARY: Final[Mapping[str, Callable[[pl.Series, str], pl.Series]]] = {
    "append": _joined,
    "prepend": lambda texts, what: _joined(what, texts),
    "remove": lambda texts, what: texts.str.replace_all(what, "", literal=True),
}
ARGUMENTS: Final[Mapping[str, int]] = {
    **dict.fromkeys(_UNARY, 0),
    **dict.fromkeys(_BINARY, 1),
    "replace": 2,
}
"""Filters that have a columnar equivalent -> how many texts each takes."""


def _applied(texts: pl.Series, what: Filter) -> pl.Series:
    if what.name in _UNARY:
        return _UNARY[what.name](texts)
    if what.name in _BINARY:
        return _BINARY[what.name](texts, *what.arguments)
    needle, instead = what.arguments
    return texts.str.replace_all(needle, instead, literal=True)


def substituted(what: Substitution, column: Column, *, lenient: bool = False) -> pl.Series:
    """The text of a substitution for each recipient.

    Null where its variable is missing, unless `lenient`: then nothing is printed in its place.
    """
    if isinstance(column, pl.Series) and column.dtype == pl.String:
        texts = _texts_substituted(what, column, lenient=lenient)
    else:
        texts = _others_substituted(what, printed(column), lenient=lenient)
    for each in what.filters:
        texts = _applied(texts, each)
    return texts


def _texts_substituted(what: Substitution, texts: pl.Series, *, lenient: bool) -> pl.Series:
    """What most variables are: nothing is looked for that is not asked."""
    if what.default is not None:
        empty = texts == ""
        if texts.null_count():
            empty = empty.fill_null(value=True)
        return texts.set(empty, what.default) if empty.any() else texts
    return texts.fill_null("") if lenient and texts.null_count() else texts


def _others_substituted(what: Substitution, told: Printed, *, lenient: bool) -> pl.Series:
    texts = told.texts
    if what.default is not None:
        instead = told.empty if what.keeps_false else told.empty | told.false
        chosen = pl.when(instead).then(pl.lit(what.default)).otherwise(texts)
        return pl.select(chosen).to_series()
    return texts.fill_null("") if lenient else texts


def rendered(
    template: Simple, columns: Mapping[str, Column], count: int, *, lenient: bool = False
) -> pl.Series:
    """The whole text for each of `count` recipients; null where a variable is missing."""
    ready = {
        what: substituted(what, columns[what.path], lenient=lenient)
        for what in template.substitutions
    }
    pieces = [part if isinstance(part, str) else ready[part] for part in template.parts]
    if not ready:
        return pl.Series(["".join(map(str, pieces))] * count, dtype=pl.String)
    return _joined(*pieces)


def _key(column: Column) -> pl.Series:
    """Equal where two values print the same and compare the same in a template."""
    if isinstance(column, pl.Series) and not column.dtype.is_nested():
        return printed(column).texts if column.dtype.is_float() else column
    keys = [None if v is None else f"{type(v).__name__} {v!r}" for v in values_of(column)]
    return pl.Series(keys, dtype=pl.String)


def distinct(columns: Sequence[Column], count: int) -> tuple[Int64s, Int64s]:
    """Recipients with equal values in all columns, as groups.

    Returns:
        (first, group): per group the first row of it; per row, its group.
    """
    if not columns or not count:
        return np.zeros(min(count, 1), np.int64), np.zeros(count, np.int64)
    keys = pl.DataFrame({str(at): _key(column) for at, column in enumerate(columns)})
    rows = keys.with_row_index("row").group_by(keys.columns, maintain_order=True)
    groups = rows.agg(pl.col("row").cast(pl.Int64))["row"]
    group = np.empty(count, np.int64)
    lengths = groups.list.len().to_numpy()
    group[groups.explode().to_numpy()] = np.repeat(np.arange(len(groups)), lengths)
    return groups.list.first().to_numpy(), group
