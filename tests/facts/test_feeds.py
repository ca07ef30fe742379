"""The feeds by themselves: what they lay where, and what they let go."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import numpy as np
import pytest

from clarion.adapters.facts.duckdb.outcome_feed import CHUNKS, OutcomeFeed
from clarion.adapters.facts.duckdb.registry_feed import RegistryFeed
from clarion.adapters.facts.duckdb.snapshot import Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.adapters.state.pool import connect
from clarion.domain.handoffs import OUTCOME_ROW

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALL = "select id, bucket, token, keys, platform, attributes::varchar from device"


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a fresh store."""
    connection = await connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def store(short_dir: Path) -> Iterator[FactsStore]:
    """A new facts file."""
    store = open_store(short_dir / "facts.duckdb", memory_mib=64, threads=1)
    yield store
    store.close()


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Threads for DuckDB's work."""
    threads = Threads()
    yield threads
    threads.close()


@asynccontextmanager
async def looking(connection: asyncpg.Connection) -> AsyncIterator[Snapshot]:
    """One snapshot of the state store."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield Snapshot.parse(await connection.fetchval(FEED["snapshot"]))


async def add_devices(connection: asyncpg.Connection, count: int) -> None:
    """People with a device each, with awkward texts."""
    await connection.execute(
        """with people as (
               insert into users (app_id, created_at, updated_at)
               select 1, $1, $1 from generate_series(1, $2::int) returning id)
           insert into device (app_id, user_id, network, token, token_key, keys, platform,
                               attributes, registered_at, created_at, updated_at)
           select 1, id, 3, E'a "b", c\\n' || id, sha256(id::text::bytea),
                  case when id % 2 = 0 then '\\x00ff'::bytea end,
                  case when id % 3 = 0 then '' when id % 3 = 1 then 'phone' end,
                  '{"text": "\\"quoted\\", comma", "list": [1, null]}', $1, $1, $1
           from people""",
        NOW,
        count,
    )


async def test_texts_arrive_as_they_are(
    connection: asyncpg.Connection, store: FactsStore, threads: Threads, short_dir: Path
) -> None:
    """Quotes, line ends, empty texts and nulls survive the CSV between the engines."""
    feed = RegistryFeed(store=store, folder=short_dir, threads=threads)
    await add_devices(connection, 6)
    async with looking(connection) as now:
        await feed.follow(connection, now)

    kept = await connection.fetch("select id, token, keys, platform from device order by id")
    with store.reading() as cursor:
        copied = cursor.execute(
            "select id, token, keys, platform from device order by id"
        ).fetchall()
        nested = cursor.execute("select distinct attributes.text::varchar from device").fetchall()
    assert copied == [tuple(row) for row in kept]
    assert nested == [('"quoted", comma',)]
    assert not list(short_dir.glob("*.csv"))  # noqa: ASYNC240  # a test may block


async def test_what_came_piecemeal_is_sorted_without_a_change(
    connection: asyncpg.Connection, store: FactsStore, threads: Threads, short_dir: Path
) -> None:
    """After sorting the same rows lie in the order of their buckets."""
    feed = RegistryFeed(store=store, folder=short_dir, threads=threads)
    for _ in range(3):
        await add_devices(connection, 5000)
        async with looking(connection) as now:
            await feed.follow(connection, now)
    with store.reading() as cursor:
        before = cursor.execute(f"{ALL} order by id").fetchall()
    was_loose = feed.is_loose()
    await feed.sort()
    with store.reading() as cursor:
        after = cursor.execute(f"{ALL} order by id").fetchall()
        buckets = [row[0] for row in cursor.execute("select bucket from device").fetchall()]

    assert was_loose
    assert not feed.is_loose()
    assert after == before
    assert buckets == sorted(buckets)


async def test_chunks_are_dropped_when_they_are_old_and_taken_in(
    connection: asyncpg.Connection, store: FactsStore, threads: Threads
) -> None:
    """A chunk that the facts have not is kept however old it is."""
    feed = OutcomeFeed(store=store, threads=threads)

    async def record(key: str, at: datetime) -> None:
        await connection.execute(
            """insert into chunk (key, app_id, kind, message_ids, rows, created_at)
               values ($1, 1, 1, array[gen_random_uuid()], $2, $3)""",
            key,
            np.zeros(3, OUTCOME_ROW).tobytes(),
            at,
        )

    for number in range(5):
        await record(f"old-{number}", NOW - timedelta(hours=2))
    await record("young", NOW)
    async with looking(connection) as now:
        await feed.follow(connection, now)
    await record("late", NOW - timedelta(hours=2))
    await feed.drop_old(connection, NOW - timedelta(hours=1), at_once=2)

    left = await connection.fetch("select key from chunk order by key")
    assert [row["key"] for row in left] == ["late", "young"]


async def test_a_large_transaction_is_one_page(
    connection: asyncpg.Connection, store: FactsStore, threads: Threads
) -> None:
    """More chunks than a page has are taken whole when one transaction wrote them."""
    feed = OutcomeFeed(store=store, threads=threads)
    await connection.execute(
        """insert into chunk (key, app_id, kind, message_ids, rows, created_at)
           select 'k' || g, 1, 1, array[gen_random_uuid()], $1, $2
           from generate_series(1, $3::int) g""",
        np.zeros(2, OUTCOME_ROW).tobytes(),
        NOW,
        CHUNKS + 10,
    )
    async with looking(connection) as now:
        taken = await feed.follow(connection, now)
        again = await feed.follow(connection, now)

    assert (taken, again) == (CHUNKS + 10, 0)
