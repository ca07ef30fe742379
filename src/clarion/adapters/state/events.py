"""The inbox of events in PostgreSQL. Implements `clarion.ports.events`.

Rows travel as CSV made and read by compiled code: none becomes a Python object on its way.
"""

import io
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
import polars as pl

from clarion.adapters.state.naming import find_people
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements
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
        # Nobody is erased between being found and being written about.
        await connection.execute(statements("suppression")["hold_shared"], app)
        named = await find_people(connection, app, rows, create=now)
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
