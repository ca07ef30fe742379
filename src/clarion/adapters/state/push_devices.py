"""Devices of our own push service in PostgreSQL. Implements `ports.pushservice.PushDevices`."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.push_rows import octets_of, uuid_of
from clarion.adapters.state.statements import statements
from clarion.ports.pushservice import (
    Attached,
    DeviceNumber,
    NodeNumber,
    Registered,
    SubscriptionNumber,
    TooManySubscriptionsError,
)

_SQL = statements("push")


class PostgresPushDevices:
    """Devices and what they subscribe to."""

    def __init__(self, pool: asyncpg.Pool, *, subscriptions_per_device: int) -> None:
        self._pool = pool
        self._most = subscriptions_per_device

    async def attach(
        self, names: Sequence[bytes], node: NodeNumber, now: datetime
    ) -> Mapping[bytes, Attached]:
        """See the port."""

        async def work(connection: asyncpg.Connection) -> list[asyncpg.Record]:
            rows: list[asyncpg.Record] = await connection.fetch(
                _SQL["attach"], list(map(uuid_of, names)), node, now
            )
            elsewhere = [row for row in rows if row["node_before"] not in {None, node}]
            if elsewhere:
                await connection.execute(
                    _SQL["tell_node"],
                    [row["node_before"] for row in elsewhere],
                    [row["id"] for row in elsewhere],
                    "close",
                )
            return rows

        rows = await unit_of_work(self._pool, work)
        numbers = [row["id"] for row in rows]
        if not numbers:
            return {}
        # Read after the commit: a sender that did not see `node` yet has committed its message.
        async with reading(self._pool) as connection:
            channels = await connection.fetch(_SQL["channels"], numbers)
        subscribed = {
            row["device_id"]: {
                octets_of(channel): SubscriptionNumber(number)
                for channel, number in zip(row["channels"], row["ids"], strict=True)
            }
            for row in channels
        }
        return {
            octets_of(row["name"]): Attached(
                device=DeviceNumber(row["id"]),
                channels=subscribed.get(row["id"], {}),
            )
            for row in rows
        }

    async def register(
        self, name: bytes, channel: bytes, key_hash: bytes | None, node: NodeNumber, now: datetime
    ) -> Registered:
        """See the port."""

        async def work(connection: asyncpg.Connection) -> Registered:
            device = await connection.fetchval(_SQL["make_device"], uuid_of(name), node, now)
            row = await connection.fetchrow(
                _SQL["register"], device, uuid_of(channel), key_hash, now, self._most
            )
            if row is None:
                raise TooManySubscriptionsError
            return Registered(
                device=DeviceNumber(device),
                subscription=SubscriptionNumber(row["id"]),
                key_hash=row["key_hash"],
            )

        return await unit_of_work(self._pool, work)

    async def unregister(
        self, name: bytes, channel: bytes, node: NodeNumber, now: datetime
    ) -> bool:
        """See the port."""
        async with reading(self._pool) as connection:
            device = await connection.fetchval(
                _SQL["unregister"], uuid_of(name), uuid_of(channel), now
            )
            if device is not None:
                await connection.execute(_SQL["tell"], [device], node, "close")
        return device is not None

    async def seen(self, devices: Sequence[DeviceNumber], now: datetime) -> None:
        """See the port."""

        async def work(connection: asyncpg.Connection) -> None:
            await connection.execute(_SQL["seen"], list(devices), now)

        await unit_of_work(self._pool, work)  # begins anew where it crosses another node's

    async def forget(self, before: datetime, now: datetime, *, at_once: int) -> int:
        """See the port."""

        async def work(connection: asyncpg.Connection) -> int:
            return int(await connection.fetchval(_SQL["forget"], before, now, at_once))

        return await unit_of_work(self._pool, work)
