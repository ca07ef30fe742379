"""Attributes that a file spreads over columns: `attributes.plan`, `attributes.age:number`.

Aliases too: `aliases.crm`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
import orjson
import polars as pl

from clarion.domain.registration import INSTANT
from clarion.stages.intake.plain import NUMBER, TEXT
from clarion.stages.intake.rows import (
    REGISTRATIONS,
    BadRow,
    Cells,
    Layout,
    MalformedFileError,
    to_number,
    to_truth,
)

MOST_JOINED: Final = 500
"""Columns joined as columns; each costs about a millisecond, so a wider file goes row by row."""


_ENCODER: Final = msgspec.json.Encoder()
"""Writes integers of any size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpreadColumn:
    """A column that holds one attribute."""

    place: int
    owner: str
    """Of the layout's `objects`: `attributes`, `user_attributes`, `aliases`, `properties`."""
    name: str
    kind: str
    called: str
    """What it is, where its kind has no name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """What the columns of a file are."""

    layout: Layout
    names: Sequence[str]
    plain: Mapping[str, int]
    """Column of the layout -> its place."""
    attributes: Sequence[SpreadColumn]


def spread_of(names: Sequence[str], layout: Layout = REGISTRATIONS) -> Spread:
    """Understand the header of a file.

    Raises:
        MalformedFileError: a column is unknown or there twice.
    """
    plain: dict[str, int] = {}
    attributes: list[SpreadColumn] = []
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            raise MalformedFileError(1, f"the column {name!r} is there twice")
        seen.add(name)
        owner, dot, rest = name.partition(".")
        if name in layout.columns:
            plain[name] = place
        elif dot and owner in layout.objects:
            attribute, _, kind = rest.rpartition(":") if ":" in rest else (rest, "", "")
            if owner in layout.texts:
                attribute, kind = rest, "string"
            if kind not in KINDS:
                raise MalformedFileError(
                    1, f"the column {name!r} has a kind that is none of {', '.join(KINDS)}"
                )
            attributes.append(
                SpreadColumn(
                    place=place,
                    owner=owner,
                    name=attribute,
                    kind=kind,
                    called=layout.objects[owner],
                )
            )
        else:
            spread = ", ".join(f"{owner}.NAME" for owner in layout.objects)
            known = ", ".join(layout.columns)
            raise MalformedFileError(1, f"unknown column {name!r}; known are {spread} and {known}")
    return Spread(layout=layout, names=names, plain=plain, attributes=attributes)


def gather(
    spread: Spread, columns: Sequence[Cells], lines: Sequence[int]
) -> tuple[Mapping[str, Cells], list[BadRow]]:
    """The columns of the layout, with spread attributes put together as JSON text."""
    gathered: dict[str, Cells] = {
        name: _plain(spread.layout, name, columns[place]) for name, place in spread.plain.items()
    }
    bad: list[BadRow] = []
    for owner in spread.layout.objects:
        chosen = [column for column in spread.attributes if column.owner == owner]
        if not chosen:
            continue
        base = gathered.get(owner)
        texts = [column for column in columns if isinstance(column, pl.Series)]
        once = len({column.name for column in chosen}) == len(chosen)
        joinable = base is None and once and len(texts) == len(columns)
        if joinable and len(chosen) <= MOST_JOINED:
            gathered[owner] = _joined_texts(chosen, texts, lines, bad)
        else:
            gathered[owner] = [
                _joined(chosen, columns, row, None if base is None else base[row], lines[row], bad)
                for row in range(len(lines))
            ]
    return gathered, bad


def _plain(layout: Layout, name: str, column: Cells) -> Cells:
    given = name in layout.objects or layout.columns[name] == INSTANT
    plain = isinstance(column, pl.Series) or not given
    if plain or all(type(value) is str for value in column):
        return column
    return [value_of(value) for value in column]


def _joined_texts(
    chosen: Sequence[SpreadColumn],
    columns: Sequence[pl.Series],
    lines: Sequence[int],
    bad: list[BadRow],
) -> pl.Series:
    """Columns of text as JSON objects."""
    frame = pl.DataFrame([columns[column.place].alias(str(column.place)) for column in chosen])
    frame = frame.with_columns(
        pl.when(pl.col(str(column.place)).str.contains(_PLAIN[column.kind]))
        .then(
            pl.format(
                '{}:"{}"' if _PLAIN[column.kind] is TEXT else "{}:{}",
                pl.lit(orjson.dumps(column.name).decode()),
                pl.col(str(column.place)),
            )
        )
        .alias(f"{column.place}")
        for column in chosen
        if column.kind in _PLAIN
    )
    for column in chosen:
        member, texts = frame[str(column.place)], columns[column.place]
        if column.kind not in _PLAIN or member.null_count() > texts.null_count():
            frame = frame.with_columns(_doubtful(column, texts, member, lines, bad))
    joined = pl.concat_str(pl.all(), separator=",", ignore_nulls=True)
    return frame.select(
        pl.when(pl.any_horizontal(pl.all().is_not_null()))
        .then(pl.concat_str(pl.lit("{"), joined, pl.lit("}")))
        .alias("attributes")
    ).to_series()


def _doubtful(
    column: SpreadColumn,
    texts: pl.Series,
    member: pl.Series,
    lines: Sequence[int],
    bad: list[BadRow],
) -> pl.Series:
    """The members of a column with those that are not plain; each different text is read once."""
    doubtful = texts if column.kind not in _PLAIN else texts.set(member.is_not_null(), None)
    known = doubtful.drop_nulls().unique()
    values = [KINDS[column.kind](text) for text in known]
    name = orjson.dumps(column.name).decode()
    made = [None if v is None else f"{name}:{_ENCODER.encode(v).decode()}" for v in values]
    read = doubtful.replace_strict(known, pl.Series(made, dtype=pl.String), default=None)
    if None in made:
        bad += [
            _mistyped(column, lines[row])
            for row in (read.is_null() & doubtful.is_not_null()).arg_true()
        ]
    if column.kind not in _PLAIN:
        return read.alias(member.name)
    return read.zip_with(doubtful.is_not_null(), member).alias(member.name)


def _mistyped(column: SpreadColumn, line: int) -> BadRow:
    detail = f"the value is no {column.kind or column.called}"
    field = f"{column.owner}.{column.name}"
    return BadRow(line=line, field=field, code="type_invalid", detail=detail)


def value_of(value: object) -> object:
    """A cell of a typed file as a JSON value; objects and lists as JSON text."""
    if isinstance(value, datetime):
        aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
        return aware.astimezone(UTC).isoformat()
    if not isinstance(value, dict | list):
        return value
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        return value  # octets, decimals and such are no JSON: refused as the wrong type


def _joined(
    chosen: Sequence[SpreadColumn],
    columns: Sequence[Cells],
    row: int,
    base: object,
    line: int,
    bad: list[BadRow],
) -> str | None:
    cells = [(column, columns[column.place][row]) for column in chosen]
    given = [(column, cell) for column, cell in cells if cell is not None]
    if not given:
        return base if isinstance(base, str) else None
    try:
        attributes = orjson.loads(base) if isinstance(base, str) else {}
    except orjson.JSONDecodeError:
        attributes = None
    if not isinstance(attributes, dict) or any(
        isinstance(value, list | dict) and _json_list([value]) is None
        for value in attributes.values()
    ):
        return str(base)  # the rules of attributes refuse it with the reason
    for column, cell in given:
        value = KINDS[column.kind](cell)
        if value is None:
            bad.append(_mistyped(column, line))
        attributes[column.name] = value
    return _ENCODER.encode(attributes).decode()


def _as_given(cell: object) -> object:
    if isinstance(cell, datetime):
        return {"time": value_of(cell)}
    if isinstance(cell, list):
        return _json_list(cell)
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return cell if isinstance(cell, str | int) else None


def _as_time(cell: object) -> object:
    return {"time": value_of(cell)} if isinstance(cell, str | datetime) else None


def _json_list(cell: list[object]) -> object:
    """The list, unless it holds what JSON has not, or is nested deeper than it is written."""
    try:
        orjson.dumps(cell)
    except orjson.JSONEncodeError:
        return None
    return cell


def _as_list(cell: object) -> object:
    if not isinstance(cell, str):
        return _json_list(cell) if isinstance(cell, list) else None
    try:
        found = orjson.loads(cell)
    except orjson.JSONDecodeError:
        return None
    return _json_list(found) if isinstance(found, list) else None


def _as_number(cell: object) -> object:
    if (whole := _integer(cell)) is not None:
        return whole
    number = to_number(cell, whole=False)
    return number if number is None or math.isfinite(number) else None


def _integer(cell: object) -> int | None:
    """An integer of any size, also as text: a fraction in its place could pass the rules."""
    if not isinstance(cell, str):
        return cell if type(cell) is int else None
    try:
        return int(cell)
    except ValueError:
        return None


KINDS: Final[Mapping[str, Callable[[object], object]]] = {
    "": _as_given,
    "string": lambda cell: cell if isinstance(cell, str) else None,
    "number": _as_number,
    "boolean": to_truth,
    "time": _as_time,
    "list": _as_list,
}
"""How a cell becomes an attribute; the nameless kind is what the file itself says it is."""

_PLAIN: Final[Mapping[str, str]] = {"": TEXT, "string": TEXT, "number": NUMBER}
"""What of a kind becomes JSON as it is."""
