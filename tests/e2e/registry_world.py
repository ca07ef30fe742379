"""A registry on a real database, for the tests of this folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.api.registration_rows import frame
from clarion.domain.conditions import Cell, Row
from clarion.domain.ids import AppId
from clarion.stages.intake.register import Registration, Rules, register
from clarion.wire.endpoint import NOBODY

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER: Final = NOW + timedelta(hours=1)
RULES: Final = Rules(zones=frozenset({"Europe/Berlin", "Asia/Tokyo", "UTC"}), allow=NOBODY)


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Adapters over one database with one app."""

    pool: asyncpg.Pool
    app: AppId
    apps: PostgresApps
    people: PostgresPeople
    devices: PostgresDevices
    many: bool = False
    """Whether registrations come as columns."""

    async def register(
        self, *rows: Row, now: datetime = NOW, app: AppId | None = None
    ) -> Registration:
        """Register rows: as columns where they are many, as they are where they are few."""
        given = frame(rows) if self.many else rows
        return await register(self.devices, app or self.app, given, rules=RULES, now=now)

    async def count(self, table: str) -> int:
        """How many rows a table has."""
        rows = await self.pool.fetch(f"select 1 from {table}")  # noqa: S608  the tests' own words
        return len(rows)


def phone(token: str, **more: Cell) -> Row:
    """A registration of an FCM device."""
    return {"network": "fcm", "token": f"token-{token}", **more}


@asynccontextmanager
async def open_world(dsn: str, *, many: bool = False) -> AsyncIterator[World]:
    """Open a pool on a migrated database, and make an app."""
    pool = await open_pool(dsn, min_size=2, max_size=4)
    try:
        apps = PostgresApps(pool)
        app = await apps.create("shop", now=NOW)
        yield World(
            pool=pool,
            app=app.id,
            apps=apps,
            people=PostgresPeople(pool),
            devices=PostgresDevices(pool),
            many=many,
        )
    finally:
        await pool.close()
