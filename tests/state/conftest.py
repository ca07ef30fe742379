"""The state store's own behaviour, on a real PostgreSQL."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Final

import pytest

from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.domain.ids import AppId

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections to a fresh store."""
    pool = await open_pool(database_url, max_size=12, master_keys=[bytes(32)])
    yield pool
    await pool.close()


@pytest.fixture
async def app(pool: Pool) -> AppId:
    """An app with the categories that it is born with."""
    return (await PostgresApps(pool).create("shop", now=NOW)).id
