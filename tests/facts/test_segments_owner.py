"""Segments asked of the owner over its socket: scanned, counted, refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import duckdb
import polars as pl
import pytest
from tests.facts.test_owner import NOW, add_people, owner

from clarion.adapters.facts.duckdb import FactsClient
from clarion.adapters.facts.duckdb.store import open_store
from clarion.adapters.state.pool import open_pool
from clarion.domain.ids import BUCKETS, AppId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.segments.checking import SegmentAt, whole
from clarion.domain.segments.text import parse
from clarion.ports.audience import (
    AUDIENCE_SCHEMA,
    ZONE_OF_PERSON,
    AudienceScan,
    AudienceUnavailableError,
    ReachCount,
)

APP = AppId(1)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a fresh store with one app."""
    pool = await open_pool(database_url)
    await pool.execute("insert into app (name, created_at) values ('shop', $1)", NOW)
    yield pool
    await pool.close()


def segment(text: str, **lists: int) -> SegmentAt:
    """A segment that is asked now."""
    return whole(parse(text).expression, segments={}, lists=lists, now=NOW)


@asynccontextmanager
async def three(pool: asyncpg.Pool, folder: Path) -> AsyncIterator[tuple[FactsClient, int]]:
    """Three people: a device with a zone of its person, a dead one, and none."""
    async with owner(pool, folder) as client:
        async with pool.acquire() as connection, connection.transaction():
            xid = await add_people(connection, 3)
            await connection.execute(
                "update users set time_zone = 'Asia/Tokyo', country = 'JP' where id = 1"
            )
            await connection.execute("update device set app_version = '5.10' where user_id = 1")
            await connection.execute("update device set state = 2 where user_id = 2")
            await connection.execute("delete from device where user_id = 3")
        yield client, xid


async def test_a_scan_has_only_the_segment_and_the_fields_that_were_asked(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """With every planning column filled, and values of fields as JSON, texts as they are."""
    async with three(pool, short_dir) as (client, xid):
        scan = AudienceScan(
            app=APP,
            low=0,
            high=BUCKETS,
            at_least_xid=xid,
            segment=segment('tag.plan = "pro" and app_version >= 5.9'),
            fields=("tag.plan", "external_id", "tag.none", "created"),
        )
        rows = pl.concat([piece.rows async for piece in client.scan(scan)])
    (row,) = rows.to_dicts()
    assert rows.columns == [*AUDIENCE_SCHEMA, *scan.fields]
    assert (row["user"], row["time_zone"], row["zone_source"]) == (1, "Asia/Tokyo", ZONE_OF_PERSON)
    assert (row["granted"], row["paused_until_us"], row["suppressed"]) == (0, 0, False)
    assert (row["tag.plan"], row["external_id"], row["tag.none"]) == (b"pro", '"u1"', None)
    assert row["created"] == f'{{"time":"{NOW:%Y-%m-%dT%H:%M:%S}.000000Z"}}'


async def test_a_scan_of_nobody_has_the_columns_all_the_same(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """One empty piece."""
    async with three(pool, short_dir) as (client, xid):
        scan = AudienceScan(
            app=APP,
            low=0,
            high=BUCKETS,
            at_least_xid=xid,
            segment=segment("not everyone"),
            fields=("tag.plan",),
        )
        pieces = [piece.rows async for piece in client.scan(scan)]
    assert [piece.columns for piece in pieces] == [[*AUDIENCE_SCHEMA, "tag.plan"]]
    assert pieces[0].is_empty()


async def test_a_count_tells_the_reason_of_each_who_is_not_reached(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """By network; people are counted beside it."""
    async with three(pool, short_dir) as (client, xid):
        scan = AudienceScan(app=APP, low=0, high=BUCKETS, at_least_xid=xid)
        assert [piece async for piece in client.scan(scan)]
        found = await client.count(APP, segment("everyone"), sendable=[Network.APNS])
        without = await client.count(APP, None, sendable=[Network.FCM])
    assert (found.people, found.people_reachable) == (3, 1)
    assert found.rows == [
        ReachCount(network=None, reason=Reason.USER_HAS_NO_DEVICE, count=1),
        ReachCount(network=Network.APNS, reason=Reason.ACCEPTED, count=1),
        ReachCount(network=Network.APNS, reason=Reason.DEVICE_DEAD, count=1),
    ]
    assert without.people_reachable == 0
    assert Reason.CREDENTIAL_MISSING in {row.reason for row in without.rows}


async def test_a_field_that_does_not_exist_is_refused_in_words(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """And the connection serves the next question."""
    async with three(pool, short_dir) as (client, xid):
        scan = AudienceScan(app=APP, low=0, high=BUCKETS, at_least_xid=xid, fields=("countryy",))
        with pytest.raises(AudienceUnavailableError, match="countryy"):
            assert [piece async for piece in client.scan(scan)]
        assert (await client.count(APP, None, sendable=[])).people == 3


OUTCOME = (
    "app integer, message_high ubigint, message_low ubigint, device bigint, user_id bigint, "
    "at_us bigint, reason usmallint, status usmallint, outcome utinyint, network utinyint, "
    "attempt utinyint, verdict utinyint, note ubigint"
)


def test_a_file_without_runs_keeps_all_it_has(short_dir: Path) -> None:
    """Tables are added; no watermark moves, so nothing is read anew."""
    path = short_dir / "facts.duckdb"
    open_store(path, memory_mib=64, threads=1).close()
    with duckdb.connect(path) as file:
        file.execute("drop view outcome_row; drop table outcome_run")
        file.execute("insert into outcome by name select 1 as app, 7 as device")
        file.execute("insert into device by name select 1 as app, 7 as id")
        file.execute("alter table engagement drop column device")
        file.execute("update watermark set value = '3' where name = 'schema'")
        file.execute("insert into watermark values ('registry', '3:9:')")
    store = open_store(path, memory_mib=64, threads=1)
    try:
        with store.reading() as cursor:
            assert cursor.execute("select device from outcome_row").fetchall() == [(7,)]
            assert cursor.execute("select id from device").fetchall() == [(7,)]
            assert cursor.execute("select device from engagement").fetchall() == []
        assert store.watermark("registry") == "3:9:"
        assert store.watermark("schema") == "4"
    finally:
        store.close()


def test_a_file_of_the_last_version_keeps_its_outcomes_and_reads_the_audience_anew(
    short_dir: Path,
) -> None:
    """What can be read again is; what can't is not touched."""
    path = short_dir / "facts.duckdb"
    with duckdb.connect(path) as file:
        file.execute("create table watermark (name varchar, value varchar)")
        file.execute("insert into watermark values ('schema', '2'), ('registry', '3:9:')")
        file.execute("create table users (id bigint); create table device (id bigint)")
        file.execute(f"create table outcome ({OUTCOME})")
        file.execute("insert into outcome by name select 1 as app")
    store = open_store(path, memory_mib=64, threads=1)
    try:
        with store.reading() as cursor:
            assert cursor.execute("select count(*) from outcome").fetchone() == (1,)
            assert cursor.execute("select count(granted) from users").fetchone() == (0,)
        assert store.watermark("registry") is None
        assert store.watermark("schema") == "4"
    finally:
        store.close()
