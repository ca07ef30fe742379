"""The embedded server's own processes: one for each connection, told apart by who opened it.

A role that yields the processor would otherwise win it back through its backend: what a campaign
asks of the store would compete with what a one-time code waits for.
"""

import asyncio
import contextlib
from collections.abc import Collection
from typing import Final
from urllib.parse import quote

from clarion.adapters.processor import yield_to_others
from clarion.adapters.state.pool import Pool, reading

BULK_NICENESS: Final = 5
"""Milder than the roles' own: a backend may hold a lock that an urgent commit waits for."""
_OF: Final = "select pid from pg_stat_activity where application_name = any ($1::text[])"


def named(dsn: str, role: str) -> str:
    """The address with a name for its connections, as `pg_stat_activity` shows it."""
    return f"{dsn}{'&' if '?' in dsn else '?'}application_name={quote(name_of(role))}"


def name_of(role: str) -> str:
    """What a role's connections are called."""
    return f"clarion {role}"


class Backends:
    """Lowers the priority of backends that work for bulk roles."""

    def __init__(self, pool: Pool, roles: Collection[str]) -> None:
        self._pool = pool
        self._names = [name_of(role) for role in roles]
        self._done: set[int] = set()

    async def lower(self) -> None:
        """Look for new ones.

        Raises:
            StoreUnavailableError: the server can't be asked.
        """
        async with reading(self._pool) as connection:
            found = {row["pid"] for row in await connection.fetch(_OF, self._names)}
        for pid in found - self._done:
            with contextlib.suppress(OSError):  # it has ended, or is another user's: left as it is
                yield_to_others(pid, BULK_NICENESS)
        self._done = found

    async def keep(self, stop: asyncio.Event, every_s: float) -> None:
        """Look now and then until told to stop.

        Raises:
            StoreUnavailableError: the server can't be asked.
        """
        while not stop.is_set():
            await self.lower()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await stop.wait()
