"""Nodes of our own push service, and how they tell each other. Implements `PushNodes`."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.failures import store_failures
from clarion.adapters.state.pool import reading
from clarion.adapters.state.statements import statements
from clarion.ports.messages import StoreUnavailableError
from clarion.ports.pushservice import NodeNumber

DEAD_AFTER: Final = timedelta(seconds=60)

_SQL = statements("push")


class PostgresPushNodes:
    """The processes that hold connections."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def join(self, owner: str, now: datetime) -> tuple[NodeNumber, datetime]:
        """See the port."""
        async with reading(self._pool) as connection:
            row = None
            while row is None:  # another node took the number that was free a moment ago
                row = await connection.fetchrow(_SQL["join_node"], owner, now, now - DEAD_AFTER)
        return NodeNumber(row["id"]), row["seen_at"]

    async def beat(self, node: NodeNumber, owner: str, now: datetime) -> bool:
        """See the port."""
        async with reading(self._pool) as connection:
            return await connection.fetchval(_SQL["beat"], node, owner, now) is not None

    async def leave(self, node: NodeNumber, owner: str, now: datetime) -> None:
        """See the port."""
        async with reading(self._pool) as connection:
            await connection.execute(_SQL["leave_node"], node, owner, now)

    async def listen(
        self, node: NodeNumber, heard: Callable[[str, Sequence[int]], None]
    ) -> Callable[[], Awaitable[bool]]:
        """See the port."""
        pool, channel = self._pool, f"clarion_push_{node}"

        def hear(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            what, _, numbers = payload.partition(" ")
            heard(what, [int(number) for number in numbers.split(",")])

        with store_failures():
            connection = await pool.acquire()
            try:
                await connection.add_listener(channel, hear)
            except BaseException:
                await pool.release(connection)
                raise

        async def stands() -> bool:
            try:
                with store_failures():
                    await connection.fetchval("select 1")
            except StoreUnavailableError:
                await pool.release(connection)
                return False
            return True

        return stands
