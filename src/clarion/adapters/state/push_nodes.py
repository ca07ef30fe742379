"""Nodes of our own push service, and how they tell each other. Implements `PushNodes`."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.pool import reading
from clarion.adapters.state.statements import statements
from clarion.ports.pushservice import NodeNumber

DEAD_AFTER: Final = timedelta(seconds=60)
LOOK_EVERY_S: Final = 5.0

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

    async def living(self, since: datetime) -> int:
        """See the port."""
        async with reading(self._pool) as connection:
            return int(await connection.fetchval(_SQL["living_nodes"], since))

    async def leave(self, node: NodeNumber, owner: str, now: datetime) -> None:
        """See the port."""
        async with reading(self._pool) as connection:
            await connection.execute(_SQL["leave_node"], node, owner, now)

    async def listen(
        self,
        node: NodeNumber,
        heard: Callable[[str, Sequence[int]], None],
        standing: Callable[[], None],
    ) -> None:
        """See the port."""
        channel = f"clarion_push_{node}"

        def hear(_connection: object, _pid: int, _channel: str, payload: str) -> None:
            what, _, numbers = payload.partition(" ")
            heard(what, [int(number) for number in numbers.split(",")])

        async with reading(self._pool) as connection:
            await connection.add_listener(channel, hear)
            try:
                standing()
                while True:
                    await asyncio.sleep(LOOK_EVERY_S)
                    await connection.fetchval("select 1")  # a dead line is silent otherwise
            finally:
                if not connection.is_closed():
                    await connection.remove_listener(channel, hear)
