"""Tenants in the state store."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from clarion.adapters.state.pool import reading
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId
from clarion.ports.apps import AppExistsError, AppRecord


class PostgresApps:
    """`ports.registry.Apps` over the table app."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("apps")

    async def create(
        self, name: str, *, time_zone: str = "UTC", language: str = "en", now: datetime
    ) -> AppRecord:
        """See `ports.registry.Apps.create`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["insert_app"], name, time_zone, language, now)
        if row is None:
            raise AppExistsError(f"there is an app named {name!r}")
        return _record(row)

    async def get(self, app: AppId) -> AppRecord | None:
        """See `ports.registry.Apps.get`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["get_app"], app)
        return None if row is None else _record(row)

    async def find(self, name: str) -> AppRecord | None:
        """See `ports.registry.Apps.find`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["find_app"], name)
        return None if row is None else _record(row)

    async def all(self) -> Sequence[AppRecord]:
        """See `ports.registry.Apps.all`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["list_apps"])
        return [_record(row) for row in rows]


def _record(row: asyncpg.Record) -> AppRecord:
    return AppRecord(
        id=AppId(row["id"]),
        name=row["name"],
        time_zone=row["time_zone"],
        language=row["language"],
        created_at=row["created_at"],
    )
