"""What an anonymous person did is the known person's; what a removed person did goes."""

from pathlib import Path

import asyncpg
import pytest
from tests.facts.test_event_feed import MESSAGE, NOW, add, connection, looking, rows, store, threads

from clarion.adapters.facts.duckdb.event_feed import EventFeed
from clarion.adapters.facts.duckdb.merge_feed import MergeFeed
from clarion.adapters.facts.duckdb.store import FactsStore
from clarion.adapters.facts.duckdb.threads import Threads

__all__ = ["connection", "store", "threads"]

ANN = 5_000
DID = "select user_id from event union all select user_id from engagement order by all"


class Feeds:
    """Events and marks, followed as their owner does."""

    def __init__(self, store: FactsStore, threads: Threads, folder: Path) -> None:
        self.events = EventFeed(store=store, folder=folder, threads=threads)
        self.merges = MergeFeed(store=store, threads=threads)

    async def follow(self, connection: asyncpg.Connection) -> None:
        """One pass."""
        async with looking(connection) as now:
            await self.events.follow(connection, now)
            await self.merges.follow(connection, now)


@pytest.fixture
def feeds(store: FactsStore, threads: Threads, short_dir: Path) -> Feeds:
    """Both feeds over an empty file."""
    return Feeds(store, threads, short_dir)


async def merge(connection: asyncpg.Connection, user: int) -> None:
    """The person turns out to be `ANN`."""
    await connection.execute(
        "insert into merged (from_id, to_id, app_id, merged_at) values ($1, $2, 1, $3)",
        user,
        ANN,
        NOW,
    )
    await remove(connection, user)


async def remove(connection: asyncpg.Connection, user: int) -> None:
    """The person is gone."""
    await connection.execute("insert into removal (kind, id, app_id) values (1, $1, 1)", user)


async def test_events_and_engagement_go_to_the_known_person(
    connection: asyncpg.Connection, store: FactsStore, feeds: Feeds
) -> None:
    """Those that were taken in before the login, and those that come with it; buckets too."""
    await add(connection, 2)
    await add(connection, 2, name="clarion.opened")
    await feeds.follow(connection)
    await merge(connection, 1)
    await add(connection, 1)
    await feeds.follow(connection)

    assert rows(store, DID) == [(2,), (2,), (ANN,), (ANN,), (ANN,)]
    assert rows(store, "select count(*) from event where bucket = 5000 % 1024") == [(2,)]
    assert rows(store, "select message_high from engagement where user_id = 5000") == [
        (int(MESSAGE.replace("-", "")[:16], 16),)
    ]


async def test_what_a_removed_person_did_goes(
    connection: asyncpg.Connection, store: FactsStore, feeds: Feeds
) -> None:
    """From the columns at once, from the inbox with the next sweep; merged people are not gone."""
    await add(connection, 3)
    await feeds.follow(connection)
    await remove(connection, 3)
    await merge(connection, 1)
    await feeds.follow(connection)
    assert rows(store, DID) == [(2,), (ANN,)]

    await feeds.merges.look_again(connection)
    left = await connection.fetch("select user_id from event order by 1")
    assert [row["user_id"] for row in left] == [1, 2]


async def test_what_was_on_its_way_is_found_by_the_second_look(
    connection: asyncpg.Connection, store: FactsStore, feeds: Feeds
) -> None:
    """An event that was written after its person's end, by whoever had looked them up before."""
    await merge(connection, 1)
    await remove(connection, 3)
    await feeds.follow(connection)
    await feeds.merges.look_again(connection)
    await add(connection, 3)
    await feeds.follow(connection)
    assert rows(store, DID) == [(1,), (2,), (3,)]

    await feeds.merges.look_again(connection)
    assert rows(store, DID) == [(2,), (ANN,)]
    assert await connection.fetchval("select count(*) from event where user_id = 3") == 0
    await feeds.merges.look_again(connection)
    assert feeds.merges.again == feeds.merges.place


async def test_marks_of_devices_are_looked_at_once(
    connection: asyncpg.Connection, feeds: Feeds
) -> None:
    """Where many devices are removed and nobody logs in, a pass still has nothing to read."""
    xid = await connection.fetchval(
        "insert into removal (kind, id, app_id) values (2, 1, 1) returning xid::text::bigint"
    )
    await feeds.follow(connection)

    assert feeds.merges.place.has(xid)


async def test_an_owner_that_starts_again_goes_on(
    connection: asyncpg.Connection, store: FactsStore, feeds: Feeds, threads: Threads
) -> None:
    """The place is in the file."""
    await merge(connection, 1)
    await feeds.follow(connection)
    assert MergeFeed(store=store, threads=threads).place == feeds.merges.place
    async with looking(connection) as now:
        assert await MergeFeed(store=store, threads=threads).follow(connection, now) == 0
