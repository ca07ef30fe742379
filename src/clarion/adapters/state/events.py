"""The inbox of events in PostgreSQL. Implements `clarion.ports.events`.

Many rows travel as CSV made and read by compiled code: none becomes a Python object on its way.
They are copied straight into the inbox, whose key refuses an id that is there; then, and for a
while after, they take the longer way over a temporary table, which costs the server twice as much
and leaves out what is there. A few rows travel as arrays of one statement.
"""

import io
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Final

import asyncpg
import polars as pl

from clarion.adapters.state.naming import find_few, find_people
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements, touched
from clarion.domain.conditions import Row
from clarion.domain.ids import AppId
from clarion.ports.events import RecordedEvents

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
_INBOX: Final = {
    "day": pl.from_epoch("day", time_unit="d"),
    "event_id": pl.col("id"),
    "app_id": pl.lit(0),
    "user_id": pl.col("person"),
    "name": pl.col("name"),
    "at": pl.from_epoch("at_us", time_unit="us").dt.replace_time_zone("UTC"),
    "message_id": pl.col("message"),
    "device_id": pl.col("known_device"),
    "value": pl.col("value"),
    "properties": pl.col("properties"),
}
"""Column of the table -> what stands in it."""
_INSTANT: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
WARY_BATCHES: Final = 20
"""After a batch that held a repeat so many are expected to hold some."""


class PostgresEvents:
    """Events into the partitions of their days."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("events")
        self._days: set[int] = set()
        """Days whose partitions were there when we looked."""
        self._wary = 0
        """So many batches are still expected to hold repeats."""

    async def record(
        self,
        app: AppId,
        rows: pl.DataFrame | Sequence[Row],
        *,
        create_people: bool,
        now: datetime,
    ) -> RecordedEvents:
        """See the port."""
        create = now if create_people else None
        if isinstance(rows, pl.DataFrame):
            return await self._record_many(app, rows, create)
        days = {int(str(row["day"])) for row in rows}

        async def work(connection: asyncpg.Connection) -> RecordedEvents:
            return await self._record_few(connection, app, rows, create)

        await self._make_days(days)
        return await self._on_days(days, work)

    async def _record_many(
        self, app: AppId, rows: pl.DataFrame, create: datetime | None
    ) -> RecordedEvents:
        days = rows["day"].unique().to_list()
        await self._make_days(days)

        fresh = self._wary == 0
        self._wary = max(0, self._wary - 1)

        async def work(connection: asyncpg.Connection) -> RecordedEvents:
            nonlocal fresh
            straight, fresh = fresh, False
            done = await self._record(connection, app, rows, create, straight=straight)
            if done.repeated:
                self._wary = WARY_BATCHES
            return done

        return await self._on_days(days, work)

    async def _on_days(
        self,
        days: Collection[int],
        work: Callable[[asyncpg.Connection], Awaitable[RecordedEvents]],
    ) -> RecordedEvents:
        try:
            return await unit_of_work(self._pool, work)
        except asyncpg.CheckViolationError:  # the partition of a day that was old is gone
            self._days.clear()
            await self._make_days(days)
            return await unit_of_work(self._pool, work)

    async def _make_days(self, days: Collection[int]) -> None:
        missing = sorted(set(days) - self._days)
        if missing:
            async with reading(self._pool) as connection:
                await connection.execute(self._sql["days"], missing)
            self._days.update(missing)

    async def _record_few(
        self,
        connection: asyncpg.Connection,
        app: AppId,
        rows: Sequence[Row],
        create: datetime | None,
    ) -> RecordedEvents:
        """Rows as arrays: for a few of them a file costs more than it carries."""
        # Nobody is erased between being found and being written about.
        await connection.execute(statements("suppression")["hold_shared"], app)
        named = await find_few(connection, app, rows, create=create)
        unknown = [place for place, one in enumerate(named) if one.person is None]
        known = [(row, one) for row, one in zip(rows, named, strict=True) if one.person is not None]
        if not known:
            return RecordedEvents(recorded=0, repeated=0, unknown=unknown, xid=0)
        done = await connection.fetchrow(
            self._sql["record_few"],
            app,
            [row["day"] for row, _ in known],
            [row["id"] for row, _ in known],
            [one.person for _, one in known],
            [row["name"] for row, _ in known],
            [row["at_us"] for row, _ in known],
            [row.get("message") for row, _ in known],
            [one.device for _, one in known],
            [row.get("value") for row, _ in known],
            [row.get("properties") for row, _ in known],
        )
        recorded = done["recorded"]
        return RecordedEvents(
            recorded=recorded,
            repeated=len(known) - recorded,
            unknown=unknown,
            xid=done["xid"],
        )

    async def _record(
        self,
        connection: asyncpg.Connection,
        app: AppId,
        rows: pl.DataFrame,
        now: datetime | None,
        *,
        straight: bool,
    ) -> RecordedEvents:
        # Nobody is erased between being found and being written about.
        await connection.execute(statements("suppression")["hold_shared"], app)
        named = await find_people(connection, app, rows, create=now)
        unknown = named["person"].is_null().arg_true().to_list()
        known = named.filter(pl.col("person").is_not_null()) if unknown else named
        if not known.height:
            return RecordedEvents(recorded=0, repeated=0, unknown=unknown, xid=0)
        recorded = (
            await _copy_straight(connection, app, known)
            if straight
            else await self._copy_staged(connection, app, known)
        )
        xid = await connection.fetchval("select pg_current_xact_id()")
        return RecordedEvents(
            recorded=recorded, repeated=known.height - recorded, unknown=unknown, xid=int(xid)
        )

    async def _copy_staged(
        self, connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame
    ) -> int:
        """How many of the rows were not there before."""
        await connection.execute(self._sql["staging"])
        await connection.copy_to_table(
            "event_arriving",
            source=io.BytesIO(rows.select(_ARRIVING).write_csv(include_header=False).encode()),
            format="csv",
        )
        tag = await connection.execute(self._sql["record"], app)
        return touched(tag)


async def _copy_straight(connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame) -> int:
    """Copy rows of which none is there yet; how many there are when each id counts once.

    They go in one order for all, because inserts of one id wait for each other.

    Raises:
        asyncpg.UniqueViolationError: one is there.
    """
    fresh = rows.unique(["day", "id"], keep="first").sort("id")
    columns = {**_INBOX, "app_id": pl.lit(int(app))}
    body = fresh.select(**columns).write_csv(include_header=False, datetime_format=_INSTANT)
    await connection.copy_to_table(
        "event", source=io.BytesIO(body.encode()), columns=list(columns), format="csv"
    )
    return fresh.height
