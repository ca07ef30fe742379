"""The asker's side of `audience_columns`: what a scan leaves out is put in again."""

from collections.abc import Collection, Iterator

import polars as pl

from clarion.ports.audience import AUDIENCE_SCHEMA


def filled(rows: pl.DataFrame, fields: Collection[str] = ()) -> pl.DataFrame:
    """A piece of a scan with all columns of `AUDIENCE_SCHEMA`, then the scan's fields.

    What was left out is one value for all rows, and takes no room.
    """
    found = rows.select(*_filling(rows.schema), *fields)
    told = {name: found.schema[name] for name in fields if found.schema[name] == pl.Binary}
    wanted = pl.Schema({**_schema(fields), **told})
    return found if found.schema == wanted else found.cast(wanted)


def empty(fields: Collection[str] = ()) -> pl.DataFrame:
    """The same without a row."""
    return pl.DataFrame(schema=_schema(fields))


def _filling(there: pl.Schema) -> Iterator[pl.Expr]:
    for name, kind in AUDIENCE_SCHEMA.items():
        if name in there:
            yield pl.col(name)
        elif kind == pl.Boolean:
            yield pl.lit(value=False).alias(name)
        else:
            yield pl.lit(0 if kind.is_numeric() else None, kind).alias(name)


def _schema(fields: Collection[str]) -> pl.Schema:
    return pl.Schema({**AUDIENCE_SCHEMA, **dict.fromkeys(fields, pl.String())})
