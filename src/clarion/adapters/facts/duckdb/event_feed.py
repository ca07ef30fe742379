"""Follows the inbox of events: what arrived goes from PostgreSQL to DuckDB as CSV.

A page is a transaction that moves the watermark too, so a crash repeats and loses nothing. What
people did with messages becomes rows of `engagement`, all else rows of `event`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import BinaryIO, Final

import asyncpg

from clarion.adapters.facts.duckdb.snapshot import Snapshot
from clarion.adapters.facts.duckdb.store import FactsStore, set_watermark
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.adapters.state.statements import named
from clarion.domain.event import ENGAGEMENTS, RECEIVED

PAGE_ROWS: Final = 50_000
BULK_ROWS: Final = 20_000
"""A page of so many rows is worth being sorted for those who look for a name."""

_SQL: Final = named(
    files("clarion.adapters.facts.duckdb").joinpath("event_feed.sql").read_text("utf-8"),
    "event_feed",
)
_APART: Final = "\x1f"
"""What stands between fields: no text that we hold has a control character, and JSON escapes them.
So nothing is ever quoted, which halves what a page costs on both sides."""
_QUOTE: Final = "\x1e"
_COLUMNS: Final = (
    "{'app': 'INTEGER', 'user_id': 'BIGINT', 'name': 'VARCHAR', 'at_us': 'BIGINT', "
    "'value': 'DOUBLE', 'properties': 'VARCHAR', 'message': 'VARCHAR', 'category': 'VARCHAR', "
    "'device': 'BIGINT', 'xid': 'BIGINT'}"
)
_EVENTS: Final = """
insert into event by name
select app, (user_id % 1024)::usmallint as bucket, user_id, name, at_us, value,
       properties::json::variant as properties
from event_page where message is null
"""
_IN_ORDER: Final = "order by app, name"
_TOLD: Final = """
create or replace temp table told as
select app, user_id, ('0x' || message[1:16])::ubigint as message_high,
       ('0x' || message[17:32])::ubigint as message_low, category,
       ($kinds::map(varchar, utinyint))[name] as kind, at_us, device
from (select * replace (replace(message, '-', '') as message) from event_page)
where message is not null
"""
_ENGAGEMENTS: Final = """
insert into engagement by name
select * from told
where kind <> $received or device is null or not exists (
    select 1 from (
        select * from engagement
        where kind = $received and message_high >= (select min(message_high) from told)
          and message_high <= (select max(message_high) from told)
    ) as e
    where e.app = told.app and e.device = told.device
      and e.message_high = told.message_high and e.message_low = told.message_low
)
qualify kind <> $received or device is null or row_number() over (
    partition by app, message_high, message_low, kind, device order by at_us
) = 1
"""
"""A device receives a message once, whether the app in it says so, a receipt does, or both. The
halves of message ids rise with time, so that their bounds leave out nearly all that is older."""


@dataclass(kw_only=True)
class _Page:
    """A file that a COPY fills; there is none before the first row."""

    path: Path
    file: BinaryIO | None = None

    def take(self, rows: bytes) -> None:
        """Whole rows, as COPY sends them: one CopyData message a row (protocol, section 54.2)."""
        if self.file is None:
            self.file = self.path.open("wb")
        self.file.write(rows)

    def close(self) -> None:
        """Everything is in the file."""
        if self.file is not None:
            self.file.close()


@dataclass(kw_only=True)
class EventFeed:
    """Reads pages in the event loop, appends them in a thread."""

    store: FactsStore
    folder: Path
    threads: Threads
    page_rows: int = PAGE_ROWS
    place: Snapshot = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.store.place("events")
        self.page.unlink(missing_ok=True)  # a killed owner's

    @property
    def page(self) -> Path:
        """The file of the page that is on its way."""
        return self.folder / "events-page.csv"

    async def follow(
        self,
        connection: asyncpg.Connection,
        now: Snapshot,
        enough: Callable[[], bool] = lambda: False,
    ) -> tuple[int, bool]:
        """Take in what arrived, within the caller's REPEATABLE READ, page by page.

        Args:
            connection: to the state store.
            now: its snapshot.
            enough: asked after each page; where it says so, the rest is left to the next pass.

        Returns:
            How many rows that was, and whether it was all.
        """
        taken = 0
        while True:
            rows = await self._page(connection, now)
            taken += rows
            if rows < self.page_rows:
                return taken, True
            if enough():
                return taken, False

    async def _page(self, connection: asyncpg.Connection, now: Snapshot) -> int:
        page = _Page(path=self.page)

        async def take(rows: bytes) -> None:
            page.take(rows)

        try:
            # An empty field is null: no name, no properties and no category are the empty text.
            await connection.copy_from_query(
                _SQL["events"],
                str(self.place.xmin),
                str(self.place),
                self.page_rows,
                output=take,
                format="csv",
                delimiter=_APART,
                quote=_QUOTE,
            )
            page.close()
            if page.file is None:
                return 0
            rows, self.place = await self.threads.run(partial(self._append, page.path, now))
        finally:
            page.close()
            page.path.unlink(missing_ok=True)
        return rows

    def _append(self, page: Path, now: Snapshot) -> tuple[int, Snapshot]:
        """Append a page and move the watermark, in one transaction.

        Returns:
            How many rows it had, and where the feed stands then.
        """
        path = str(page).replace("'", "''")
        source = (
            f"from read_csv('{path}', header = false, auto_detect = false, delim = '{_APART}', "
            f"quote = '', escape = '', columns = {_COLUMNS})"
        )
        with self.store.writing() as cursor:
            cursor.execute(f"create or replace temp table event_page as {source}")
            told = "select max(xid), count(*), count(message) from event_page"
            last, rows, about = cursor.execute(told).fetchall()[0]
            if about < rows:
                cursor.execute(_EVENTS + (_IN_ORDER if rows >= BULK_ROWS else ""))
            if about:
                cursor.execute(_TOLD, {"kinds": dict(ENGAGEMENTS)})
                cursor.execute(_ENGAGEMENTS, {"received": ENGAGEMENTS[RECEIVED]})
                cursor.execute("drop table told")
            cursor.execute("drop table event_page")
            place = self.place.advanced(now, int(last))
            set_watermark(cursor, "events", str(place))
        return int(rows), place

    async def drop_days(self, connection: asyncpg.Connection, before: date) -> int:
        """Drop the inbox's days before one, as far as everything of them was taken in; how many.

        A day is detached without waiting for readers or writers of the others, and so outside any
        transaction; one that was left half way is dropped the next time.
        """
        dropped = 0
        for row in await connection.fetch(_SQL["old_days"], before):
            name, stage = str(row["name"]), int(row["stage"])
            if stage == 0 and await self._has_unseen(connection, name):
                continue
            if stage == 0:
                await connection.execute(f"alter table event detach partition {name} concurrently")
            elif stage == 1:
                await connection.execute(f"alter table event detach partition {name} finalize")
            await connection.execute(f"drop table {name}")
            dropped += 1
        return dropped

    async def _has_unseen(self, connection: asyncpg.Connection, name: str) -> bool:
        unseen: bool = await connection.fetchval(
            f"select exists (select from {name} where xid >= $1::text::xid8 "  # noqa: S608  # matched above
            "and not pg_visible_in_snapshot(xid, $2::text::pg_snapshot))",
            str(self.place.xmin),
            str(self.place),
        )
        return unseen
