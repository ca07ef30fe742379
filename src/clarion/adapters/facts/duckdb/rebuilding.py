"""Reads the audience anew beside what is shown, while the feed goes on.

A rebuild has a connection and a snapshot of its own. When it has read everything it reads what has
changed meanwhile, until that is little; the rest is taken in by the feed's next pass, in the
transaction in which the new tables take the place of the old ones.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import asyncpg

from clarion.adapters.facts.duckdb.registry_feed import RegistryFeed
from clarion.adapters.facts.duckdb.snapshot import NOTHING, Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.state.pool import reading

FEW_ROWS: Final = 2_000
MOST_ROUNDS: Final = 10
"""Then the last pass takes in the rest, however much it is."""


async def reread(feed: RegistryFeed, pool: asyncpg.Pool) -> Snapshot:
    """Read all, and what changes meanwhile; how far the tables beside have got.

    Raises:
        StoreUnavailableError: the state store went away.
    """
    since = NOTHING
    for _ in range(MOST_ROUNDS):
        async with reading(pool) as connection:  # noqa: SIM117  # the transaction needs it
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                now = Snapshot.parse(await connection.fetchval(FEED["snapshot"]))
                rows, since = await feed.reread_beside(connection, now, since)
        if rows < FEW_ROWS:
            break
    return since


@dataclass(kw_only=True)
class Rebuilds:
    """How many were asked for, and the one under way."""

    wanted: int = 0
    done: int = 0
    begun: int = 0
    reading: asyncio.Task[Snapshot] | None = None

    def begin(self, feed: RegistryFeed, pool: asyncpg.Pool, ready: asyncio.Event) -> None:
        """Start reading where somebody wants it; `ready` is set when a pass can end it."""
        if self.reading is None and self.wanted > self.done:
            self.begun = self.wanted
            self.reading = asyncio.create_task(reread(feed, pool))
            self.reading.add_done_callback(lambda _: ready.set())

    def read(self) -> Snapshot | None:
        """How far the one has got that a pass can end; None where there is none.

        Raises:
            StoreUnavailableError: it could not be read; the next `begin` begins again.
        """
        if self.reading is None or not self.reading.done():
            return None
        task, self.reading = self.reading, None
        return task.result()

    async def drop(self) -> None:
        """Stop reading."""
        if self.reading is not None:
            self.reading.cancel()
            await asyncio.wait([self.reading])
