"""Devices in the state store."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime
from typing import Final

import asyncpg
import numpy as np
import polars as pl

from clarion.adapters.state.device_room import CrowdedError, spread, without
from clarion.adapters.state.person_rows import merge_attributes
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.registration import Manner, register
from clarion.adapters.state.registration_rows import token_key
from clarion.adapters.state.statements import statements
from clarion.domain.attributes import decode_attributes, encode_attributes
from clarion.domain.conditions import Row
from clarion.domain.device import DeviceChange, DeviceState, Keep
from clarion.domain.handoffs import Int64s, UInt16s
from clarion.domain.ids import AppId, DeviceId, UserId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.permission import Permission
from clarion.domain.person import DEVICES_PER_USER
from clarion.ports.registry import (
    DeviceRecord,
    DevicesLimitError,
    PersonUnknownError,
    Registered,
    Renewed,
)

_PLAIN: Final = tuple(
    name
    for name in (field.name for field in fields(DeviceChange))
    if name not in {"attributes", "user"}
)


class PostgresDevices:
    """`ports.registry.Devices` over the table device."""

    def __init__(self, pool: asyncpg.Pool, most_devices: int = DEVICES_PER_USER) -> None:
        self._pool = pool
        self._most_devices = most_devices
        self._sql = statements("devices")

    async def register(
        self, app: AppId, rows: pl.DataFrame | Sequence[Row], now: datetime, *, refresh: bool = True
    ) -> Registered:
        """See `ports.registry.Devices.register`."""
        left: Int64s = np.arange(len(rows), dtype=np.int64)
        given, bold = rows, True

        async def work(connection: asyncpg.Connection) -> Registered:
            nonlocal bold
            once, bold = bold, False
            manner = Manner(most_devices=self._most_devices, refresh=refresh, bold=once)
            return await register(connection, app, given, now, manner)

        while True:
            try:
                done = await unit_of_work(self._pool, work)
            except CrowdedError as error:
                left = np.delete(left, error.rows)
                given, bold = without(rows, left), True
            else:
                return done if len(left) == len(rows) else spread(done, left, len(rows))

    async def get(self, app: AppId, device: DeviceId) -> DeviceRecord | None:
        """See `ports.registry.Devices.get`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["get_device"], app, device)
        return None if row is None else _record(row)

    async def find(self, app: AppId, network: Network, token: str) -> DeviceRecord | None:
        """See `ports.registry.Devices.find`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(
                self._sql["find_device"], app, network, token_key(token)
            )
        return None if row is None else _record(row)

    async def of_person(self, app: AppId, user: UserId) -> Sequence[DeviceRecord]:
        """See `ports.registry.Devices.of_person`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["devices_of_person"], app, user)
        return [_record(row) for row in rows]

    async def page(
        self, app: AppId, *, after: DeviceId | None, limit: int
    ) -> Sequence[DeviceRecord]:
        """See `ports.registry.Devices.page`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["page_devices"], app, after or 0, limit)
        return [_record(row) for row in rows]

    async def change(
        self, app: AppId, device: DeviceId, change: DeviceChange, now: datetime
    ) -> DeviceRecord | None:
        """See `ports.registry.Devices.change`."""

        async def work(connection: asyncpg.Connection) -> DeviceRecord | None:
            row = await connection.fetchrow(self._sql["lock_device"], app, device)
            if row is None:
                return None
            new = _changed(_record(row), change)
            if not isinstance(change.user, Keep):
                sql = statements("people")["lock_owner"]
                if await connection.fetchval(sql, app, change.user) is None:
                    raise PersonUnknownError("the app has no user of that id")
                count = self._sql["more_devices_than"]
                if change.user != row["user_id"] and await connection.fetch(
                    count, [change.user], self._most_devices - 1
                ):
                    raise DevicesLimitError
            written = await connection.fetchrow(
                self._sql["update_device"],
                app,
                device,
                new.user,
                new.opted_out,
                new.platform,
                new.os,
                new.os_version,
                new.model,
                new.app_version,
                new.language,
                new.time_zone,
                new.country,
                new.latitude,
                new.longitude,
                encode_attributes(new.attributes).encode(),
                new.last_active_at,
                now,
            )
            return _record(written)

        return await unit_of_work(self._pool, work)

    async def renew(
        self, app: AppId, network: Network, old: str, renewed: Renewed, now: datetime
    ) -> None:
        """See `ports.registry.Devices.renew`."""
        keys = token_key(old), token_key(renewed.token)

        async def work(connection: asyncpg.Connection) -> None:
            rows = await connection.fetch(self._sql["lock_renewed"], app, network, list(keys))
            held = {bytes(row["token_key"]): row["id"] for row in rows}
            device = held.get(keys[0])
            if device is None or keys[0] == keys[1]:
                return
            if keys[1] in held:
                await connection.execute(self._sql["delete_device"], app, device)
                return
            await connection.execute(
                self._sql["renew_device"], app, device, renewed.token, keys[1], renewed.keys, now
            )

        await unit_of_work(self._pool, work)

    async def delete(self, app: AppId, device: DeviceId) -> bool:
        """See `ports.registry.Devices.delete`."""

        async def work(connection: asyncpg.Connection) -> bool:
            return await connection.fetchval(self._sql["delete_device"], app, device) is not None

        return await unit_of_work(self._pool, work)


async def bury(
    connection: asyncpg.Connection,
    device: Int64s,
    reason: UInt16s,
    dead_us: Int64s,
    now: datetime,
) -> Int64s:
    """Make tombstones of devices whose tokens are dead, in one statement of the caller's unit.

    Args:
        connection: inside a transaction.
        device: ids; unknown and dead ones are passed over.
        reason: a `Reason` for each.
        dead_us: when the network knew, microseconds since the epoch, 0 where it does not say.
            A device whose token was registered at or after that instant lives on.
        now: the present instant.

    Returns:
        The ids of the devices that died, in no order.
    """
    rows = await connection.fetch(
        statements("devices")["bury_devices"],
        device.tolist(),
        reason.tolist(),
        dead_us.tolist(),
        now,
    )
    return np.array([row["id"] for row in rows], np.int64)


async def replace_tokens(
    connection: asyncpg.Connection, device: Int64s, tokens: Sequence[str], now: datetime
) -> Int64s:
    """Give living devices the tokens that the network named, in one statement.

    Where another device of the app has the token already, the old device becomes a tombstone
    with `Reason.TOKEN_REPLACED`.

    Returns:
        The ids of the devices that have their new token, in no order.

    Raises:
        asyncpg.UniqueViolationError: another writer registered one of the tokens meanwhile; the
            unit of work is void and is run again by `unit_of_work`.
    """
    rows = await connection.fetch(
        statements("devices")["replace_tokens"],
        device.tolist(),
        list(tokens),
        [token_key(token) for token in tokens],
        now,
        Reason.TOKEN_REPLACED,
    )
    return np.array([row["id"] for row in rows if not row["taken"]], np.int64)


def _changed(old: DeviceRecord, change: DeviceChange) -> DeviceRecord:
    said = {name: getattr(change, name) for name in _PLAIN}
    return replace(
        old,
        user=old.user if isinstance(change.user, Keep) else change.user,
        attributes=merge_attributes(old.attributes, change.attributes),
        **{name: value for name, value in said.items() if not isinstance(value, Keep)},
    )


def _record(row: asyncpg.Record) -> DeviceRecord:
    return DeviceRecord(
        id=DeviceId(row["id"]),
        app=AppId(row["app_id"]),
        user=UserId(row["user_id"]),
        network=Network(row["network"]),
        token=row["token"],
        environment=row["environment"],
        state=DeviceState(row["state"]),
        state_reason=Reason(row["state_reason"]),
        opted_out=row["opted_out"],
        platform=row["platform"],
        os=row["os"],
        os_version=row["os_version"],
        model=row["model"],
        app_version=row["app_version"],
        language=row["language"],
        time_zone=row["time_zone"],
        country=row["country"],
        latitude=row["latitude"],
        longitude=row["longitude"],
        attributes=decode_attributes(row["attributes"]),
        permission=Permission(row["permission"]),
        permission_at=row["permission_at"],
        last_active_at=row["last_active_at"],
        registered_at=row["registered_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
