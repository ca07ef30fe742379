"""Messages and receipts of our own push service in PostgreSQL. Implements `ports.pushservice`."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.push_rows import push_of, uuid_of
from clarion.adapters.state.statements import statements, touched
from clarion.ports.pushservice import (
    DeviceNumber,
    NodeNumber,
    Push,
    PushId,
    PushReceipt,
    PushUrgency,
    ReceiptCursor,
    ReceiptStatus,
    Stored,
    SubscriptionNumber,
)

_SQL = statements("push")


class PostgresPushMessages:
    """Messages that wait."""

    def __init__(self, pool: asyncpg.Pool, *, waiting_per_subscription: int) -> None:
        self._pool = pool
        self._most = waiting_per_subscription

    async def store(
        self,
        pushes: Sequence[Push],
        settled: Sequence[tuple[Push, ReceiptStatus]],
        node: NodeNumber,
        now: datetime,
    ) -> Sequence[Stored]:
        """See the port."""
        newest = {  # a statement can't replace a row twice: of one topic the last one counts
            (push.subscription, push.topic or push.id): push for push in pushes
        }
        kept = list(newest.values())

        async def work(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            if settled:
                await connection.execute(
                    _SQL["write_receipts"],
                    [uuid_of(push.receipt or b"") for push, _ in settled],
                    [push.id for push, _ in settled],
                    [push.subscription for push, _ in settled],
                    [int(status) for _, status in settled],
                    now,
                )
            if not kept:
                return []
            rows: list[asyncpg.Record] = await connection.fetch(
                _SQL["store"], *_columns(kept), self._most
            )
            return rows

        rows = await unit_of_work(self._pool, work)
        became = {row["id"]: Stored(row["became"]) for row in rows}
        devices = list({push.device for push in kept if became[push.id] is Stored.KEPT})
        if devices:
            # After the commit: a node that attached a device before this statement is told, and
            # one that does so later reads what has been committed.
            async with reading(self._pool) as connection:
                await connection.execute(_SQL["tell"], devices, node, "wake")
        return [became[newest[push.subscription, push.topic or push.id].id] for push in pushes]

    async def waiting(
        self,
        devices: Sequence[DeviceNumber],
        floors: Sequence[PushUrgency],
        now: datetime,
        *,
        window: int,
    ) -> Sequence[Push]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(
                _SQL["waiting"], list(devices), list(map(int, floors)), now, window
            )
        return [push_of(row) for row in rows]

    async def acknowledge(
        self,
        devices: Sequence[DeviceNumber],
        ids: Sequence[PushId],
        statuses: Sequence[ReceiptStatus],
        now: datetime,
    ) -> None:
        """See the port."""
        async with reading(self._pool) as connection:
            await connection.execute(
                _SQL["acknowledge"], list(devices), list(ids), list(map(int, statuses)), now
            )

    async def cancel(self, subscription: SubscriptionNumber, push: PushId) -> bool:
        """See the port."""
        async with reading(self._pool) as connection:
            return await connection.fetchval(_SQL["cancel"], subscription, push) is not None

    async def expire(self, now: datetime, *, at_once: int) -> int:
        """See the port."""
        async with reading(self._pool) as connection:
            return int(await connection.fetchval(_SQL["expire"], now, at_once))


class PostgresPushReceipts:
    """Receipts that wait for their readers."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def after(
        self, reader: bytes, cursor: ReceiptCursor, *, at_most: int
    ) -> Sequence[PushReceipt]:
        """See the port."""
        xid, number = cursor
        async with reading(self._pool) as connection:
            rows = await connection.fetch(
                _SQL["receipts"], uuid_of(reader), str(xid), number, at_most
            )
        return [
            PushReceipt(
                cursor=(row["xid"], row["id"]),
                push=PushId(row["message_id"]),
                subscription=SubscriptionNumber(row["subscription_id"]),
                status=ReceiptStatus(row["status"]),
                at=row["at"],
            )
            for row in rows
        ]

    async def taken(self, reader: bytes, cursor: ReceiptCursor) -> None:
        """See the port."""
        xid, number = cursor
        async with reading(self._pool) as connection:
            await connection.execute(_SQL["fetched"], uuid_of(reader), str(xid), number)

    async def drop(self, before: datetime, *, at_once: int) -> int:
        """See the port."""
        async with reading(self._pool) as connection:
            tag = await connection.execute(_SQL["drop_receipts"], before, at_once)
            await connection.execute(_SQL["drop_ended"], before, at_once)
        return touched(tag)


def _columns(pushes: Sequence[Push]) -> list[list[object]]:
    return [
        [push.id for push in pushes],
        [push.device for push in pushes],
        [push.subscription for push in pushes],
        [push.topic for push in pushes],
        [int(push.urgency) for push in pushes],
        [push.expires_at for push in pushes],
        [None if push.receipt is None else uuid_of(push.receipt) for push in pushes],
        [int(push.coding) for push in pushes],
        [push.encryption for push in pushes],
        [push.crypto_key for push in pushes],
        [push.body for push in pushes],
    ]
