"""A store that is silent is not waited for without end; one that is slow is."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from clarion.adapters.state.pool import Pool, open_pool, reading, transaction
from clarion.ports.store import PATIENCE, Patience, StoreUnavailableError


@contextmanager
def patient(patience: Patience) -> Iterator[None]:
    """What is asked within is asked with this patience."""
    before = PATIENCE.set(patience)
    try:
        yield
    finally:
        PATIENCE.reset(before)


@asynccontextmanager
async def stopped(pool: Pool) -> AsyncIterator[None]:
    """The process behind the pool's only connection hangs."""
    async with reading(pool) as connection:
        backend = await connection.fetchval("select pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(backend, signal.SIGCONT)


@pytest.fixture
async def narrow(database_url: str) -> AsyncIterator[Pool]:
    """A pool of one connection."""
    pool = await open_pool(database_url, max_size=1)
    yield pool
    await pool.close()


async def test_a_statement_that_gets_no_answer_is_given_up(narrow: Pool) -> None:
    """Alone and in a unit of work; what comes after has a connection that works."""
    for asking in (reading, transaction):
        async with stopped(narrow):
            with patient(Patience(0.1)), pytest.raises(StoreUnavailableError):
                async with asking(narrow) as connection:
                    await connection.fetchval("select 1")
        async with reading(narrow) as connection:
            assert await connection.fetchval("select 1") == 1


async def test_who_waits_for_a_connection_is_told_too(narrow: Pool) -> None:
    """While it is held by somebody who waits longer."""
    async with reading(narrow):
        with patient(Patience(0.1)), pytest.raises(StoreUnavailableError):
            async with reading(narrow):
                pass
    async with reading(narrow) as connection:
        assert await connection.fetchval("select 1") == 1


async def test_a_store_that_answers_others_is_waited_for(narrow: Pool) -> None:
    """Much to do is no silence."""
    patience = Patience(0.1, heard=asyncio.get_running_loop().time() + 3600)
    with patient(patience):
        async with reading(narrow) as connection:
            assert await connection.fetchval("select 1 from pg_sleep(0.5)") == 1


async def test_an_answer_is_heard(narrow: Pool) -> None:
    """By all who share the patience."""
    patience = Patience(60)
    with patient(patience):
        async with reading(narrow) as connection:
            await connection.fetchval("select 1")
    assert 0 < patience.heard <= asyncio.get_running_loop().time()


async def test_who_is_given_up_waits_for_no_lock(pool: Pool, narrow: Pool) -> None:
    """The server ends what nobody waits for: it would be a connection more for each try."""
    lock = "select pg_advisory_xact_lock(7)"
    there = "select exists (select from pg_stat_activity where pid = $1)"
    async with reading(narrow) as connection:
        backend = await connection.fetchval("select pg_backend_pid()")
    async with transaction(pool) as holder:
        await holder.execute(lock)
        with patient(Patience(0.1)), pytest.raises(StoreUnavailableError):
            await lock_with(narrow, lock)
        async with asyncio.timeout(120):
            while await pool.fetchval(there, backend):  # noqa: ASYNC110  # the server's state
                await asyncio.sleep(0.05)


async def lock_with(pool: Pool, lock: str) -> None:
    """Wait for a lock."""
    async with transaction(pool) as connection:
        await connection.execute(lock)
