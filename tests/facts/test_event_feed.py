"""The feed of events: each is in the columns once, and days leave the inbox when they are there."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
import duckdb
import pytest

from clarion.adapters.facts.duckdb.event_feed import EventFeed
from clarion.adapters.facts.duckdb.snapshot import Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.adapters.state.pool import connect

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
MESSAGE: Final = "fedcba98-7654-7210-8123-456789abcdef"


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


@pytest.fixture
def feed(store: FactsStore, threads: Threads, short_dir: Path) -> EventFeed:
    """A feed with small pages."""
    return EventFeed(store=store, folder=short_dir, threads=threads, page_rows=100)


@asynccontextmanager
async def looking(connection: asyncpg.Connection) -> AsyncIterator[Snapshot]:
    """One snapshot of the state store."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        yield Snapshot.parse(await connection.fetchval(FEED["snapshot"]))


async def add(
    connection: asyncpg.Connection, count: int, *, name: str = "view", at: datetime = NOW
) -> None:
    """Events in one transaction; reserved ones are about `MESSAGE`."""
    await connection.execute("select event_days(array[$1::date])", at.date())
    await connection.execute(
        """insert into event (day, event_id, app_id, user_id, name, at, value, properties,
                              message_id)
           select $1::date, gen_random_uuid(), 1, g, $2, $3, 2.5,
                  '{"text": "a \\"b\\", c", "n": 7}',
                  case when $2 like 'clarion.%' then $4::uuid end
           from generate_series(1, $5::int) g""",
        at.date(),
        name,
        at,
        MESSAGE,
        count,
    )


def rows(store: FactsStore, sql: str) -> list[tuple[object, ...]]:
    """What DuckDB answers."""
    with store.reading() as cursor:
        found: list[tuple[object, ...]] = cursor.execute(sql).fetchall()
    return found


async def test_events_arrive_once_page_by_page(
    connection: asyncpg.Connection, feed: EventFeed, store: FactsStore
) -> None:
    """More than a page comes in one turn; a second turn finds nothing."""
    for _ in range(5):
        await add(connection, 60)
    async with looking(connection) as now:
        assert await feed.follow(connection, now) == (300, True)
        assert await feed.follow(connection, now) == (0, True)
    await add(connection, 1)
    async with looking(connection) as now:
        assert await feed.follow(connection, now) == (1, True)

    told = "select count(*), count(distinct user_id), sum(value), max(at_us) from event"
    at_us = int(NOW.timestamp() * 1e6)
    assert rows(store, told) == [(301, 60, 752.5, at_us)]
    told = (
        "select distinct properties.text::varchar, properties.n::int, bucket = user_id from event"
    )
    assert rows(store, told) == [('a "b", c', 7, True)]
    assert not list(feed.folder.glob("*.csv"))


async def test_a_pass_that_has_had_enough_leaves_the_rest_to_the_next(
    connection: asyncpg.Connection, feed: EventFeed, store: FactsStore
) -> None:
    """It ends after a page, and says that it was not all."""
    for _ in range(5):
        await add(connection, 60)
    async with looking(connection) as now:
        assert await feed.follow(connection, now, lambda: True) == (120, False)
    async with looking(connection) as now:
        assert await feed.follow(connection, now) == (180, True)

    assert rows(store, "select count(*) from event") == [(300,)]


async def test_what_people_did_with_messages_is_engagement(
    connection: asyncpg.Connection, feed: EventFeed, store: FactsStore
) -> None:
    """Reserved names become rows of their kind, under the message's two halves."""
    for name in ("clarion.received", "clarion.opened", "clarion.displayed", "view"):
        await add(connection, 1, name=name)
    async with looking(connection) as now:
        await feed.follow(connection, now)

    found = rows(
        store,
        "select kind, message_high, message_low, user_id, category from engagement order by kind",
    )
    high, low = 0xFEDCBA9876547210, 0x8123456789ABCDEF
    assert found == [(kind, high, low, 1, None) for kind in (1, 2, 5)]
    assert rows(store, "select name from event") == [("view",)]


async def test_a_device_receives_a_message_once(
    connection: asyncpg.Connection, feed: EventFeed, store: FactsStore
) -> None:
    """What an app tells and what a receipt tells is one thing, in one page and in the next."""

    async def received(device: int | None) -> None:
        await add(connection, 1, name="clarion.received")
        await connection.execute("update event set device_id = $1 where device_id is null", device)

    for devices in ((7, 7, 8, None, None), (7, 8, 9)):
        for device in devices:
            await received(device)
        await add(connection, 1, name="clarion.opened")
        async with looking(connection) as now:
            await feed.follow(connection, now)

    found = rows(store, "select kind, device, count(*) from engagement group by all order by all")
    assert found == [(1, 7, 1), (1, 8, 1), (1, 9, 1), (1, None, 2), (2, None, 2)]


async def test_texts_arrive_as_they_were_written(
    connection: asyncpg.Connection, feed: EventFeed, store: FactsStore
) -> None:
    """Quotes, commas, line ends, escapes and odd instants; what is absent is null."""
    at = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)
    await add(connection, 1, name='a "b", \\N c', at=at)
    texts = '{"t": "a\\n\\u001f\\u001e\\"\\\\, ü"}'
    await connection.execute("update event set properties = $1::text::jsonb, value = null", texts)
    await connection.execute(
        """insert into event (day, event_id, app_id, user_id, name, at)
           values ($1, gen_random_uuid(), 1, 1030, 'b', $2)""",
        NOW.date(),
        at,
    )
    async with looking(connection) as now:
        await feed.follow(connection, now)

    told = "select name, bucket, at_us, value, properties.t::varchar from event order by name"
    at_us = int(NOW.timestamp()) * 1_000_000 + 123457
    assert rows(store, told) == [
        ('a "b", \\N c', 1, at_us, None, 'a\n\x1f\x1e"\\, ü'),
        ("b", 6, at_us, None, None),
    ]


async def test_a_page_that_was_not_committed_comes_again(
    connection: asyncpg.Connection,
    feed: EventFeed,
    store: FactsStore,
    threads: Threads,
    short_dir: Path,
) -> None:
    """Rows and watermark are one transaction: what fails leaves neither, and is not lost."""
    await add(connection, 9)
    await add(connection, 1, name="clarion.opened")
    with store.reading() as cursor:
        cursor.execute("alter table engagement rename to hidden")
    with pytest.raises(duckdb.CatalogException):
        async with looking(connection) as now:
            await feed.follow(connection, now)
    with store.reading() as cursor:
        cursor.execute("alter table hidden rename to engagement")
    after = EventFeed(store=store, folder=short_dir, threads=threads)
    async with looking(connection) as now:
        assert await after.follow(connection, now) == (10, True)

    assert rows(store, "select count(*) from event") == [(9,)]
    assert rows(store, "select count(*) from engagement") == [(1,)]


async def test_days_are_dropped_when_they_are_old_and_taken_in(
    connection: asyncpg.Connection, feed: EventFeed
) -> None:
    """A day that has events which the columns lack stays, and so does one that is young."""
    old = NOW - timedelta(days=40)
    for at in (old, old + timedelta(days=1), NOW):
        await add(connection, 3, at=at)
    async with looking(connection) as now:
        await feed.follow(connection, now)
    await add(connection, 1, at=old + timedelta(days=1))
    before = date(2026, 2, 1)
    first = await feed.drop_days(connection, before)
    async with looking(connection) as now:
        await feed.follow(connection, now)
    second = await feed.drop_days(connection, before)

    assert (first, second) == (1, 1)
    assert await connection.fetchval("select count(*) from event") == 3


async def test_a_dropping_that_stopped_half_way_is_ended(
    connection: asyncpg.Connection, feed: EventFeed
) -> None:
    """A day that was detached and not dropped goes the next time."""
    at = NOW - timedelta(days=40)
    await add(connection, 1, at=at)
    await connection.execute(f"alter table event detach partition event_{at:%Y%m%d} concurrently")

    assert await feed.drop_days(connection, NOW.date()) == 1
    assert await connection.fetchval("select to_regclass($1)", f"event_{at:%Y%m%d}") is None
