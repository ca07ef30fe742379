"""Follows users and devices: pages of changed rows go from PostgreSQL to DuckDB as CSV.

A page is read by COPY into a temporary file and merged from there: no row becomes a Python
object. The page's end (transaction id, row id) is the watermark, and moves with the rows.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import duckdb

from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, set_watermark

PAGE: Final = 100_000
TABLES: Final = ("users", "device")

_CSV_TYPES: Final = {
    "users": {
        "id": "BIGINT",
        "app": "INTEGER",
        "external_id": "VARCHAR",
        "opted_out": "BOOLEAN",
        "language": "VARCHAR",
        "time_zone": "VARCHAR",
        "country": "VARCHAR",
        "attributes": "VARCHAR",
        "created_at": "TIMESTAMPTZ",
        "xid": "BIGINT",
    },
    "device": {
        "id": "BIGINT",
        "app": "INTEGER",
        "user_id": "BIGINT",
        "network": "UTINYINT",
        "environment": "UTINYINT",
        "dead": "BOOLEAN",
        "opted_out": "BOOLEAN",
        "token": "VARCHAR",
        "keys": "VARCHAR",
        "registered_us": "BIGINT",
        "last_active_at": "TIMESTAMPTZ",
        "platform": "VARCHAR",
        "os": "VARCHAR",
        "os_version": "VARCHAR",
        "model": "VARCHAR",
        "app_version": "VARCHAR",
        "language": "VARCHAR",
        "time_zone": "VARCHAR",
        "country": "VARCHAR",
        "latitude": "DOUBLE",
        "longitude": "DOUBLE",
        "attributes": "VARCHAR",
        "xid": "BIGINT",
    },
}
_CHANGED: Final = {
    "users": "* exclude (xid) replace (attributes::json::variant as attributes)",
    "device": (
        "* exclude (xid) replace (unhex(keys) as keys, attributes::json::variant as attributes)"
    ),
}


@dataclass(frozen=True, slots=True)
class Place:
    """How far a table's feed is: every row up to (xid, id) in that order is in."""

    xid: int
    id: int


class RegistryFeed:
    """Reads pages in the event loop, merges them in a thread."""

    def __init__(self, store: FactsStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._places = {
            table: Place(store.watermark(f"{table}_xid"), store.watermark(f"{table}_id"))
            for table in TABLES
        }
        self._removed = store.watermark("removal_xid")

    async def read_page(
        self, connection: asyncpg.Connection, table: str, horizon: int
    ) -> Path | None:
        """The next page of a table as a CSV file; None when there is nothing new."""
        place = self._places[table]
        arguments = [str(place.xid), place.id, str(horizon), PAGE]
        query = FEED[table]
        if not await connection.fetchval(f"select exists ({query})", *arguments):  # our own text
            return None
        with tempfile.NamedTemporaryFile(
            dir=self._folder, prefix=f"{table}-", suffix=".csv", delete=False
        ) as file:
            await connection.copy_from_query(
                query, *arguments, output=file.name, format="csv", force_quote=True
            )
        return Path(file.name)

    def merge(self, table: str, page: Path) -> bool:
        """Merge a page and move the watermark, in one transaction; True when it was full."""
        cursor = self._store.cursor()
        cursor.begin()
        try:
            end, rows = self._merge(cursor, table, page)
            cursor.commit()
        except BaseException:
            cursor.rollback()
            raise
        finally:
            page.unlink()
        if rows >= PAGE:
            cursor.execute("checkpoint")
        self._places[table] = end
        return rows >= PAGE

    def _merge(
        self, cursor: duckdb.DuckDBPyConnection, table: str, page: Path
    ) -> tuple[Place, int]:
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in _CSV_TYPES[table].items())
        # force_quote: an unquoted empty field is null, a quoted one is the empty text
        cursor.execute(
            "create or replace temp table page as from read_csv(?, header = false, quote = '\"', "
            f"escape = '\"', allow_quoted_nulls = false, columns = {{{columns}}})",
            [str(page)],
        )
        counted = cursor.execute(
            "select count(*), max(xid), arg_max(id, (xid, id)) from page"
        ).fetchone()
        if counted is None:
            raise duckdb.InvalidInputException("a count gives a row")
        cursor.execute(f"delete from {table} where id in (select id from page)")  # noqa: S608  # our own names
        cursor.execute(f"insert into {table} by name select {_CHANGED[table]} from page")  # noqa: S608  # our own names
        cursor.execute("drop table page")
        set_watermark(cursor, f"{table}_xid", int(counted[1]))
        set_watermark(cursor, f"{table}_id", int(counted[2]))
        return Place(int(counted[1]), int(counted[2])), int(counted[0])

    async def read_removals(
        self, connection: asyncpg.Connection, horizon: int
    ) -> list[tuple[int, int]]:
        """(kind, id) of what was removed since the last time."""
        rows = await connection.fetch(FEED["removal"], str(self._removed), str(horizon))
        return [(row["kind"], row["id"]) for row in rows]

    def remove(self, removals: list[tuple[int, int]], horizon: int) -> None:
        """Forget users and devices; after their last change, which the same pass merged."""
        cursor = self._store.cursor()
        cursor.begin()
        for kind, table in ((1, "users"), (2, "device")):
            ids = [number for which, number in removals if which == kind]
            if ids:
                cursor.execute(f"delete from {table} where id in (select unnest(?))", [ids])  # noqa: S608  # our own names
        set_watermark(cursor, "removal_xid", horizon)
        cursor.commit()
        self._removed = horizon

    def forget(self) -> None:
        """Begin anew: the next passes read everything again."""
        cursor = self._store.cursor()
        cursor.begin()
        for table in TABLES:
            cursor.execute(f"delete from {table}")  # noqa: S608  # our own names
            set_watermark(cursor, f"{table}_xid", 0)
            set_watermark(cursor, f"{table}_id", 0)
        cursor.commit()
        self._places = dict.fromkeys(TABLES, Place(0, 0))
