"""Follows people, devices, lists and topics: what changed goes from PostgreSQL to DuckDB as CSV.

COPY writes pages into temporary files and DuckDB merges them from there: no row becomes a Python
object, and one page is read while the one before it is merged. All pages of a pass are one
transaction, so the columns always show one version of the registry.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import asyncpg
import duckdb

from clarion.adapters.facts.duckdb.audience_columns import AUDIENCE_TURN
from clarion.adapters.facts.duckdb.rebuilt import make_rebuilt, rebuilt_name, show_rebuilt
from clarion.adapters.facts.duckdb.registry_columns import CHANGED, CSV_TYPES
from clarion.adapters.facts.duckdb.snapshot import NOTHING, Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.stillness import Stillness
from clarion.adapters.facts.duckdb.store import FactsStore, set_watermark
from clarion.adapters.facts.duckdb.threads import Threads

PAGE_OCTETS: Final = 16 * 1024 * 1024
COPY_TIMEOUT_S: Final = 6 * 3600.0
"""A first fill is one COPY a table; it waits for DuckDB, so it may take long."""
TABLES: Final = ("users", "device")
MEMBERS: Final = {
    "list_member": ("list_id", "user_id"),
    "topic_member": ("app", "topic", "user_id"),
}
"""Tables of pairs -> what names a row; a row that says `member = false` takes it away."""
BULK_ROWS: Final = 20_000
LARGE_ROWS: Final = 1_000
"""A pass of so many rows commits while nobody scans; see `stillness`."""
LOOSE_SHARE: Final = 0.2


@dataclass(kw_only=True)
class _Pass:
    """One turn of the feed: its transaction, and what it has taken so far."""

    cursor: duckdb.DuckDBPyConnection
    fresh: bool
    """The tables are empty: nothing can be there already."""
    beside: bool
    """The tables are those of a rebuild."""
    piecemeal: bool = False
    """Each page is committed by itself."""
    rows: int = 0
    loose: int = 0
    """Rows that came in pages too small to be sorted to any use."""


@dataclass(kw_only=True)
class _Pages:
    """Cuts a COPY stream into files, and merges each while the next one fills."""

    feed: "RegistryFeed"
    turn: _Pass
    table: str
    file: BinaryIO | None = None
    size: int = 0
    merging: asyncio.Task[None] | None = None

    async def take(self, rows: bytes) -> None:
        """Whole rows, as COPY sends them: one CopyData message a row (protocol, section 54.2)."""
        if self.file is None:
            self.file = self.feed.new_page(self.table)
        self.file.write(rows)
        self.size += len(rows)
        if self.size >= PAGE_OCTETS:
            await self.turn_over()

    async def turn_over(self) -> None:
        """Give the page that is full to a thread, once the one before it is in."""
        if self.merging is not None:
            await self.merging
            self.merging = None
        if self.file is None:
            return
        self.file.close()
        page, self.file, self.size = Path(self.file.name), None, 0
        work = partial(self.feed.merge, self.turn, self.table, page)
        self.merging = asyncio.create_task(self.feed.threads.run(work))

    async def end(self) -> None:
        """Wait until everything is in."""
        await self.turn_over()
        await self.turn_over()

    async def give_up(self) -> None:
        """After a failure: nothing works on, and no file stays."""
        if self.merging is not None:
            await asyncio.wait([self.merging])
        if self.file is not None:
            self.file.close()
            self.feed.drop_page(self.file)


@dataclass(kw_only=True)
class RegistryFeed:
    """Reads pages in the event loop, merges them in a thread."""

    store: FactsStore
    folder: Path
    threads: Threads
    still: Stillness = field(default_factory=Stillness)
    place: Snapshot = field(init=False)
    loose: int = 0
    pages: int = 0
    reread: int = 0
    """Rows that the present rebuild has read so far, or the last one read."""

    def __post_init__(self) -> None:
        self.place = self.store.place("registry")

    async def follow(
        self, connection: asyncpg.Connection, now: Snapshot, *, rebuilt: Snapshot | None = None
    ) -> int:
        """Take in what changed, within the caller's REPEATABLE READ; how many rows that was.

        Where a rebuild has got as far as `rebuilt`, its tables take in what is missing and become
        those that askers see.
        """
        since = self.place if rebuilt is None else rebuilt
        turn = await self.threads.run(partial(self._begin, since, beside=rebuilt is not None))
        try:
            removals, place = await self._take(connection, turn, since, now)
            if turn.rows >= LARGE_ROWS or turn.beside:
                async with self.still.rewriting():
                    await self.threads.run(partial(self._commit, turn, removals, place))
            elif turn.rows or removals:
                await self.threads.run(partial(self._commit, turn, removals, place))
        except BaseException:
            await self.threads.run(partial(_rolled_back, turn))
            raise
        finally:
            await self.threads.run(turn.cursor.close)
        self.place = place
        self.loose = turn.loose if turn.fresh or turn.beside else self.loose + turn.loose
        return turn.rows + len(removals)

    async def reread_beside(
        self, connection: asyncpg.Connection, now: Snapshot, since: Snapshot
    ) -> tuple[int, Snapshot]:
        """Take what changed into the tables of a rebuild, page by page; from `NOTHING` it is all.

        Returns:
            How many rows that was, and how far the rebuild has got.
        """
        turn = await self.threads.run(partial(self._begin, since, beside=True))
        turn.piecemeal = True
        try:
            removals, place = await self._take(connection, turn, since, now)
            await self.threads.run(partial(_remove, turn, removals))
            await self.threads.run(turn.cursor.commit)
        except BaseException:
            await self.threads.run(partial(_rolled_back, turn))
            raise
        finally:
            await self.threads.run(turn.cursor.close)
        return turn.rows + len(removals), place

    async def _take(
        self, connection: asyncpg.Connection, turn: _Pass, since: Snapshot, now: Snapshot
    ) -> tuple[list[tuple[int, int]], Snapshot]:
        """Merge what changed; what was removed, and where the feed stands then."""
        for table in (*TABLES, *MEMBERS):
            await self._copy(connection, turn, table, since)
        removals = await connection.fetch(FEED["removal"], str(since.xmin), str(since))
        last = int(await connection.fetchval(FEED["last_change"]))
        gone = [] if turn.fresh else [(row["kind"], row["id"]) for row in removals]
        return gone, since.advanced(now, last)

    async def _copy(
        self, connection: asyncpg.Connection, turn: _Pass, table: str, since: Snapshot
    ) -> None:
        pages = _Pages(feed=self, turn=turn, table=table)
        try:
            # force_quote: an unquoted empty field is null, a quoted one is the empty text
            await connection.copy_from_query(
                FEED[table],
                str(since.xmin),
                str(since),
                output=pages.take,
                format="csv",
                force_quote=True,
                timeout=COPY_TIMEOUT_S,
            )
            await pages.end()
        finally:
            await pages.give_up()

    def new_page(self, table: str) -> BinaryIO:
        """A file for a page; `sweep_pages` finds it again should we be killed."""
        self.pages += 1
        return (self.folder / f"{table}-{self.pages}.csv").open("wb")

    def drop_page(self, page: BinaryIO) -> None:
        """Forget a page that will not be merged."""
        Path(page.name).unlink(missing_ok=True)

    def merge(self, turn: _Pass, table: str, page: Path) -> None:
        """Merge a page into the pass's transaction: sorted by bucket, without what it replaces."""
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in CSV_TYPES[table].items())
        source = (
            f"from read_csv('{_quoted(page)}', header = false, quote = '\"', escape = '\"', "
            f"allow_quoted_nulls = false, columns = {{{columns}}})"
        )
        into = rebuilt_name(table) if turn.beside else table
        try:
            if table in MEMBERS:
                rows = _merge_members(turn, table, into, source)
            else:
                rows = _merge_rows(turn, table, into, source)
        finally:
            page.unlink()
        turn.rows += rows
        if rows < BULK_ROWS and table in TABLES:
            turn.loose += rows
        if turn.beside:
            self.reread += rows
        if turn.piecemeal:
            turn.cursor.commit()
            turn.cursor.begin()

    def _begin(self, since: Snapshot, *, beside: bool) -> _Pass:
        cursor = self.store.cursor()
        cursor.begin()
        fresh = since == NOTHING
        if fresh and beside:
            self.reread = 0
            make_rebuilt(cursor)
        elif fresh:
            for table in (*TABLES, *MEMBERS):
                cursor.execute(f"delete from {table}")  # noqa: S608  # our own names
        return _Pass(cursor=cursor, fresh=fresh, beside=beside)

    def _commit(self, turn: _Pass, removals: list[tuple[int, int]], place: Snapshot) -> None:
        """An id that was removed never comes back, so the order of the two does not matter."""
        _remove(turn, removals)
        if turn.beside:
            show_rebuilt(turn.cursor)
        set_watermark(turn.cursor, "registry", str(place))
        ((number,),) = turn.cursor.execute("select txid_current()").fetchall()
        set_watermark(turn.cursor, AUDIENCE_TURN, str(number))
        turn.cursor.commit()
        if turn.rows >= BULK_ROWS:
            # else the next small change pays for it, some seconds late
            turn.cursor.execute("checkpoint")

    async def sort(self) -> None:
        """Lay all rows in the order of their buckets again; askers notice nothing."""
        cursor = await self.threads.run(self._sorted)
        try:
            async with self.still.rewriting():
                await self.threads.run(cursor.commit)
        except BaseException:
            await self.threads.run(cursor.rollback)
            raise
        finally:
            await self.threads.run(cursor.close)
        self.loose = 0

    def _sorted(self) -> duckdb.DuckDBPyConnection:
        """A transaction in which all is in order."""
        cursor = self.store.cursor()
        cursor.begin()
        try:
            for table in TABLES:
                cursor.execute(
                    f"create or replace temp table sorted as from {table} order by bucket"
                )
                cursor.execute(f"delete from {table}")  # noqa: S608  # our own names
                cursor.execute(f"insert into {table} from sorted order by bucket")  # our own names
                cursor.execute("drop table sorted")
        except BaseException:
            cursor.rollback()
            cursor.close()
            raise
        return cursor

    def is_loose(self) -> bool:
        """Whether so many rows came in small pages that scans pay for it."""
        if self.loose < BULK_ROWS:
            return False
        with self.store.reading() as cursor:
            row = cursor.execute("select count(*) from device").fetchone()
        return row is not None and self.loose > LOOSE_SHARE * int(row[0])


def sweep_pages(folder: Path) -> None:
    """Forget the pages that a killed owner left behind."""
    for table in (*TABLES, *MEMBERS):
        for page in folder.glob(f"{table}-*.csv"):
            page.unlink()


def _merge_rows(turn: _Pass, table: str, into: str, source: str) -> int:
    """Merge a page of people or devices; how many rows it had."""
    if not turn.fresh:
        turn.cursor.execute(f"create or replace temp table page as {source}")
        turn.cursor.execute(f"delete from {into} where id in (select id from page)")  # noqa: S608  # our own names
        source = "from page"
    added = turn.cursor.execute(
        f"insert into {into} by name select {CHANGED[table]} {source} order by bucket"
    ).fetchone()
    return 0 if added is None else int(added[0])


def _merge_members(turn: _Pass, table: str, into: str, source: str) -> int:
    """Merge a page of pairs; how many rows it had."""
    turn.cursor.execute(f"create or replace temp table page as {source}")
    if not turn.fresh:
        same = " and ".join(f"{into}.{name} = page.{name}" for name in MEMBERS[table])
        turn.cursor.execute(f"delete from {into} using page where {same}")  # noqa: S608  # our own names
    turn.cursor.execute(
        f"insert into {into} by name select * exclude (member, xid) from page where member"  # noqa: S608  # our own names
    )
    row = turn.cursor.execute("select count(*) from page").fetchone()
    return 0 if row is None else int(row[0])


def _remove(turn: _Pass, removals: list[tuple[int, int]]) -> None:
    """Forget people (kind 1) and devices (kind 2) that were removed for good."""
    named = rebuilt_name if turn.beside else str
    for kind, table in ((1, "users"), (2, "device")):
        ids = [number for which, number in removals if which == kind]
        if not ids:
            continue
        columns = {table: "id"} | (dict.fromkeys(MEMBERS, "user_id") if kind == 1 else {})
        for name, column in columns.items():
            turn.cursor.execute(
                f"delete from {named(name)} where {column} in (select unnest(?))",  # noqa: S608  # our own names
                [ids],
            )


def _rolled_back(turn: _Pass) -> None:
    with contextlib.suppress(duckdb.TransactionException):  # it had ended already
        turn.cursor.rollback()


def _quoted(path: Path) -> str:
    """A path inside an SQL text: a prepared statement would be planned without the file."""
    return str(path).replace("'", "''")
