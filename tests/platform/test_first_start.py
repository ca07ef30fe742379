"""The first key is shown before it is stored, never the other way round."""

from pathlib import Path

import pytest

from clarion.adapters.state.keys import PostgresKeys
from clarion.adapters.state.pool import open_pool
from clarion.adapters.system import SystemChance, SystemClock
from clarion.app.first_start import first_key, make_operator_app
from clarion.app.settings import Settings, load
from clarion.ports.keys import KeyRecord, KeyRefusal


def settings_of(database_url: str, folder: Path) -> Settings:
    """Settings with a state store."""
    return load({"CLARION_DATA_DIR": str(folder), "CLARION_DATABASE_URL": database_url})


class UnheardError(Exception):
    """Nobody reads what we say."""


async def show_to_nobody(settings: Settings, lost: list[str]) -> None:
    """Fail while the key is being shown."""
    async with first_key(settings) as key:
        assert key is not None
        lost.append(key.text)
        raise UnheardError


async def opens(database_url: str, key: str) -> bool:
    """Whether a key is one."""
    pool = await open_pool(database_url, max_size=1)
    try:
        found = await PostgresKeys(pool, SystemChance()).check(key, SystemClock().now())
    finally:
        await pool.close()
    assert isinstance(found, KeyRecord) or found is KeyRefusal.UNKNOWN
    return isinstance(found, KeyRecord)


async def test_a_key_that_could_not_be_shown_is_not_kept(database_url: str, tmp_path: Path) -> None:
    """The next start shows another one, and that one works; the start after shows none."""
    settings = settings_of(database_url, tmp_path)
    await make_operator_app(settings)
    await make_operator_app(settings)
    lost: list[str] = []
    with pytest.raises(UnheardError):
        await show_to_nobody(settings, lost)
    assert not await opens(database_url, lost[0])

    async with first_key(settings) as key:
        assert key is not None
        shown = key.text
        assert not await opens(database_url, shown), "it is stored when it has been shown"
    assert await opens(database_url, shown)

    async with first_key(settings) as key:
        assert key is None
