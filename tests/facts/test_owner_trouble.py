"""What the owner of the facts says when something is wrong: a sentence that helps."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import duckdb
import pytest

from clarion.adapters.facts.duckdb import FactsClient, OwnerSettings, run_owner
from clarion.adapters.facts.duckdb.framing import Kind, read_frame, write_frame
from clarion.adapters.facts.duckdb.store import open_store
from clarion.adapters.state.pool import open_pool
from clarion.adapters.system import SystemClock
from clarion.domain.ids import BUCKETS, AppId, MessageId
from clarion.ports.audience import AudienceScan, AudienceUnavailableError
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.store import FactsFileError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MESSAGE = MessageId("00000000-0000-7000-8000-000000000001")
EVERYBODY = AudienceScan(app=AppId(1), low=0, high=BUCKETS)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """Connections to a fresh store."""
    async with await open_pool(database_url) as pool:
        yield pool


@pytest.fixture
def settings(short_dir: Path) -> OwnerSettings:
    """An owner that gives up early."""
    return OwnerSettings(
        path=short_dir / "facts.duckdb", socket=short_dir / "facts.sock", lag_limit_s=0.2
    )


async def _run(pool: asyncpg.Pool, settings: OwnerSettings) -> None:
    await run_owner(pool, settings, SystemClock(), asyncio.Event())


async def test_a_damaged_file_is_named_with_what_to_do(
    pool: asyncpg.Pool, settings: OwnerSettings
) -> None:
    """It is not touched, and the advice says what is lost."""
    settings.path.write_bytes(b"no facts at all" * 1000)

    with pytest.raises(FactsFileError, match=r"facts\.duckdb is damaged.*Move it away") as refused:
        await _run(pool, settings)

    assert "\n" not in str(refused.value)
    assert settings.path.read_bytes().startswith(b"no facts at all")


async def test_a_file_with_a_broken_block_is_damaged(
    pool: asyncpg.Pool, settings: OwnerSettings
) -> None:
    """The checksums of DuckDB tell, also behind a good header."""
    open_store(settings.path, memory_mib=64, threads=1).close()
    octets = bytearray(settings.path.read_bytes())
    octets[12_288:] = b"\xa5" * (len(octets) - 12_288)
    settings.path.write_bytes(octets)

    with pytest.raises(FactsFileError, match=r"facts\.duckdb"):
        await _run(pool, settings)


@pytest.mark.parametrize("version", ["5", "1"])
async def test_another_schema_is_refused(
    pool: asyncpg.Pool, settings: OwnerSettings, version: str
) -> None:
    """A newer file is not guessed at."""
    open_store(settings.path, memory_mib=64, threads=1).close()
    with duckdb.connect(settings.path) as file:
        file.execute("update watermark set value = ? where name = 'schema'", [version])

    with pytest.raises(FactsFileError, match=f"has schema {version}, this Clarion knows 4"):
        await _run(pool, settings)


async def test_a_strangers_duckdb_file_is_refused(
    pool: asyncpg.Pool, settings: OwnerSettings
) -> None:
    """Nothing is added to it."""
    with duckdb.connect(settings.path) as file:
        file.execute("create table mine (a int)")

    with pytest.raises(FactsFileError):
        await _run(pool, settings)

    with duckdb.connect(settings.path) as file:
        assert file.execute("select table_name from duckdb_tables()").fetchall() == [("mine",)]


async def test_a_store_that_is_older_than_the_facts_is_refused(
    pool: asyncpg.Pool, settings: OwnerSettings
) -> None:
    """After a restore from a backup the watermarks would skip what is new."""
    store = open_store(settings.path, memory_mib=64, threads=1)
    with store.writing() as cursor:
        cursor.execute("insert into watermark values ('outcomes', '900000000:900000000:')")
    store.close()

    with pytest.raises(FactsFileError, match=r"restored from a backup"):
        await _run(pool, settings)


async def test_lag_is_an_error_that_says_so(pool: asyncpg.Pool, settings: OwnerSettings) -> None:
    """Nobody plans on columns that lack what the plan was asked to see."""
    running = asyncio.create_task(_run(pool, settings))
    client = FactsClient(settings.socket, SystemClock())
    future = await pool.fetchval("select pg_current_xact_id()::text::bigint") + 1_000
    while not await client.version():  # noqa: ASYNC110  nobody tells of the first pass
        await asyncio.sleep(0.01)

    with pytest.raises(AudienceUnavailableError, match=r"lag more than 0\.2 s"):
        _ = [piece async for piece in client.scan(replace(EVERYBODY, at_least_xid=future))]
    with pytest.raises(FactsUnavailableError, match=r"lag more than 0\.2 s"):
        await client.counts(AppId(1), MESSAGE, at_least_xid=future)
    pieces = [piece async for piece in client.scan(EVERYBODY)]

    assert [len(piece.rows) for piece in pieces] == [0], "the connection still serves"
    await client.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_scan_that_breaks_off_is_an_error(short_dir: Path) -> None:
    """Half an audience is never taken for a whole one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        await write_frame(writer, Kind.VERSION, b'{"registry": 7}')
        writer.close()

    server = await asyncio.start_unix_server(serve, short_dir / "s")
    client = FactsClient(short_dir / "s", SystemClock())

    with pytest.raises(AudienceUnavailableError, match="in the middle of an answer"):
        _ = [piece async for piece in client.scan(EVERYBODY)]

    server.close()
    await server.wait_closed()


async def test_a_refusal_after_some_rows_is_an_error(short_dir: Path) -> None:
    """The sentence of the owner is what the asker sees."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_frame(reader)
        await write_frame(writer, Kind.VERSION, b'{"registry": 7}')
        await write_frame(writer, Kind.REFUSED, b'{"why": "out of memory"}')
        writer.close()

    server = await asyncio.start_unix_server(serve, short_dir / "s")
    client = FactsClient(short_dir / "s", SystemClock())

    with pytest.raises(AudienceUnavailableError, match="out of memory"):
        _ = [piece async for piece in client.scan(EVERYBODY)]

    await client.close()
    server.close()
    await server.wait_closed()


async def test_the_owner_stops_while_a_scan_streams(
    pool: asyncpg.Pool, settings: OwnerSettings
) -> None:
    """A slow asker keeps nobody: it sees its connection close, and the file is let go."""
    await pool.execute("insert into app (name, created_at) values ('shop', $1)", NOW)
    await pool.execute(
        """with people as (
               insert into users (app_id, created_at, updated_at)
               select 1, $1, $1 from generate_series(1, 60000) returning id)
           insert into device (app_id, user_id, network, token, token_key, registered_at,
                               created_at, updated_at)
           select 1, id, 1, repeat('x', 400) || id, sha256(id::text::bytea), $1, $1, $1
           from people""",
        NOW,
    )
    stop = asyncio.Event()
    patient = replace(settings, lag_limit_s=150)
    running = asyncio.create_task(run_owner(pool, patient, SystemClock(), stop))
    client = FactsClient(settings.socket, SystemClock())
    scan = client.scan(EVERYBODY)
    first = await anext(scan)
    stop.set()
    await running

    assert len(first.rows) > 0
    with pytest.raises(AudienceUnavailableError):
        _ = [piece async for piece in scan]
    await client.close()
    open_store(settings.path, memory_mib=64, threads=1).close()
    assert not settings.socket.exists()
