"""From columns that name people to people: each distinct name once, all in one statement."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg
import polars as pl

from clarion.adapters.state.registration import FEW_ROWS
from clarion.adapters.state.registration_rows import token_key
from clarion.adapters.state.statements import statements
from clarion.adapters.state.suppression import hold_suppressions
from clarion.domain.conditions import Cell, Row
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


@dataclass(frozen=True, slots=True)
class Named:
    """Whom a row names; None where the app has no such."""

    person: int | None
    device: int | None


async def find_few(
    connection: asyncpg.Connection, app: AppId, rows: Sequence[Row], *, create: datetime | None
) -> Sequence[Named]:
    """`find_people` for a few rows of cells, where absent is null."""
    found = await _look_up(connection, app, rows)
    if create is None:
        return found
    names = zip(rows, found, strict=True)
    unknown = sorted(
        {str(row["external_id"]) for row, one in names if one.person is None and _by_name(row)}
    )
    if not unknown:
        return found
    await hold_suppressions(connection, app)
    sql = statements("naming")["create_people"]
    await connection.execute(sql, app, _BETWEEN.join(unknown), create)
    return await _look_up(connection, app, rows)


def _by_name(row: Row) -> bool:
    return row.get("external_id") is not None


async def _look_up(
    connection: asyncpg.Connection, app: AppId, rows: Sequence[Row]
) -> Sequence[Named]:
    keys: list[dict[tuple[str, ...], int]] = [{} for _ in _NAMES]
    meant: list[tuple[int, int] | None] = []
    for row in rows:
        way = next((kind for kind, names in enumerate(_NAMES) if _given(row, names)), None)
        if way is None:
            meant.append(None)
            continue
        key = tuple(_told(name, row[name]) for name in _NAMES[way])
        meant.append((way, keys[way].setdefault(key, len(keys[way]) + 1)))
    told = [
        _BETWEEN.join(key[part] for key in keys[way])
        for way, names in enumerate(_NAMES)
        for part in range(len(names))
    ]
    found = await connection.fetchrow(statements("naming")["people"], app, *told)
    answers = {
        (kind, place): Named(person, device)
        for kind, place, person, device in zip(
            *(found[name] or () for name in ("kinds", "places", "ids", "devices")), strict=True
        )
    }
    nobody = Named(None, None)
    return [nobody if way is None else answers.get(way, nobody) for way in meant]


def _given(row: Row, names: tuple[str, ...]) -> bool:
    return all(row.get(name) is not None for name in names)


def _told(name: str, cell: Cell) -> str:
    return token_key(str(cell)).hex() if name == "token" else str(cell)


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
