"""From columns that name people to people: each distinct name once, all in one statement."""

from datetime import datetime
from typing import Final

import asyncpg
import polars as pl

from clarion.adapters.state.registration import FEW_ROWS
from clarion.adapters.state.registration_rows import token_key
from clarion.adapters.state.statements import statements
from clarion.adapters.state.suppression import hold_suppressions
from clarion.domain.ids import AppId

_BETWEEN: Final = "\x1f"
_NAMES: Final = (
    ("external_id",),
    ("alias_label", "alias_value"),
    ("user",),
    ("device",),
    ("network", "token"),
)
"""The ways to name a person, in the order that the statement tells them by."""


async def find_people(
    connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame, *, create: datetime | None
) -> pl.DataFrame:
    """The rows with `person` and `known_device`, null where the app has no such.

    Args:
        connection: within the caller's transaction.
        app: whose people.
        rows: with the columns of `clarion.domain.naming.NAMING`, networks as numbers.
        create: external ids that nobody has become people who were made then; None: they do not.
    """
    if rows.height > FEW_ROWS:
        await connection.execute(statements("naming")["plan_for_many"])
    named = await _find(connection, app, rows)
    if create is None:
        return named
    unknown = named.filter(pl.col("person").is_null())["external_id"].drop_nulls().unique()
    if not len(unknown):
        return named
    await hold_suppressions(connection, app)
    sql = statements("naming")["create_people"]
    await connection.execute(sql, app, unknown.str.join(_BETWEEN).item(), create)
    return await _find(connection, app, rows)


async def _find(connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame) -> pl.DataFrame:
    distinct = [
        rows.select(names).drop_nulls().unique(maintain_order=True)
        if rows[names[-1]].null_count() < rows.height
        else rows.select(names).clear()
        for names in _NAMES
    ]
    keys = [*(column for frame in distinct[:4] for column in frame)]
    keys += [distinct[4]["network"], _token_keys(distinct[4]["token"])]
    found = await connection.fetchrow(
        statements("naming")["people"],
        app,
        *(key.cast(pl.String).str.join(_BETWEEN).item() if len(key) else "" for key in keys),
    )
    answers = pl.DataFrame(
        {name: found[name] or [] for name in ("kinds", "places", "ids", "devices")},
        schema={"kinds": pl.Int32, "places": pl.Int64, "ids": pl.Int64, "devices": pl.Int64},
    )
    person, device = pl.lit(None, pl.Int64), pl.lit(None, pl.Int64)
    for kind, (names, frame) in enumerate(zip(_NAMES, distinct, strict=True)):
        if not frame.height:
            continue
        mine = answers.filter(pl.col("kinds") == kind).select(
            (pl.col("places") - 1).alias("place"),
            pl.col("ids").alias(f"person_{kind}"),
            pl.col("devices").alias(f"device_{kind}"),
        )
        told = frame.with_columns(pl.int_range(frame.height, dtype=pl.Int64).alias("place"))
        told = told.join(mine, on="place", how="left").drop("place")
        rows = rows.join(told, on=names, how="left", maintain_order="left")
        person = pl.coalesce(person, f"person_{kind}")
        device = pl.coalesce(device, f"device_{kind}")
    return rows.with_columns(person.alias("person"), device.alias("known_device"))


def _token_keys(tokens: pl.Series) -> pl.Series:
    return pl.Series("key", [token_key(token).hex() for token in tokens], pl.String())
