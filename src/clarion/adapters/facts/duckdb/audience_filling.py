"""The asker's side of `audience_columns`: what a scan leaves out is put in again."""

from collections.abc import Collection
from functools import lru_cache
from typing import Final

import polars as pl

from clarion.ports.audience import AUDIENCE_SCHEMA

_KEPT: Final = 32
"""Sets of columns; an app's scans have one until it says something in another column."""


def filled(rows: pl.DataFrame, fields: Collection[str] = ()) -> pl.DataFrame:
    """A piece of a scan with all columns of `AUDIENCE_SCHEMA`, then the scan's fields.

    What was left out is one value for all rows, and takes no room.
    """
    found = rows.select(*_filling(tuple(rows.columns)), *fields)
    told = {name: found.schema[name] for name in fields if found.schema[name] == pl.Binary}
    wanted = pl.Schema({**_schema(fields), **told})
    return found if found.schema == wanted else found.cast(wanted)


def empty(fields: Collection[str] = ()) -> pl.DataFrame:
    """The same without a row."""
    return pl.DataFrame(schema=_schema(fields))


@lru_cache(maxsize=_KEPT)
def _filling(there: tuple[str, ...]) -> tuple[pl.Expr, ...]:
    """All columns, where those are there; pieces of scans mostly have the same ones."""
    return tuple(
        pl.col(name) if name in there else _silence(kind).alias(name)
        for name, kind in AUDIENCE_SCHEMA.items()
    )


def _silence(kind: pl.DataType) -> pl.Expr:
    if kind == pl.Boolean:
        return pl.lit(value=False)
    return pl.lit(0 if kind.is_numeric() else None, kind)


def _schema(fields: Collection[str]) -> pl.Schema:
    return pl.Schema({**AUDIENCE_SCHEMA, **dict.fromkeys(fields, pl.String())})
