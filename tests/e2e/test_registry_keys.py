"""API keys on a real database: made once, checked from memory, rotated, revoked."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.e2e.registry_world import NOW, World, open_world

from clarion.adapters.state.keys import REMEMBERED, PostgresKeys
from clarion.adapters.system import SystemChance
from clarion.domain.ids import KeyId
from clarion.ports.keys import KeyRecord, KeyRefusal, Scope

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A registry with one app."""
    async with open_world(database_url) as world:
        yield world


def keys_of(world: World) -> PostgresKeys:
    """The keys as one process sees them."""
    return PostgresKeys(world.pool, SystemChance())


@pytest.mark.parametrize("scope", Scope)
async def test_a_key_opens_its_app_with_its_scope(world: World, scope: Scope) -> None:
    """The text has the stated form."""
    new = await keys_of(world).create(world.app, scope, "till", expires_at=None, now=NOW)
    assert new.text.startswith(f"clarion_{scope}_{new.record.id}_")
    found = await keys_of(world).check(new.text, NOW)
    assert isinstance(found, KeyRecord)
    assert (found.id, found.app, found.scope, found.name) == (
        new.record.id,
        world.app,
        scope,
        "till",
    )


async def test_the_secret_is_stored_only_as_a_hash(world: World) -> None:
    """Nothing in the row holds it, nor does the record show it."""
    new = await keys_of(world).create(world.app, Scope.SEND, "till", expires_at=None, now=NOW)
    secret = new.text.rpartition("_")[2]
    row = await world.pool.fetchval("select api_key::text from api_key")
    assert secret not in row
    assert secret not in repr(new)


async def test_wrong_keys_open_nothing(world: World) -> None:
    """Another secret, another scope, another id, another form."""
    keys = keys_of(world)
    text = (await keys.create(world.app, Scope.SEND, "k", expires_at=None, now=NOW)).text
    last = "0" if text[-1] != "0" else "1"
    assert await keys.check(text[:-1] + last, NOW) is KeyRefusal.UNKNOWN
    assert await keys.check(text.replace("_send_", "_admin_"), NOW) is KeyRefusal.UNKNOWN
    assert await keys.check(f"clarion_send_{'0' * 16}_{'0' * 64}", NOW) is KeyRefusal.UNKNOWN
    for odd in ("", "clarion", text + "0", text.upper(), text + "\n", "\ud800"):
        assert await keys.check(odd, NOW) is KeyRefusal.MALFORMED


async def test_an_expired_key_opens_nothing(world: World) -> None:
    """From the instant of its end on, whatever is in memory."""
    keys = keys_of(world)
    end = NOW + timedelta(seconds=1)
    text = (await keys.create(world.app, Scope.SEND, "k", expires_at=end, now=NOW)).text
    assert isinstance(await keys.check(text, NOW), KeyRecord)
    assert await keys.check(text, end) is KeyRefusal.EXPIRED


async def test_a_revocation_binds_at_once_here_and_soon_elsewhere(world: World) -> None:
    """Another process may remember for the stated time, and not longer."""
    here, elsewhere = keys_of(world), keys_of(world)
    new = await here.create(world.app, Scope.SEND, "k", expires_at=None, now=NOW)
    for keys in (here, elsewhere):
        assert isinstance(await keys.check(new.text, NOW), KeyRecord)
    assert await here.revoke(world.app, new.record.id, NOW)
    assert await here.check(new.text, NOW) is KeyRefusal.REVOKED
    assert isinstance(await elsewhere.check(new.text, NOW), KeyRecord)
    assert await elsewhere.check(new.text, NOW + REMEMBERED) is KeyRefusal.REVOKED
    assert not await here.revoke(world.app, new.record.id, NOW)


async def test_a_rotated_key_works_until_its_grace_ends(world: World) -> None:
    """The successor has the same scope and name."""
    keys = keys_of(world)
    old = await keys.create(world.app, Scope.ADMIN, "k", expires_at=None, now=NOW)
    new = await keys.rotate(world.app, old.record.id, grace=MINUTE, now=NOW)
    assert new is not None
    assert (new.record.scope, new.record.name) == (Scope.ADMIN, "k")
    assert isinstance(await keys.check(old.text, NOW), KeyRecord)
    assert isinstance(await keys.check(new.text, NOW + MINUTE), KeyRecord)
    assert await keys.check(old.text, NOW + MINUTE) is KeyRefusal.EXPIRED
    assert await keys.rotate(world.app, old.record.id, grace=MINUTE, now=NOW + MINUTE) is None
    assert len(await keys.all(world.app)) == 2


async def test_the_successor_of_a_key_that_expires_lives_as_long(world: World) -> None:
    """A rotation neither shortens a lifetime nor makes it endless."""
    keys = keys_of(world)
    old = await keys.create(world.app, Scope.SEND, "k", expires_at=NOW + 90 * MINUTE, now=NOW)
    later = NOW + 80 * MINUTE
    new = await keys.rotate(world.app, old.record.id, grace=timedelta(days=1), now=later)
    assert new is not None
    assert new.record.expires_at == later + 90 * MINUTE
    assert [key.expires_at for key in await keys.all(world.app)] == [
        later + 90 * MINUTE,
        NOW + 90 * MINUTE,
    ]
    again = await keys.rotate(world.app, old.record.id, grace=MINUTE, now=later)
    assert again is not None, "the first answer was lost"
    assert again.record.expires_at == new.record.expires_at


async def test_a_key_without_end_has_successors_without_end(world: World) -> None:
    """Also the second, made while the old one goes on opening for a while."""
    keys = keys_of(world)
    old = await keys.create(world.app, Scope.SEND, "k", expires_at=None, now=NOW)
    for _ in range(2):
        new = await keys.rotate(world.app, old.record.id, grace=timedelta(days=1), now=NOW)
        assert new is not None
        assert new.record.expires_at is None


async def test_another_app_can_neither_see_nor_end_a_key(world: World) -> None:
    """Ids of others are unknown."""
    keys = keys_of(world)
    other = (await world.apps.create("other", now=NOW)).id
    new = await keys.create(world.app, Scope.SEND, "k", expires_at=None, now=NOW)
    assert not await keys.revoke(other, new.record.id, NOW)
    assert await keys.rotate(other, new.record.id, grace=MINUTE, now=NOW) is None
    assert await keys.all(other) == []
    assert not await keys.revoke(world.app, KeyId("none"), NOW)


async def test_the_last_use_is_noted_at_most_once_a_minute(world: World) -> None:
    """By all processes together; a wrong secret notes nothing."""
    here, elsewhere = keys_of(world), keys_of(world)
    text = (await here.create(world.app, Scope.SEND, "k", expires_at=None, now=NOW)).text
    noted = []
    for seconds, keys in ((0, here), (1, elsewhere), (59, here), (60, elsewhere), (61, here)):
        at = NOW + timedelta(seconds=seconds)
        await keys.check(text, at)
        await keys.check(text[:-1] + "x", at + MINUTE)
        noted.append(await world.pool.fetchval("select last_used_at from api_key"))
    assert noted == [NOW, NOW, NOW, NOW + MINUTE, NOW + MINUTE]
