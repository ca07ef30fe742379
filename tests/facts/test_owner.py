"""The columnar copy follows the state store, and facts are taken in exactly once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import numpy as np
import polars as pl
import pytest

from clarion.adapters.facts.duckdb import FactsClient, OwnerSettings, run_owner
from clarion.adapters.facts.duckdb.event_feed import PAGE_ROWS
from clarion.adapters.state.pool import open_pool
from clarion.adapters.system import SystemClock
from clarion.domain.handoffs import OUTCOME_ROW
from clarion.domain.ids import BUCKETS, AppId, MessageId, UserId
from clarion.domain.network import Network
from clarion.domain.outcome import Outcome, Reason
from clarion.ports.audience import AudienceScan, AudienceUnavailableError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MESSAGE = MessageId(str(UUID(int=2**100 + 5)))


@asynccontextmanager
async def owner(
    pool: asyncpg.Pool, folder: Path, *, drain_every_s: float = 0.25
) -> AsyncIterator[FactsClient]:
    """A running owner, and a client of it; neither gives up on a busy machine."""
    stop = asyncio.Event()
    clock = SystemClock()
    settings = OwnerSettings(
        path=folder / "facts.duckdb",
        socket=folder / "facts.sock",
        drain_every_s=drain_every_s,
        lag_limit_s=150.0,
    )
    task = asyncio.create_task(run_owner(pool, settings, clock, stop))
    client = FactsClient(settings.socket, clock)
    await listening(settings.socket, task)
    try:
        yield client
    finally:
        await client.close()
        stop.set()
        await task


async def listening(socket: Path, running: asyncio.Task[None]) -> None:
    """Wait until an owner listens; a machine may be busier than a client is patient."""
    while not (socket.exists() or running.done()):  # noqa: ASYNC110, ASYNC240  nobody tells of it
        await asyncio.sleep(0.01)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a fresh store with one app."""
    pool = await open_pool(database_url)
    await pool.execute("insert into app (name, created_at) values ('shop', $1)", NOW)
    yield pool
    await pool.close()


async def add_people(pool: asyncpg.Pool, count: int) -> int:
    """Users with a device each; the transaction that made them."""
    return int(
        await pool.fetchval(
            """with people as (
                insert into users (app_id, external_id, attributes, created_at, updated_at)
                select 1, 'u' || g, '{"plan": "pro"}', $1, $1 from generate_series(1, $2::int) g
                returning id),
            devices as (
                insert into device (app_id, user_id, network, token, token_key, os, registered_at,
                                    created_at, updated_at)
                select 1, id, 1, 'token "quoted", ' || id, sha256(id::text::bytea), '', $1, $1, $1
                from people)
            select pg_current_xact_id()::text::bigint from people limit 1""",
            NOW,
            count,
        )
    )


async def everybody_at_last(client: FactsClient) -> pl.DataFrame:
    """All rows, asked for again as often as a busy machine lets a rebuild overtake the scan."""
    while True:
        try:
            return await everybody(client, 0)
        except AudienceUnavailableError as error:
            if "ask again" not in str(error):
                raise


async def everybody(
    client: FactsClient, xid: int, low: int = 0, high: int = BUCKETS
) -> pl.DataFrame:
    """All rows of a scan that has everything up to a transaction."""
    scan = AudienceScan(app=AppId(1), low=low, high=high, at_least_xid=xid)
    return pl.concat([piece.rows async for piece in client.scan(scan)])


async def add_chunk(pool: asyncpg.Pool, number: int, devices: list[int], **fields: int) -> int:
    """A recorded chunk of accepted rows; its transaction."""
    rows = np.zeros(len(devices), OUTCOME_ROW)
    rows["device"] = devices
    rows["user"] = devices
    rows["network"] = 1
    rows["outcome"] = Outcome.ACCEPTED
    rows["at_us"] = np.arange(len(devices)) * 1000
    for name, value in fields.items():
        rows[name] = value
    return int(
        await pool.fetchval(
            """insert into chunk (key, app_id, kind, message_ids, rows, notes, provider_ids,
                                  created_at)
               values ($1, 1, 1, $2, $3, '{gone}', '{"0": "id-of-row-0"}', $4)
               returning xid::text::bigint""",
            f"k{number}",
            [MESSAGE],
            rows.tobytes(),
            NOW,
        )
    )


async def test_a_scan_has_what_was_committed_before_it_was_asked(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """Read your writes: no registration is missed by the message that follows it."""
    async with owner(pool, short_dir) as client:
        xid = await add_people(pool, 500)
        rows = await everybody(client, xid)

    assert len(rows) == 500
    assert rows["token"].to_list()[0].startswith(b'token "quoted", ')
    assert rows["registered_us"].unique().to_list() == [int(NOW.timestamp() * 1e6)]


async def test_shards_of_a_scan_add_up(pool: asyncpg.Pool, short_dir: Path) -> None:
    """Each user is in exactly one range of buckets."""
    async with owner(pool, short_dir) as client:
        xid = await add_people(pool, 3000)
        parts = [await everybody(client, xid, low, low + 256) for low in range(0, BUCKETS, 256)]

    users = pl.concat(parts)["user"]
    assert len(users) == 3000
    assert users.n_unique() == 3000


async def test_changes_removals_and_deaths_arrive(pool: asyncpg.Pool, short_dir: Path) -> None:
    """The copy follows updates and deletions."""
    async with owner(pool, short_dir) as client:
        await everybody(client, await add_people(pool, 3))
        first, second, third = [row["id"] for row in await pool.fetch("select id from users")]
        await pool.execute(
            "update users set opted_out = true, xid = pg_current_xact_id() where id = $1", first
        )
        await pool.execute(
            "update device set state = 2, xid = pg_current_xact_id() where user_id = $1", second
        )
        await pool.execute("delete from device where user_id = $1", third)
        xid = await pool.fetchval(
            """insert into removal (kind, id, app_id) select 2, id, 1 from device
               where user_id = $1 returning xid::text::bigint""",
            second,
        )
        rows = await everybody(client, xid)

    by_user = {row["user"]: row for row in rows.to_dicts()}
    assert by_user[first]["user_opted_out"]
    assert by_user[second]["device"] == 0
    assert by_user[third]["network"] == 1


async def test_a_user_without_a_device_is_a_row_of_device_zero(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """So that an outcome can be recorded for them."""
    async with owner(pool, short_dir) as client:
        xid = await pool.fetchval(
            """insert into users (app_id, external_id, created_at, updated_at)
               values (1, 'lonely', $1, $1) returning xid::text::bigint""",
            NOW,
        )
        rows = await everybody(client, xid)

    assert rows["device"].to_list() == [0]
    assert rows["token"].to_list() == [None]


async def test_outcomes_are_counted_and_traced(pool: asyncpg.Pool, short_dir: Path) -> None:
    """Retries are attempts, not outcomes; notes and ids come back with them."""
    async with owner(pool, short_dir) as client:
        await add_chunk(pool, 1, [1, 2, 3])
        await add_chunk(pool, 2, [4], outcome=0, reason=int(Reason.THROTTLED), status=429, note=1)
        xid = await add_chunk(pool, 3, [4], attempt=1, at_us=9_000_000)
        counts = await client.counts(AppId(1), MESSAGE, at_least_xid=xid)
        trace = await client.trace(AppId(1), MESSAGE, UserId(4), at_least_xid=xid)
        other = await client.counts(AppId(2), MESSAGE, at_least_xid=xid)
        rate = await client.rate(AppId(1), MESSAGE)
        wrong = await client.verify(AppId(1), MESSAGE)

    assert [(c.outcome, c.reason, c.count) for c in counts.outcomes] == [
        (Outcome.ACCEPTED, Reason.ACCEPTED, 4)
    ]
    assert counts.retried == {Network.APNS: 1}
    assert [(a.outcome, a.reason, a.status, a.note) for a in trace] == [
        (None, Reason.THROTTLED, 429, "gone"),
        (Outcome.ACCEPTED, Reason.ACCEPTED, 0, None),
    ]
    assert trace[1].provider_id == "id-of-row-0"
    assert not other.outcomes
    assert sum(n for _, n in rate) == 4
    assert wrong == []


async def test_the_audience_does_not_wait_for_outcomes_and_who_asks_waits_for_neither(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """Outcomes come in at leisure: with the next turn, or as soon as a question names them."""
    async with owner(pool, short_dir, drain_every_s=600) as client:
        await client.counts(AppId(1), MESSAGE, at_least_xid=await add_chunk(pool, 1, [1]))
        xid = await add_chunk(pool, 2, [2])
        people = await add_people(pool, 1)
        async with asyncio.timeout(150):
            while await client.version() <= people:  # noqa: ASYNC110  # nobody tells of it
                await asyncio.sleep(0.01)
        before = await client.counts(AppId(1), MESSAGE, at_least_xid=0)
        after = await client.counts(AppId(1), MESSAGE, at_least_xid=xid)

    assert [found.count for found in before.outcomes] == [1]
    assert [found.count for found in after.outcomes] == [2]


async def test_a_restart_takes_nothing_in_twice(pool: asyncpg.Pool, short_dir: Path) -> None:
    """The watermark moved with the rows."""
    async with owner(pool, short_dir) as client:
        xid = await add_chunk(pool, 1, list(range(1, 1001)))
        await client.counts(AppId(1), MESSAGE, at_least_xid=xid)
        await everybody(client, await add_people(pool, 10))
    async with owner(pool, short_dir) as client:
        xid = await add_chunk(pool, 2, [5000])
        counts = await client.counts(AppId(1), MESSAGE, at_least_xid=xid)
        sizes = await client.sizes()

    assert sum(c.count for c in counts.outcomes) == 1001
    assert sizes == {"users": 10, "device": 10, "outcome": 1001}


async def test_the_audience_is_rebuilt_from_the_store(pool: asyncpg.Pool, short_dir: Path) -> None:
    """Nothing in the columns is the only copy."""
    async with owner(pool, short_dir) as client:
        xid = await add_people(pool, 200)
        before = await everybody(client, xid)
        await client.rebuild()
        after = await everybody(client, xid)

    assert after.sort("device").equals(before.sort("device"))


@pytest.mark.timeout(240)
async def test_a_scan_that_a_rebuild_overtakes_is_told(pool: asyncpg.Pool, short_dir: Path) -> None:
    """A slow one has to ask again; nobody ever takes half an audience for a whole one."""
    async with owner(pool, short_dir) as client:
        xid = await add_people(pool, 100_000)
        scan = client.scan(AudienceScan(app=AppId(1), low=0, high=BUCKETS, at_least_xid=xid))
        pieces = [(await anext(scan)).rows]
        rebuilding = asyncio.create_task(client.rebuild())
        during = await everybody_at_last(client)
        await rebuilding
        with pytest.raises(AudienceUnavailableError, match="ask again"):
            pieces += [piece.rows async for piece in scan]
        again = await everybody_at_last(client)

    assert pieces
    assert len(during) == 100_000
    assert len(again) == 100_000


async def test_a_slow_transaction_keeps_nobody_waiting_and_loses_nothing(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """What an older transaction commits later than a newer one arrives, and later counts."""
    async with owner(pool, short_dir) as client:
        async with pool.acquire() as slow, slow.transaction():
            xid = await slow.fetchval(
                """insert into users (app_id, external_id, created_at, updated_at)
                   values (1, 'slow', $1, $1) returning xid::text::bigint""",
                NOW,
            )
            before = await everybody(client, await add_people(pool, 5))
            version = await client.version()
        after = await everybody(client, xid)

    assert len(before) == 5
    assert version <= xid, "dispatch has to look at what the slow one changed"
    assert len(after) == 6


async def test_a_row_that_changes_all_the_time_is_seen(pool: asyncpg.Pool, short_dir: Path) -> None:
    """While a slow transaction holds the horizon back, a newer version of a row is no secret."""
    async with owner(pool, short_dir) as client, pool.acquire() as slow, slow.transaction():
        await slow.execute("select pg_current_xact_id()")
        await add_people(pool, 1)
        xid = await pool.fetchval(
            """update users set opted_out = true, xid = pg_current_xact_id()
                   returning xid::text::bigint"""
        )
        rows = await everybody(client, xid)

    assert rows["user_opted_out"].to_list() == [True]


async def test_what_is_known_of_a_person_is_told_once_all_events_are_in(
    pool: asyncpg.Pool, short_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass that takes in only some of a backlog does not make an export poorer."""
    monkeypatch.setattr("clarion.adapters.facts.duckdb.owner.EVENTS_FOR_S", -1.0)
    await add_people(pool, 1)
    user = await pool.fetchval("select id from users")
    await pool.execute("select event_days(array[$1::date])", NOW.date())
    last = 0
    for count in (PAGE_ROWS + 1, 3):
        last = await pool.fetchval(
            """with told as (
                   insert into event (day, event_id, app_id, user_id, name, at)
                   select $1::date, gen_random_uuid(), 1, $2, 'view', $3
                   from generate_series(1, $4::int) returning 1)
               select pg_current_xact_id()::text::bigint from told limit 1""",
            NOW.date(),
            user,
            NOW,
            count,
        )
    async with owner(pool, short_dir) as client:
        pages = client.about(AppId(1), [UserId(user)], at_least_xid=last)
        told = sum([len(page.rows) async for page in pages if page.kind == "event"])

    assert told == PAGE_ROWS + 4
