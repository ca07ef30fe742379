"""Work of processes that died goes back to the queue; what waits is counted."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

import asyncpg

from clarion.adapters.state.failures import store_failures
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements, touched
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.ports.housekeeping import Backlog

_SQL = statements("line")
DONE_KEPT = timedelta(hours=1)
"""Longer than anybody asks again whether a commit arrived."""
DROPPED_AT_ONCE = 5000


async def _swept(statement: str, now: datetime, connection: asyncpg.Connection) -> int:
    return touched(await connection.execute(statement, now))


class PostgresHousekeeping:
    """Implements `clarion.ports.housekeeping.Housekeeping`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def abandon(self, owner: str) -> int:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                batches = await connection.execute(_SQL["abandon_batches"], owner)
                shards = await connection.execute(_SQL["abandon_shards"], owner)
        return touched(batches) + touched(shards)

    async def sweep(self, now: datetime) -> int:
        """See the port."""
        swept = 0
        for name in ("sweep_batches", "sweep_shards"):
            # A pause writes to the same rows in another order.
            swept += await unit_of_work(self._pool, partial(_swept, _SQL[name], now))
        async with reading(self._pool) as connection:
            await connection.execute(_SQL["drop_old_work"], now - DONE_KEPT, DROPPED_AT_ONCE)
        return swept

    async def backlog(self, now: datetime) -> Sequence[Backlog]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(_SQL["backlog"], now)
        found = {row["lane"]: row for row in rows}
        return [
            Backlog(
                lane=lane,
                ready=found[lane]["ready"] if lane in found else 0,
                oldest_s=max(0.0, found[lane]["oldest_s"]) if lane in found else 0.0,
            )
            for lane in Lane
        ]

    async def quarantined(self) -> Mapping[Network, int]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(_SQL["quarantined"])
        found = {row["network"]: row["n"] for row in rows}
        return {network: found.get(network, 0) for network in Network}
