"""Connections to the state store, and the unit of work."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, TypeVar

import asyncpg

from clarion.adapters.state.erased_names import session_settings
from clarion.adapters.state.failures import store_failures
from clarion.ports.store import PATIENCE, Patience, StoreUnavailableError

Result = TypeVar("Result")

Pool = asyncpg.Pool
"""What the composition root hands around without knowing the driver."""

PLANS: Final[Mapping[str, str]] = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "jit": "off",
}
"""Statements are planned once per connection: ours look things up by index whatever the values,
and planning some of them takes ten times as long as running them. A plan is kept until its tables'
statistics change, so one that was made while a table was small must not be to read all of it: a
minute later the table may have a hundred thousand rows."""

TRIES: Final = 4
_LOOKS_EVERY_MS: Final = 2_000
"""How often the server looks whether we are there still, while a statement runs."""


class OvertakenError(Exception):
    """Another writer removed what this unit of work had looked up."""


RUN_AGAIN: Final = (
    OvertakenError,
    asyncpg.DeadlockDetectedError,  # batches lock in key order, but two people's merges may cross
    asyncpg.SerializationError,
    asyncpg.UniqueViolationError,  # another writer inserted what we had looked for
    asyncpg.ForeignKeyViolationError,  # another writer removed, or used, what we had looked for
)
"""What says that another writer came between two of our statements: a second look settles it."""


async def open_pool(
    dsn: str,
    *,
    min_size: int = 1,
    max_size: int = 8,
    command_timeout_s: float = 60.0,
    master_keys: Sequence[bytes] = (),
) -> asyncpg.Pool:
    """A pool whose connections speak our types.

    jsonb travels as JSON text in bytes, uuid as its 36 characters, xid8 as an integer. By
    `master_keys`, the present one first, erased names are known again: without any nobody is erased
    whose name is on a suppression list, nor is anybody made in an app that has such erased names.

    Raises:
        StoreUnavailableError: the server can't be reached.
    """
    with store_failures():
        return await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            command_timeout=command_timeout_s,
            init=_begin,
            reset=_leave,
            server_settings={
                **PLANS,
                **session_settings(master_keys),
            },
        )


async def _begin(connection: asyncpg.Connection) -> None:
    """Our types; and the server ends by itself what nobody waits for any more.

    It would else go on waiting for a lock for whoever was given up (`_Watch`) or killed, and keep
    what it has locked itself: one connection more for each try, until there are no more.
    """
    await prepare(connection)
    with suppress(asyncpg.InvalidParameterValueError):  # a server that runs on Windows can't look
        await connection.execute(f"set client_connection_check_interval = {_LOOKS_EVERY_MS}")


async def connect(dsn: str) -> asyncpg.Connection:
    """One connection outside any pool, with the same types.

    Raises:
        StoreUnavailableError: the server can't be reached.
    """
    with store_failures():
        connection = await asyncpg.connect(dsn)
        await prepare(connection)
        return connection


async def prepare(connection: asyncpg.Connection) -> None:
    """Teach a connection our types: jsonb as bytes of JSON, uuid as text."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda text: b"\x01" + text,  # version octet of jsonb's binary form
        decoder=lambda octets: bytes(octets[1:]),
    )
    await connection.set_type_codec(
        "uuid",
        schema="pg_catalog",
        format="binary",
        encoder=lambda text: bytes.fromhex(text.replace("-", "")),
        decoder=_uuid_text,
    )


async def _leave(connection: asyncpg.Connection) -> None:
    """Nothing to reset: no session state is ever set, so a round trip is saved at each return."""
    del connection


@asynccontextmanager
async def reading(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection for single statements, each its own transaction.

    Raises:
        StoreUnavailableError: no connection, or it was lost.
    """
    with store_failures():
        async with _held(pool) as connection:
            yield connection


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A unit of work: committed when the block ends, rolled back when it raises.

    Raises:
        StoreUnavailableError: no connection, or it was lost before the commit was confirmed.
    """
    with store_failures():
        async with _held(pool) as connection, connection.transaction():
            yield connection


@asynccontextmanager
async def _held(pool: asyncpg.Pool) -> AsyncIterator[asyncpg.Connection]:
    """A connection; where the task has a `Patience`, it is broken off when the store is silent."""
    patience = PATIENCE.get()
    if patience is None:
        async with pool.acquire() as connection:
            yield connection
        return
    watch = _Watch(patience)
    try:
        async with asyncio.timeout(None) as watch.wait:
            connection = await pool.acquire()
        watch.wait, watch.connection = None, connection
        try:
            yield connection
            watch.heard()
        finally:
            watch.end()
            await pool.release(connection)
    finally:
        watch.end()


class _Watch:
    """Breaks off what waits for a silent store.

    The connection is closed under whoever waits: to ask a server that hangs to cancel a statement
    is to wait for it again.
    """

    def __init__(self, patience: Patience) -> None:
        self.wait: asyncio.Timeout | None = None
        """While a connection is waited for."""
        self.connection: asyncpg.Connection | None = None
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timer = self._loop.call_later(patience.silence_s, self._look)

    def heard(self) -> None:
        """The store has finished something."""
        self._patience.heard = self._loop.time()

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._timer.cancel()

    def _look(self) -> None:
        due = max(self._began, self._patience.heard) + self._patience.silence_s
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._look)
        elif self.connection is not None:
            self.connection.terminate()
        elif self.wait is not None:
            self.wait.reschedule(self._loop.time())


async def unit_of_work(
    pool: asyncpg.Pool, work: Callable[[asyncpg.Connection], Awaitable[Result]]
) -> Result:
    """Run `work` in a transaction, and again when another writer came between its statements.

    Raises:
        StoreUnavailableError: no connection, or it was lost before the commit was confirmed.
    """
    for _ in range(TRIES - 1):
        try:
            async with transaction(pool) as connection:
                return await work(connection)
        except RUN_AGAIN:
            continue
    try:
        async with transaction(pool) as connection:
            return await work(connection)
    except OvertakenError as error:
        raise StoreUnavailableError(str(error)) from error


async def again(connection: asyncpg.Connection, work: Callable[[], Awaitable[Result]]) -> Result:
    """The same as `unit_of_work` over a connection that the caller has."""
    for _ in range(TRIES - 1):
        try:
            async with connection.transaction():
                return await work()
        except RUN_AGAIN:
            continue
    async with connection.transaction():
        return await work()


def _uuid_text(octets: bytes) -> str:
    text = octets.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
