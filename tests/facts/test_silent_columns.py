"""Columns in which an app says nothing are not read, and are there all the same."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.facts.test_owner import NOW, add_people, owner

from clarion.adapters.facts.duckdb import audience_queries
from clarion.adapters.facts.duckdb.audience_filling import filled
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.state.pool import open_pool
from clarion.domain.ids import BUCKETS, AppId
from clarion.ports.audience import AUDIENCE_SCHEMA, AudienceScan

PERSON = (
    "insert into users by name select $id as id, $app as app, 0 as bucket, false as opted_out, "
    "0 as granted, 0 as denied, 0 as daily, 0 as weekly, 0 as paused_until_us, "
    "false as suppressed"
)
DEVICE = (
    "insert into device by name select $id as id, $app as app, 0 as bucket, $id as user_id, "
    "1 as network, 0 as environment, false as dead, false as opted_out, 'aa' as token, "
    "5 as registered_us, 0 as permission"
)
SAID = [
    ("users", "opted_out", "true", "user_opted_out", True),
    ("users", "language", "'fr'", "language", "fr"),
    ("users", "time_zone", "'Asia/Tokyo'", "zone_source", 2),
    ("users", "country", "'JP'", "country", "JP"),
    ("users", "granted", "8", "granted", 8),
    ("users", "denied", "8", "denied", 8),
    ("users", "daily", "8", "daily", 8),
    ("users", "weekly", "9223372036854775808", "weekly", 2**63),
    ("users", "paused_until_us", "7", "paused_until_us", 7),
    ("users", "quiet_hours", "'{}'", "quiet_hours", "{}"),
    ("users", "suppressed", "true", "suppressed", True),
    ("device", "environment", "1", "environment", 1),
    ("device", "dead", "true", "token", None),
    ("device", "opted_out", "true", "device_opted_out", True),
    ("device", "keys", "'k'::blob", "keys", b"k"),
    ("device", "language", "'fr'", "language", "fr"),
    ("device", "time_zone", "'Asia/Tokyo'", "zone_source", 1),
    ("device", "country", "'JP'", "country", "JP"),
    ("device", "permission", "2", "permission", 2),
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FactsStore]:
    """Two people of app 1 and one of app 2, of whom nothing is known."""
    store = open_store(tmp_path / "facts.duckdb", memory_mib=64, threads=1)
    with store.writing() as cursor:
        for number, app in ((1, 1), (2, 1), (3, 2)):
            cursor.execute(PERSON, {"id": number, "app": app})
            cursor.execute(DEVICE, {"id": number, "app": app})
    yield store
    store.close()


def scanned(
    store: FactsStore, app: int = 1, unread: tuple[str, ...] = ()
) -> tuple[pl.DataFrame, list[str]]:
    """All rows of an app, and the columns that came."""
    pieces = [
        pl.DataFrame(pl.from_arrow(piece))
        for piece in audience_queries.scan(
            store, AudienceScan(app=AppId(app), low=0, high=BUCKETS, unread=unread)
        )
    ]
    return pl.concat([filled(piece) for piece in pieces]).sort("user"), pieces[0].columns


def test_an_app_that_says_nothing_sends_its_devices_alone(store: FactsStore) -> None:
    """Five columns are read, and all are there."""
    rows, sent = scanned(store)
    assert sent == ["device", "user", "network", "registered_us", "token"]
    assert rows.schema == AUDIENCE_SCHEMA
    silent = rows.select(pl.exclude(*sent)).unique()
    assert silent.rows() == [
        (0, False, False, False, None, *(None, None, 0, None), 0, 0, 0, 0, 0, None, False, 0)
    ]


@pytest.mark.parametrize(("table", "column", "value", "shown", "expected"), SAID)
def test_what_one_person_says_is_read(  # one case, spelt out
    store: FactsStore, table: str, column: str, value: str, shown: str, expected: object
) -> None:
    """Of that app only; whoever said nothing has the default as before."""
    before, _ = scanned(store)
    with store.writing() as cursor:
        cursor.execute(f"update {table} set {column} = {value} where id = 2")  # noqa: S608  # our own names
    rows, _ = scanned(store)
    assert rows.schema == AUDIENCE_SCHEMA
    assert rows[shown][1] == expected
    assert_frame_equal(rows[:1], before[:1])
    assert len(scanned(store, 2)[1]) == 5


def test_what_an_asker_does_not_read_is_not_sent(store: FactsStore) -> None:
    """It is as if nothing were said there; all else is as it is."""
    with store.writing() as cursor:
        cursor.execute("update users set country = 'JP', language = 'ja' where id = 2")
    whole, _ = scanned(store)
    rows, sent = scanned(store, unread=("country",))
    assert "country" not in sent
    assert rows["country"].null_count() == len(rows)
    assert_frame_equal(rows.drop("country"), whole.drop("country"))


def test_a_device_goes_before_its_person(store: FactsStore) -> None:
    """Where both say something, and where one of them does."""
    with store.writing() as cursor:
        cursor.execute("update users set time_zone = 'Asia/Tokyo'")
        cursor.execute("update device set time_zone = 'Europe/Paris' where id = 1")
    rows, _ = scanned(store)
    assert rows["time_zone"].to_list() == ["Europe/Paris", "Asia/Tokyo"]
    assert rows["zone_source"].to_list() == [1, 2]


def test_what_is_remembered_is_of_the_rows_version(store: FactsStore) -> None:
    """A scan that began before a change knows the columns of before, a later one those of now."""
    with store.writing() as cursor:
        cursor.execute("insert into watermark values ('audience', '1')")
    scanned(store)
    early = audience_queries.scan(store, AudienceScan(app=AppId(1), low=0, high=BUCKETS))
    first = next(early)
    with store.writing() as cursor:
        cursor.execute("update users set language = 'fr' where id = 2")
        cursor.execute("update watermark set value = '2' where name = 'audience'")
    rows, _ = scanned(store)
    assert rows["language"].to_list() == [None, "fr"]
    assert "language" not in first.schema.names
    early.close()


async def test_the_feed_tells_scans_that_something_is_said(
    database_url: str, short_dir: Path
) -> None:
    """Asked before and after a change that came by the feed, of one owner."""
    pool = await open_pool(database_url)
    await pool.execute("insert into app (name, created_at) values ('shop', $1)", NOW)
    async with owner(pool, short_dir) as client:

        async def languages(xid: int) -> list[str | None]:
            scan = AudienceScan(app=AppId(1), low=0, high=BUCKETS, at_least_xid=xid)
            rows = pl.concat([piece.rows async for piece in client.scan(scan)])
            return rows.sort("user")["language"].to_list()

        assert await languages(await add_people(pool, 2)) == [None, None]
        xid = await pool.fetchval(
            "update users set language = 'fr', xid = pg_current_xact_id() where id = 2 "
            "returning xid::text::bigint"
        )
        assert await languages(xid) == [None, "fr"]
    await pool.close()
