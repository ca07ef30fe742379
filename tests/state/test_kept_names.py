"""Another master key: erased names are known by the key that they were kept with, or it is told."""

import base64
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.state.conftest import NOW

from clarion.adapters.state.erasure import PostgresErasures
from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.state.suppression import PostgresSuppressions, kept_names
from clarion.adapters.system import SystemChance
from clarion.app.container import open_container
from clarion.app.doctor import examine
from clarion.app.doctor_finding import Finding, Level
from clarion.app.doctor_state import examine_names
from clarion.app.names_known import unknown_names
from clarion.app.settings import load
from clarion.domain.ids import AppId
from clarion.domain.person import PersonChange
from clarion.ports.registry import ByExternalId

OLD, NEW = bytes(32), bytes([7]) * 32
"""The fixture `pool` has the old one."""


async def erase(pool: Pool, app: AppId, name: str) -> Mapping[str, int]:
    """Put somebody on a list and erase them; what was kept."""
    lists, people = PostgresSuppressions(pool), PostgresPeople(pool)
    await lists.put(app, "l", "", NOW)
    person, _ = await people.put(app, name, PersonChange(), NOW)
    await lists.add(app, "l", [name], "", NOW)
    erasures = PostgresErasures(pool, SystemChance())
    begun = await erasures.begin(app, person.id, NOW)
    assert begun is not None
    return (await erasures.finish(begun.id, {}, NOW)).kept


async def is_suppressed(pool: Pool, app: AppId, name: str) -> bool:
    """Whether who comes again is."""
    await PostgresPeople(pool).put(app, name, PersonChange(), NOW)
    found: bool = await pool.fetchval("select suppressed from users where external_id = $1", name)
    return found


def key_file(folder: Path, name: str, key: bytes) -> Path:
    """A master key's file."""
    path = folder / name
    path.touch(mode=0o600)
    path.write_bytes(base64.b64encode(key))
    return path


async def test_a_name_is_known_by_the_key_that_it_was_kept_with(
    pool: Pool, app: AppId, database_url: str
) -> None:
    """Another key knows it no more, and counts it; with the old one besides it is known again."""
    for name in ("ann", "bob"):
        await erase(pool, app, name)
    other = await open_pool(database_url, master_keys=[NEW])
    assert not await is_suppressed(other, app, "ann")
    assert (await kept_names(other)).unknown == 2
    await other.close()

    both = await open_pool(database_url, master_keys=[NEW, OLD])
    kept = await kept_names(both)
    assert (kept.unknown, kept.old) == (0, 2)
    assert await is_suppressed(both, app, "bob")
    assert not await is_suppressed(both, app, "new")
    await both.close()


async def test_a_name_that_is_kept_with_two_keys_is_told_once(
    pool: Pool, app: AppId, database_url: str
) -> None:
    """It came again under the new key, and was erased again; off the list it is off for good."""
    await erase(pool, app, "ann")
    both = await open_pool(database_url, master_keys=[NEW, OLD])
    assert await erase(both, app, "ann") == {"state.suppression_hashes": 1}
    assert await is_suppressed(both, app, "ann")
    person = await PostgresPeople(both).get(app, ByExternalId(external_id="ann"))
    assert person is not None
    held = await PostgresErasures(both, SystemChance()).held(app, person.id)
    assert held is not None
    before = held.parts["erased_before"]
    assert isinstance(before, list)
    assert [each["list"] for each in before] == ["l"]

    assert await PostgresSuppressions(both).remove(app, "l", ["ann"], NOW) == 1
    assert not await is_suppressed(both, app, "ann")
    await erase(both, app, "bob")
    assert await is_suppressed(both, app, "bob")
    assert await PostgresSuppressions(both).delete(app, "l", NOW)
    assert not await is_suppressed(both, app, "bob")
    await both.close()


async def test_a_start_and_the_doctor_tell_that_names_are_not_known(
    pool: Pool, app: AppId, database_url: str, tmp_path: Path
) -> None:
    """And what to do."""
    await erase(pool, app, "ann")
    old = key_file(tmp_path, "old.key", OLD)
    variables = {"CLARION_DATA_DIR": str(tmp_path), "CLARION_DATABASE_URL": database_url}

    async def found(**more: str) -> tuple[int, Finding]:
        settings = load(variables | more)
        unknown = await unknown_names(settings)
        async with open_container(settings, connections=2) as container:
            (finding,) = [each async for each in examine_names(container)]
        return unknown, finding

    unknown, finding = await found(CLARION_DATA_MASTER_KEY_FILE=str(old))
    assert (unknown, finding.level) == (0, Level.OK)
    key_file(tmp_path, "master.key", NEW)
    unknown, finding = await found()
    assert (unknown, finding.level) == (1, Level.FAIL)
    assert "1 erased names" in finding.found
    assert "data.old_master_key_files" in finding.advice
    unknown, finding = await found(CLARION_DATA_OLD_MASTER_KEY_FILES=str(old))
    assert (unknown, finding.level) == (0, Level.OK)
    assert "old master key" in finding.found


async def test_nobody_says_by_which_key_a_name_from_before_was_kept(
    pool: Pool, app: AppId, database_url: str, tmp_path: Path
) -> None:
    """All keys that are there are tried, and the doctor warns; the same name again proves it."""
    for name in ("ann", "bob"):
        await erase(pool, app, name)
    await pool.execute("update suppressed_hash set key_id = null")
    key_file(tmp_path, "master.key", NEW)
    old = key_file(tmp_path, "old.key", OLD)
    variables = {
        "CLARION_DATA_DIR": str(tmp_path),
        "CLARION_DATABASE_URL": database_url,
        "CLARION_DATA_OLD_MASTER_KEY_FILES": str(old),
    }
    settings = load(variables)
    assert await unknown_names(settings) == 0
    async with open_container(settings, connections=2) as container:
        (finding,) = [each async for each in examine_names(container)]
        assert finding.level is Level.WARN
        assert "2 erased names" in finding.found
        assert "data.old_master_key_files" in finding.advice
        assert await is_suppressed(container.pool, app, "ann")
    assert await pool.fetchval("select count(*) from suppressed_hash where key_id is null") == 2

    await erase(pool, app, "bob")
    kept = await kept_names(pool)
    assert (kept.unknown, kept.old, kept.untold) == (0, 0, 1)


async def test_the_doctor_misses_a_key_that_only_names_were_kept_with(
    pool: Pool, app: AppId, database_url: str, tmp_path: Path
) -> None:
    """No credential is sealed; a new key would be made without a word."""
    await erase(pool, app, "ann")
    settings = load({"CLARION_DATA_DIR": str(tmp_path), "CLARION_DATABASE_URL": database_url})
    said = {each.what: each async for each in examine(settings)}
    assert said["master key"].level is Level.FAIL
    assert "1 erased names" in said["master key"].found
    assert not (tmp_path / "master.key").exists()


async def test_an_old_key_file_that_is_not_there_stops_the_start(
    database_url: str, tmp_path: Path
) -> None:
    """Nobody is to believe that names are known; and none is made in its place."""
    settings = load(
        {
            "CLARION_DATA_DIR": str(tmp_path),
            "CLARION_DATABASE_URL": database_url,
            "CLARION_DATA_OLD_MASTER_KEY_FILES": str(tmp_path / "old.key"),
        }
    )
    said = [each async for each in examine(settings) if each.level is Level.FAIL]
    assert not said, "no key yet at all"
    key_file(tmp_path, "master.key", NEW)
    (finding,) = [
        each
        async for each in examine(settings)
        if each.what == "master key" and each.level is Level.FAIL
    ]
    assert "old.key can't be read" in finding.found
    assert not (tmp_path / "old.key").exists()


@pytest.mark.parametrize("keys", [[NEW], [NEW, OLD]])
async def test_nothing_kept_is_nothing_unknown(
    pool: Pool, database_url: str, keys: list[bytes]
) -> None:
    """Most platforms have no erased names."""
    assert pool is not None
    other = await open_pool(database_url, master_keys=keys)
    assert (await kept_names(other)).unknown == 0
    await other.close()
