"""Retention in PostgreSQL, and the untangling of held work. Implements `clarion.ports.upkeep`."""

from datetime import datetime

import asyncpg
import numpy as np

from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.recipient_columns import decode, encode_recipients
from clarion.adapters.state.statements import statements, touched
from clarion.domain.campaign import BatchState, MessageState
from clarion.domain.handoffs import Recipients

_SQL = statements("upkeep")


class PostgresUpkeep:
    """Deletes what is over, and cuts what hangs together."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def drop_messages(self, before: datetime, *, at_once: int) -> int:
        """See the port."""
        return await self._drop("drop_messages", before, at_once)

    async def drop_removals(self, before: datetime, fed_xid: int, *, at_once: int) -> int:
        """See the port."""
        return await self._drop("drop_removals", before, str(fed_xid), at_once)

    async def drop_keys(self, before: datetime, *, at_once: int) -> int:
        """See the port."""
        return await self._drop("drop_keys", before, at_once)

    async def held_shards(self) -> int:
        """See the port."""
        async with reading(self._pool) as connection:
            return int(await connection.fetchval(_SQL["held_shards"]))

    async def untangle(self, now: datetime, *, at_once: int) -> int:
        """See the port."""

        async def work(connection: asyncpg.Connection) -> int:
            rows = await connection.fetch(_SQL["entangled"], at_once)
            for row in rows:
                await _cut(connection, row, now)
            return len(rows)

        return await unit_of_work(self._pool, work)

    async def _drop(self, name: str, *values: object) -> int:
        async with reading(self._pool) as connection:
            tag = await connection.execute(_SQL[name], *values)
        return touched(tag)


async def _cut(connection: asyncpg.Connection, row: asyncpg.Record, now: datetime) -> None:
    """A batch of its own for each message that has rows left; the counters of open ones stay so."""
    recipients = decode(row["recipients"])
    states = {
        found["id"]: found["state"]
        for found in await connection.fetch(_SQL["lock_messages"], row["message_ids"])
    }
    await connection.execute(_SQL["end_entangled"], row["id"], now)
    for number, message in enumerate(row["message_ids"]):
        part = _part(recipients, number, row["cursor"])
        if not len(part):
            await connection.execute(_SQL["count_recorded_part"], message, now)
            continue
        state = states[message]
        withdrawn = state == MessageState.CANCELING
        await connection.execute(
            _SQL["insert_part"],
            f"{row['id']}/m{number}",
            row["app_id"],
            row["lane"],
            row["network"],
            row["credential_id"],
            message,
            min(now, row["run_at"]) if withdrawn else row["run_at"],
            len(part),
            row["attempt"],
            row["first_attempt_at"],
            row["planned_xid"],
            encode_recipients(part),
            BatchState.HELD if state == MessageState.PAUSED else BatchState.READY,
            row["spent_s"],
        )


def _part(recipients: Recipients, number: int, cursor: int) -> Recipients:
    """The unrecorded rows of one message, as columns of one message."""
    of = recipients.message
    mine = np.zeros(len(recipients), np.uint16) if of is None else of
    chosen = np.flatnonzero((mine == number) & (np.arange(len(recipients)) >= cursor))
    part = recipients.take(chosen)
    return Recipients(
        device=part.device,
        user=part.user,
        registered_us=part.registered_us,
        environment=part.environment,
        tokens=part.tokens,
        keys=part.keys,
    )
