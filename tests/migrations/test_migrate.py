"""The state schema is brought up to date once, by whoever comes first."""

import asyncio
from collections.abc import AsyncIterator
from importlib import resources

import asyncpg
import pytest
from tests.conftest import database_named

from clarion.adapters.state.embedded import EmbeddedPostgres
from clarion.adapters.state.migrate import migrate, pending
from clarion.ports.store import DatabaseNewerError, StoreUnavailableError

EMPTY = "clarion_empty"


@pytest.fixture
async def empty_url(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The address of a database without any table."""
    connection = await asyncpg.connect(postgres_server.dsn)
    await connection.execute(f"drop database if exists {EMPTY} with (force)")
    await connection.execute(f"create database {EMPTY}")
    yield database_named(postgres_server.dsn, EMPTY)
    await connection.execute(f"drop database {EMPTY} with (force)")
    await connection.close()


async def test_an_empty_database_gets_every_version(empty_url: str) -> None:
    """All versions are pending, then run oldest first, then none is pending."""
    before = await pending(empty_url)
    assert before[0] == "0001"
    assert await migrate(empty_url) == before
    assert await pending(empty_url) == []
    connection = await asyncpg.connect(empty_url)
    assert await connection.fetchval("select count(*) from device") == 0
    await connection.close()


async def test_a_current_database_is_left_alone(empty_url: str) -> None:
    """The second call runs nothing."""
    await migrate(empty_url)
    assert await migrate(empty_url) == []


async def test_processes_that_start_together_migrate_once(empty_url: str) -> None:
    """Of four at once, one runs the versions and the others find nothing to do."""
    answers = await asyncio.gather(*(migrate(empty_url) for _ in range(4)))
    assert sorted(map(len, answers))[:3] == [0, 0, 0]
    assert max(map(len, answers)) > 0


async def test_a_newer_database_is_refused_and_untouched(empty_url: str) -> None:
    """A version that this code does not know is named, and nothing runs."""
    await migrate(empty_url)
    connection = await asyncpg.connect(empty_url)
    await connection.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(DatabaseNewerError, match="9999"):
        await migrate(empty_url)
    with pytest.raises(DatabaseNewerError, match="9999"):
        await pending(empty_url)
    await connection.close()


async def test_a_failing_version_leaves_nothing_behind(empty_url: str) -> None:
    """A table in the way makes the version fail; no half of the schema stays."""
    connection = await asyncpg.connect(empty_url)
    await connection.execute("create table idempotency (x int)")
    with pytest.raises(Exception, match="already exists"):
        await migrate(empty_url)
    tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    assert [row["tablename"] for row in tables] == ["idempotency"]
    await connection.close()


async def test_an_absent_server_is_said_to_be_away() -> None:
    """A refused connection becomes the port's error, with the cause."""
    with pytest.raises(StoreUnavailableError, match="not available"):
        await migrate("postgresql://nobody@127.0.0.1:1/none")


FOUNDED = "0011"
ROWS = """
insert into app (name, created_at) values ('shop', now());
insert into users (app_id, external_id, created_at, updated_at) values (1, 'ann', now(), now());
insert into device (app_id, user_id, network, token, token_key, registered_at, created_at,
                    updated_at) values (1, 1, 1, 't', '\\x01', now(), now(), now());
insert into gave_way (message_id, range, people, winner, created_at)
    values (gen_random_uuid(), 0, '\\x0100000000000000', gen_random_uuid(), now());
insert into segment (app_id, name, expression, created_at, updated_at)
    values (1, 'pros', '{}', now(), now());
insert into erasure (app_id, user_id, requested_at, proof)
    values (1, 7, now(), '{}'), (1, null, now(), '{}');
insert into prompt_event (app_id, device_id, what, state, at) values (1, 1, 'x', 'y', now());
"""


async def test_a_database_that_is_in_use_keeps_its_rows(empty_url: str) -> None:
    """Later versions go over filled tables too, and carry over what their columns said before."""
    scripts = resources.files("clarion.adapters.state.migrations")
    texts = sorted((file.name, file) for file in scripts.iterdir() if file.name.endswith(".sql"))
    connection = await asyncpg.connect(empty_url)
    for name, file in texts:
        if name[:4] <= FOUNDED:
            await connection.execute(file.read_text("utf-8"))
    await connection.execute("create table alembic_version (version_num text primary key)")
    await connection.execute("insert into alembic_version values ($1)", FOUNDED)
    await connection.execute(ROWS)

    ran = await migrate(empty_url)

    assert ran == [name[:4] for name, _ in texts if name[:4] > FOUNDED]
    assert await connection.fetchval("select gone = people from gave_way")
    assert await connection.fetchval("select name from segment_version") == "pros"
    numbers = await connection.fetch("select numbers from erasure order by id")
    assert [row["numbers"] for row in numbers] == [[7], []]
    assert await connection.fetchval("select device_id from prompt_event") == 1
    await connection.close()
