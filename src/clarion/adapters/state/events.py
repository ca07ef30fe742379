"""The inbox of events in PostgreSQL. Implements `clarion.ports.events`.

Rows travel as CSV made and read by compiled code: none becomes a Python object on its way.
"""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
import polars as pl

from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.registration import token_key
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId
from clarion.ports.events import RecordedEvents

_BETWEEN: Final = "\x1f"
_NAMES: Final = (
    ("external_id",),
    ("alias_label", "alias_value"),
    ("user",),
    ("device",),
    ("network", "token"),
)
"""The ways to name a person, in the order that the statement tells them by."""
_ARRIVING: Final = (
    "day",
    "id",
    "person",
    "name",
    "at_us",
    "message",
    "known_device",
    "value",
    "properties",
)


class PostgresEvents:
    """Events into the partitions of their days."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("events")
        self._days: set[int] = set()
        """Days whose partitions were there when we looked."""

    async def record(
        self, app: AppId, rows: pl.DataFrame, *, create_people: bool, now: datetime
    ) -> RecordedEvents:
        """See the port."""
        await self._make_days(rows["day"].unique().to_list())

        async def work(connection: asyncpg.Connection) -> RecordedEvents:
            return await self._record(connection, app, rows, now if create_people else None)

        try:
            return await unit_of_work(self._pool, work)
        except asyncpg.CheckViolationError:  # the partition of a day that was old is gone
            self._days.clear()
            await self._make_days(rows["day"].unique().to_list())
            return await unit_of_work(self._pool, work)

    async def _make_days(self, days: Sequence[int]) -> None:
        missing = sorted(set(days) - self._days)
        if missing:
            async with reading(self._pool) as connection:
                await connection.execute(self._sql["days"], missing)
            self._days.update(missing)

    async def _record(
        self, connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame, now: datetime | None
    ) -> RecordedEvents:
        named = await self.people(connection, app, rows)
        if now is not None and (strangers := _strangers(named)):
            names = _BETWEEN.join(strangers)
            await connection.execute(self._sql["create_people"], app, names, now)
            named = await self.people(connection, app, rows)
        unknown = named["person"].is_null().arg_true().to_list()
        known = named.filter(pl.col("person").is_not_null()) if unknown else named
        if not known.height:
            return RecordedEvents(recorded=0, repeated=0, unknown=unknown, xid=0)
        await connection.execute(self._sql["staging"])
        await connection.copy_to_table(
            "event_arriving",
            source=io.BytesIO(known.select(_ARRIVING).write_csv(include_header=False).encode()),
            format="csv",
        )
        tag = await connection.execute(self._sql["record"], app)
        recorded = int(tag.rpartition(" ")[2])
        xid = await connection.fetchval("select pg_current_xact_id()")
        return RecordedEvents(
            recorded=recorded, repeated=known.height - recorded, unknown=unknown, xid=int(xid)
        )

    async def people(
        self, connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame
    ) -> pl.DataFrame:
        """The rows with `person` and `known_device`, null where the app has no such.

        Args:
            connection: within the caller's transaction.
            app: whose people.
            rows: with the columns that name them in `clarion.domain.event.COLUMNS`.
        """
        distinct = [rows.select(names).drop_nulls().unique(maintain_order=True) for names in _NAMES]
        keys = [*(column for frame in distinct[:4] for column in frame)]
        keys += [distinct[4]["network"], _token_keys(distinct[4]["token"])]
        found = await connection.fetchrow(
            self._sql["people"],
            app,
            *(key.cast(pl.String).str.join(_BETWEEN).item() for key in keys),
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


def _strangers(named: pl.DataFrame) -> list[str]:
    """External ids that nobody has."""
    unknown = named.filter(pl.col("person").is_null())
    names: list[str] = unknown["external_id"].drop_nulls().unique().to_list()
    return names
