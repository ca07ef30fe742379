"""The audience is read anew while the feed goes on; askers see what was there, and what changes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import polars as pl
from tests.facts.test_owner import NOW, add_people, owner, pool
from typing_extensions import override

from clarion.adapters.facts.duckdb import FactsClient
from clarion.adapters.facts.duckdb.rebuilt import REBUILT
from clarion.adapters.facts.duckdb.registry_feed import RegistryFeed
from clarion.adapters.facts.duckdb.snapshot import NOTHING, Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.facts.duckdb.threads import Result, Threads
from clarion.domain.ids import BUCKETS, AppId
from clarion.ports.audience import AudienceScan

__all__ = ["pool"]
FEW = 300


async def languages(client: FactsClient, at_least: int = 0) -> list[str | None]:
    """What a scan of everybody says, each language once."""
    scan = AudienceScan(app=AppId(1), low=0, high=BUCKETS, at_least_xid=at_least)
    rows = pl.concat([piece.rows async for piece in client.scan(scan)])
    assert rows.height == FEW
    found: list[str | None] = rows["language"].unique().sort().to_list()
    return found


async def test_scans_see_the_old_columns_until_the_new_are_complete(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """A rebuild that is stopped in the middle of its reading hides nobody."""
    xid = await add_people(pool, FEW)
    async with owner(pool, short_dir) as client:
        await languages(client, xid)
        async with pool.acquire() as other:
            holding = other.transaction()
            await holding.start()
            await other.execute("lock table device in access exclusive mode")
            rebuilding = asyncio.create_task(client.rebuild())
            while (await client.rebuilding())[0] < FEW:  # noqa: ASYNC110  devices wait; nothing tells us
                await asyncio.sleep(0.02)
            seen = [await languages(client) for _ in range(3)]
            done_early = rebuilding.done()
            _, there = await client.rebuilding()
            await holding.rollback()
        rows = await rebuilding

    assert seen == [[None]] * 3
    assert not done_early
    assert (rows, there) == (2 * FEW, 2 * FEW)


async def test_a_restart_reads_only_what_changed(pool: asyncpg.Pool, short_dir: Path) -> None:
    """What only the columns know is still there after a restart; a rebuild replaces it."""
    xid = await add_people(pool, FEW)
    async with owner(pool, short_dir) as client:
        await languages(client, xid)
    store = open_store(short_dir / "facts.duckdb", memory_mib=64, threads=1)
    with store.writing() as cursor:
        cursor.execute("update users set language = 'xx' where external_id = 'u1'")
    store.close()
    changed = await pool.fetchval(
        """update users set language = 'de', updated_at = $1, xid = pg_current_xact_id()
           where external_id = 'u2' returning xid::text::bigint""",
        NOW,
    )
    async with owner(pool, short_dir) as client:
        after = await languages(client, changed)
        await client.rebuild()
        anew = await languages(client)

    assert after == [None, "de", "xx"]
    assert anew == [None, "de"]


class Dying(Threads):
    """Keeps what a process that is killed before a step, or at the end, leaves on the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.left: list[Path] = []
        self.last: dict[str, bytes] = {}

    @override
    async def run(self, work: Callable[[], Result]) -> Result:
        """See `Threads.run`."""
        self.die()
        return await super().run(work)

    def die(self) -> None:
        """Copy the file, and the log beside it, where they are not as they were."""
        files = [file for file in self.folder.glob("facts.duckdb*") if file.is_file()]
        found = {file.name: file.read_bytes() for file in files}
        if found == self.last:
            return
        self.last = found
        self.left.append(self.folder / f"killed-{len(self.left)}")
        self.left[-1].mkdir()
        for name, octets in found.items():
            (self.left[-1] / name).write_bytes(octets)


@asynccontextmanager
async def registry_feed(
    folder: Path, threads: Threads | None = None
) -> AsyncIterator[RegistryFeed]:
    """A feed over a facts file."""
    threads = threads or Threads()
    store = open_store(folder / "facts.duckdb", memory_mib=64, threads=1)
    try:
        yield RegistryFeed(store=store, folder=folder, threads=threads)
    finally:
        threads.close()
        store.close()


@asynccontextmanager
async def looking(pool: asyncpg.Pool) -> AsyncIterator[tuple[asyncpg.Connection, Snapshot]]:
    """One snapshot of the state store."""
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        yield connection, Snapshot.parse(await connection.fetchval(FEED["snapshot"]))


def shown(store: FactsStore) -> dict[str, str | None]:
    """Who is in the columns, with a language."""
    with store.reading() as cursor:
        found = cursor.execute("select external_id, language from users").fetchall()
    return {str(name): language for name, language in found}


async def speak(pool: asyncpg.Pool, who: str, language: str) -> None:
    """A person's language is another."""
    await pool.execute(
        """update users set language = $3, updated_at = $1, xid = pg_current_xact_id()
           where external_id = $2""",
        NOW,
        who,
        language,
    )


async def test_changes_are_shown_while_a_rebuild_reads_and_are_there_when_it_has_ended(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """The feed goes on beside it; what only the columns said is gone at the end, not before."""
    await add_people(pool, 5)
    async with registry_feed(short_dir) as feed:
        async with looking(pool) as (connection, now):
            await feed.follow(connection, now)
        with feed.store.writing() as cursor:
            cursor.execute("update users set language = 'xx' where external_id = 'u1'")
        async with looking(pool) as (connection, now):
            rows, since = await feed.reread_beside(connection, now, NOTHING)
        await speak(pool, "u2", "de")
        await pool.execute(
            """with gone as (delete from users where external_id = 'u3' returning id)
               insert into removal (kind, id, app_id) select 1, id, 1 from gone"""
        )
        async with looking(pool) as (connection, now):
            await feed.follow(connection, now)
        meanwhile = shown(feed.store)
        async with looking(pool) as (connection, now):
            _, since = await feed.reread_beside(connection, now, since)
        await speak(pool, "u4", "fr")
        async with looking(pool) as (connection, now):
            await feed.follow(connection, now, rebuilt=since)
        after = shown(feed.store)
        async with looking(pool) as (connection, now):
            assert await feed.follow(connection, now) == 0

    assert rows == 10
    assert meanwhile == {"u1": "xx", "u2": "de", "u4": None, "u5": None}
    assert after == {"u1": None, "u2": "de", "u4": "fr", "u5": None}
    async with registry_feed(short_dir) as feed:
        assert shown(feed.store) == after


async def test_a_rebuild_that_is_killed_at_any_step_shows_the_old_or_the_new(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """Nothing in between, and no change is lost; who asks again gets what they asked for."""
    await add_people(pool, 5)
    async with registry_feed(short_dir) as feed:
        async with looking(pool) as (connection, now):
            await feed.follow(connection, now)
        with feed.store.writing() as cursor:
            cursor.execute("update users set language = 'xx' where external_id = 'u1'")
    dying = Dying(short_dir)
    async with registry_feed(short_dir, dying) as feed:
        async with looking(pool) as (connection, now):
            _, since = await feed.reread_beside(connection, now, NOTHING)
        await speak(pool, "u2", "de")
        async with looking(pool) as (connection, now):
            await feed.follow(connection, now)
        async with looking(pool) as (connection, now):
            _, since = await feed.reread_beside(connection, now, since)
        await pool.execute(
            """with gone as (delete from users where external_id = 'u3' returning id)
               insert into removal (kind, id, app_id) select 1, id, 1 from gone"""
        )
        async with looking(pool) as (connection, now):
            await feed.follow(connection, now, rebuilt=since)
        dying.die()
    right = {"u1": None, "u2": "de", "u4": None, "u5": None}
    old = right | {"u1": "xx"}
    seen = []
    for folder in dying.left:
        async with registry_feed(folder) as feed, looking(pool) as (connection, now):
            await feed.follow(connection, now)
            seen.append(shown(feed.store))

    news = seen.index(right)
    assert seen == [old] * news + [right] * (len(seen) - news)
    assert news > 4, "steps before the new tables are shown"
    async with registry_feed(dying.left[news - 1]) as feed, looking(pool) as (connection, now):
        _, since = await feed.reread_beside(connection, now, NOTHING)
        await feed.follow(connection, now, rebuilt=since)
        assert shown(feed.store) == right


async def test_what_a_killed_rebuild_left_is_forgotten(pool: asyncpg.Pool, short_dir: Path) -> None:
    """Its tables are dropped at the next start; nobody has seen them."""
    xid = await add_people(pool, FEW)
    async with registry_feed(short_dir) as feed, looking(pool) as (connection, now):
        await feed.reread_beside(connection, now, NOTHING)
    async with owner(pool, short_dir) as client:
        await languages(client, xid)
    store = open_store(short_dir / "facts.duckdb", memory_mib=64, threads=1)
    with store.reading() as cursor:
        tables = {
            name for (name,) in cursor.execute("select table_name from duckdb_tables()").fetchall()
        }
    store.close()

    assert not tables & REBUILT


async def test_a_rebuild_whose_connection_breaks_begins_again(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """Whoever asked waits until one has come to its end."""
    xid = await add_people(pool, FEW)
    async with owner(pool, short_dir) as client:
        await languages(client, xid)
        async with pool.acquire() as other:
            holding = other.transaction()
            await holding.start()
            await other.execute("lock table device in access exclusive mode")
            rebuilding = asyncio.create_task(client.rebuild())
            while (await client.rebuilding())[0] < FEW:  # noqa: ASYNC110  devices wait; nothing tells us
                await asyncio.sleep(0.02)
            await other.execute(
                """select pg_terminate_backend(pid) from pg_stat_activity
                   where datname = current_database() and query like 'COPY%'
                         and pid <> pg_backend_pid()"""
            )
            await holding.rollback()
        rows = await rebuilding

    assert rows >= 2 * FEW
