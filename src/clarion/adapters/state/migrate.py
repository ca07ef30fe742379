"""Brings the state schema up to date; safe to call from every process that starts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import asyncpg
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from clarion.adapters.state.failures import is_away, sentence, store_failures
from clarion.ports.store import DatabaseNewerError, StoreUnavailableError

LOCK: Final = 0x636C6172696F6E  # "clarion"
"""Key of the advisory lock that is held while versions run."""


async def migrate(dsn: str) -> Sequence[str]:
    """Run the versions that the database lacks, all in one transaction.

    Two processes may call it at once: one waits for the other and then finds nothing to do.

    Args:
        dsn: a PostgreSQL address as asyncpg reads it.

    Returns:
        The versions that were run, oldest first; empty when the schema was current.

    Raises:
        DatabaseNewerError: the database has a version that this code does not know.
        StoreUnavailableError: the server can't be reached or gave up.
    """
    engine = _engine(dsn)
    try:
        with _engine_failures():
            async with engine.begin() as connection:
                await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": LOCK})
                return await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


async def pending(dsn: str) -> Sequence[str]:
    """The versions that `migrate` would run, oldest first; changes nothing.

    Raises:
        DatabaseNewerError: the database has a version that this code does not know.
        StoreUnavailableError: the server can't be reached.
    """
    engine = _engine(dsn)
    try:
        with _engine_failures():
            async with engine.connect() as connection:
                return await connection.run_sync(_missing)
    finally:
        await engine.dispose()


@contextmanager
def _engine_failures() -> Iterator[None]:
    """As `store_failures`; Alembic's engine wraps the driver's exceptions."""
    try:
        with store_failures():
            yield
    except DBAPIError as error:
        cause = error.orig.__cause__ if error.orig is not None else None
        if cause is not None and is_away(cause):
            raise StoreUnavailableError(sentence(cause)) from error
        raise


def _engine(dsn: str) -> AsyncEngine:
    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(dsn)

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)


def _scripts() -> ScriptDirectory:
    return ScriptDirectory(str(Path(__file__).with_name("migrations")))


def _missing(connection: Connection) -> list[str]:
    """The versions between the database's and the newest, oldest first."""
    scripts = _scripts()
    heads = MigrationContext.configure(connection).get_current_heads()
    known = {script.revision for script in scripts.walk_revisions()}
    strangers = sorted(set(heads) - known)
    if strangers:
        raise DatabaseNewerError(
            f"the database has schema version {', '.join(strangers)}, and this Clarion knows only "
            f"up to {scripts.get_current_head()}: start the newer Clarion that migrated it, or "
            "restore a backup from before"
        )
    steps = scripts.iterate_revisions("heads", heads or "base")
    return [script.revision for script in reversed(list(steps))]


def _upgrade(connection: Connection) -> list[str]:
    missing = _missing(connection)
    if not missing:
        return missing
    scripts = _scripts()
    plan = scripts._upgrade_revs  # noqa: SLF001  Alembic's cookbook calls it so; no public name
    context = MigrationContext.configure(
        connection, opts={"fn": lambda revision, _: plan("heads", revision)}
    )
    with Operations.context(context):
        context.run_migrations()
    return missing
