"""The first start: the operator's app, and an admin key that somebody has certainly seen."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from clarion.adapters.state.keys import PostgresKeys
from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.system import SystemChance, SystemClock
from clarion.app.settings import Settings, SettingsError
from clarion.domain.ids import AppId
from clarion.ports.apps import AppExistsError
from clarion.ports.keys import Scope


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstKey:
    """The key of a platform that was started for the first time; shown once, stored hashed."""

    app: str
    text: str = field(repr=False)


async def make_operator_app(settings: Settings) -> None:
    """Make the app named by `api.operator_app`, unless it is there."""
    async with _pool(settings) as pool:
        await _operator_app(pool, settings)


@asynccontextmanager
async def first_key(settings: Settings) -> AsyncIterator[FirstKey | None]:
    """A new admin key where the operator's app never had any, to be shown inside the block.

    It is stored when the block ends well, and not before: whoever dies in between has shown a key
    that opens nothing, and the next start shows another. The other order could lose the only key.
    """
    async with _pool(settings) as pool:
        app = await _operator_app(pool, settings)
        keys = PostgresKeys(pool, SystemChance())
        if await keys.all(app):
            yield None
            return
        now = SystemClock().now()
        async with keys.creating(app, Scope.ADMIN, "first key", expires_at=None, now=now) as key:
            yield FirstKey(app=settings.api.operator_app, text=key.text)


async def _operator_app(pool: Pool, settings: Settings) -> AppId:
    apps, name = PostgresApps(pool), settings.api.operator_app
    known = await apps.find(name)
    while known is None:
        try:
            now = SystemClock().now()
            known = await apps.create(name, time_zone="UTC", language="en", now=now)
        except AppExistsError:  # another machine of the same platform was quicker
            known = await apps.find(name)
    return known.id


@asynccontextmanager
async def _pool(settings: Settings) -> AsyncIterator[Pool]:
    if settings.database.url is None:
        raise SettingsError(["database.url is not set: start with `clarion serve`, or set it"])
    pool = await open_pool(settings.database.url.reveal(), max_size=2)
    try:
        yield pool
    finally:
        await pool.close()
