"""Lists and consent in the columns, and what the facts hold about one person."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import orjson
from tests.facts.test_event_feed import add
from tests.facts.test_feeds import NOW, connection, looking, store, threads
from tests.facts.test_owner import owner

from clarion.adapters.facts.duckdb.person_queries import PAGE_ROWS, about, erase
from clarion.adapters.facts.duckdb.registry_feed import RegistryFeed
from clarion.adapters.facts.duckdb.store import FactsStore
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.adapters.state.pool import open_pool
from clarion.domain.ids import AppId, UserId

__all__ = ["connection", "store", "threads"]


async def test_lists_topics_and_decisions_follow_the_state_store(
    connection: asyncpg.Connection, store: FactsStore, threads: Threads, short_dir: Path
) -> None:
    """Who leaves a list leaves the columns; a removed person leaves all of them."""
    app = await connection.fetchval(
        "insert into app (name, created_at) values ('a', $1) returning id", NOW
    )
    people = [
        row["id"]
        for row in await connection.fetch(
            "insert into users (app_id, created_at, updated_at, granted, denied, suppressed, "
            "paused_until, quiet_hours) "
            "select $1, $2, $2, 1::bigint << 62, 4, true, $2, '[]' from generate_series(1, 3) "
            "returning id",
            app,
            NOW,
        )
    ]
    group = await connection.fetchval(
        "insert into list (app_id, name, created_at) values ($1, 'l', $2) returning id", app, NOW
    )
    for user in people:
        await connection.execute(
            "insert into list_member (list_id, user_id) values ($1, $2)", group, user
        )
        await connection.execute(
            "insert into topic_member (app_id, topic, user_id) values ($1, 't \"x\"', $2)",
            app,
            user,
        )
    feed = RegistryFeed(store=store, folder=short_dir, threads=threads)

    async def members() -> tuple[list[int], list[int]]:
        async with looking(connection) as now:
            await feed.follow(connection, now)
        with store.reading() as cursor:
            lists = cursor.execute("select user_id from list_member order by all").fetchall()
            topics = cursor.execute("select user_id from topic_member order by all").fetchall()
        return [row[0] for row in lists], [row[0] for row in topics]

    assert await members() == (people, people)
    with store.reading() as cursor:
        row = cursor.execute(
            "select granted, denied, suppressed, paused_until_us, quiet_hours from users limit 1"
        ).fetchone()
    assert row == (1 << 62, 4, True, int(NOW.timestamp()) * 1_000_000, "[]")

    await connection.execute(
        "update list_member set member = false, xid = pg_current_xact_id() where user_id = $1",
        people[0],
    )
    assert await members() == (people[1:], people)
    await connection.execute(
        "update list_member set member = true, xid = pg_current_xact_id() where user_id = $1",
        people[0],
    )
    await connection.execute("delete from users where id = $1", people[1])
    await connection.execute(
        "insert into removal (kind, id, app_id) values (1, $1, $2)", people[1], app
    )
    left = [people[0], people[2]]
    assert await members() == (left, left)


def told(store: FactsStore, *, app: int, users: list[int]) -> Mapping[str, list[dict[str, Any]]]:
    """All that the facts hold about a person by these numbers."""
    found: dict[str, list[dict[str, Any]]] = {}
    for page in map(orjson.loads, about(store, app=app, users=users)):
        found.setdefault(page["kind"], []).extend(page["rows"])
    return found


def test_a_persons_facts_are_told_and_erased(store: FactsStore) -> None:
    """Outcomes stay as counts of nobody; everything else goes, of this person alone."""
    with store.writing() as cursor:
        cursor.execute(
            "insert into outcome by name select 1 as app, 7 as message_high, 8 as message_low, "
            "u * 10 as device, u as user_id, 5 as at_us, 0 as reason, 1 as outcome, 1 as network, "
            "0 as attempt, u as note from (values (1), (2)) t (u)"
        )
        cursor.execute("insert into note values (1, 'ann'), (2, 'bob')")
        cursor.execute("insert into provider_id values (7, 8, 10, 0, 'x'), (7, 8, 20, 0, 'y')")
        cursor.execute(
            "insert into event by name select 1 as app, u as user_id, 'buy' as name, 3 as at_us "
            "from (values (1), (2)) t (u)"
        )
        cursor.execute(
            "insert into engagement by name select 1 as app, u as user_id, 1 as kind, 4 as at_us "
            "from (values (1), (2)) t (u)"
        )
    assert [row["name"] for row in told(store, app=1, users=[1])["event"]] == ["buy"]
    assert told(store, app=2, users=[1])["outcome"] == []

    removed = erase(store, app=1, users=[1])
    assert {name: count for name, count in removed.items() if count} == {
        "provider_id": 1,
        "note": 1,
        "outcome": 1,
        "event": 1,
        "engagement": 1,
    }
    assert not any(told(store, app=1, users=[1]).values())
    assert told(store, app=1, users=[2])["event"]
    with store.reading() as cursor:
        assert cursor.execute("select count(*) from outcome").fetchone() == (2,)
        assert cursor.execute("select words from note").fetchall() == [("bob",)]
    assert not any(erase(store, app=1, users=[1]).values())


async def test_the_owner_tells_what_was_committed_before(
    connection: asyncpg.Connection, database_url: str, short_dir: Path
) -> None:
    """Of all numbers of a person, over its socket; and erases it."""
    await add(connection, 2)
    await connection.execute(
        "insert into merged (from_id, to_id, app_id, merged_at) values (1, 2, 1, $1)", NOW
    )
    xid = int(await connection.fetchval("select pg_current_xact_id()::text::bigint"))
    pool = await open_pool(database_url)
    users = [UserId(1), UserId(2)]
    async with owner(pool, short_dir) as client:
        pages = [page async for page in client.about(AppId(1), users, at_least_xid=xid)]
        removed = await client.erase(AppId(1), users, at_least_xid=xid)
    await pool.close()
    events = [row for page in pages if page.kind == "event" for row in page.rows]
    assert [row["user_id"] for row in events] == [2, 2]
    assert removed["event"] == 2


def test_all_facts_are_told_page_by_page(store: FactsStore) -> None:
    """More than ten thousand of a kind, number by number in order of time."""
    with store.writing() as cursor:
        cursor.execute(
            "insert into event by name select 1 as app, 1 + i % 3 as user_id, 'view' as name, "
            "30000 - i as at_us from range(30000) t (i)"
        )
    pages = [orjson.loads(piece) for piece in about(store, app=1, users=[1, 2])]
    events = [row for page in pages if page["kind"] == "event" for row in page["rows"]]
    assert max(len(page["rows"]) for page in pages) == PAGE_ROWS
    assert len(events) == 20_000
    assert events == sorted(events, key=lambda row: (row["user_id"], row["at_us"]))
    assert {page["kind"] for page in pages} == {"event", "engagement", "outcome", "decision"}
