"""What the store's failures are called: only a store that is away is said to be away."""

import asyncio

import asyncpg
import pytest

from clarion.adapters.state.failures import is_away, store_failures
from clarion.adapters.state.pool import Pool, open_pool, reading
from clarion.ports.store import StoreUnavailableError


async def test_too_few_arguments_are_a_bug(pool: Pool) -> None:
    """A statement of ours that is called wrongly passes through as what it is."""
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        async with reading(pool) as connection:
            await connection.fetchval("select $1::int")


async def test_an_argument_that_no_statement_takes_is_a_bug(pool: Pool) -> None:
    """Even when the value, which the driver quotes, sounds like a server that is away."""
    with pytest.raises(asyncpg.DataError, match="pool is closing"):
        async with reading(pool) as connection:
            await connection.fetchval("select $1::int", "the pool is closing")


async def test_two_statements_at_once_are_a_bug(pool: Pool) -> None:
    """A connection that two tasks use says so."""
    async with reading(pool) as connection:
        slow = asyncio.create_task(connection.fetchval("select pg_sleep(0.2)"))
        await asyncio.sleep(0)
        with pytest.raises(asyncpg.InterfaceError, match="another operation"):
            async with reading(pool):
                await connection.fetchval("select 1")
        await slow


async def test_a_syntax_error_is_a_bug(pool: Pool) -> None:
    """So is a statement that the server does not understand."""
    with pytest.raises(asyncpg.PostgresSyntaxError):
        async with reading(pool) as connection:
            await connection.fetchval("no such statement")


async def test_a_connection_that_the_server_ends_is_the_store_away(pool: Pool) -> None:
    """The statement that meets the end says so, and the one after it on the same connection."""
    with pytest.raises(StoreUnavailableError):
        async with reading(pool) as connection:
            await connection.fetchval("select pg_terminate_backend(pg_backend_pid())")


async def test_what_follows_on_a_connection_that_ended_is_the_store_away(pool: Pool) -> None:
    """The pool has taken the connection back by then, and says it in its own words."""
    async with reading(pool) as connection:
        with pytest.raises(asyncpg.PostgresError):
            await connection.fetchval("select pg_terminate_backend(pg_backend_pid())")
        with pytest.raises(StoreUnavailableError), store_failures():
            await connection.fetchval("select 1")


async def test_a_pool_that_closes_is_the_store_away(database_url: str) -> None:
    """A question that comes while the process ends."""
    closed = await open_pool(database_url)
    await closed.close()
    with pytest.raises(StoreUnavailableError):
        async with reading(closed):
            pass


async def test_a_canceled_statement_is_the_store_away(pool: Pool) -> None:
    """The server gave up on it, whatever it was."""
    async with reading(pool) as connection:
        await connection.execute("set statement_timeout = 1")
        with pytest.raises(StoreUnavailableError), store_failures():
            await connection.fetchval("select pg_sleep(5)")


@pytest.mark.parametrize(
    "error",
    [asyncpg.DiskFullError("full"), asyncpg.TooManyConnectionsError("many"), TimeoutError()],
)
def test_a_store_that_has_no_room_is_away(error: Exception) -> None:
    """A full disk, no connection left, no answer in time: whatever was asked."""
    assert is_away(error)


async def test_an_address_of_no_server_is_the_store_away() -> None:
    """A mistyped address is told like a server that does not answer."""
    with pytest.raises(StoreUnavailableError):
        await open_pool("nonsense")
