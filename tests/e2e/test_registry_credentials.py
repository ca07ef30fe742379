"""Credentials and shared tokens on a real database, sealed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from tests.e2e.registry_world import LATER, NOW, World, open_world

from clarion.adapters.state.credentials import PostgresCredentials, PostgresSharedTokens
from clarion.adapters.state.sealing import Seal
from clarion.adapters.state.statements import statements
from clarion.adapters.system import SystemChance
from clarion.domain.ids import CredentialId
from clarion.domain.network import Network
from clarion.ports.credentials import CredentialInUseError, CredentialState, NewCredential
from clarion.ports.secrets import SecretUnreadableError

CHANCE = SystemChance()
SEAL = Seal(bytes(32), CHANCE.token)
NEW = NewCredential(
    network=Network.APNS, public={"key_id": "ABC"}, secret={"key": "PEM-TEXT"}, per_minute=10
)


async def quarantine(world: World, credential: CredentialId, *, version: int) -> None:
    """What a sender's commit does when a credential is at fault."""
    await world.pool.execute(statements("line")["quarantine"], credential, "topic", NOW, version)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A registry with one app."""
    async with open_world(database_url) as world:
        yield world


async def test_a_credential_is_loaded_with_the_secret_that_was_put(world: World) -> None:
    """The row holds it only sealed; the record does not have it."""
    credentials = PostgresCredentials(world.pool, SEAL)
    record = await credentials.put(world.app, NEW, NOW)
    loaded = await credentials.load(record.id)
    assert loaded is not None
    assert (loaded.public, loaded.secret) == (NEW.public, NEW.secret)
    assert (record.version, record.state, record.per_minute) == (1, CredentialState.ACTIVE, 10)
    assert b"PEM-TEXT" not in await world.pool.fetchval("select secret from credential")
    assert "PEM-TEXT" not in repr(loaded) + repr(NEW)


async def test_another_master_key_opens_nothing(world: World) -> None:
    """The error says so."""
    record = await PostgresCredentials(world.pool, SEAL).put(world.app, NEW, NOW)
    other = PostgresCredentials(world.pool, Seal(b"x" * 32, CHANCE.token))
    with pytest.raises(SecretUnreadableError, match="master key"):
        await other.load(record.id)


async def test_a_secret_moved_to_another_row_does_not_open(world: World) -> None:
    """Whoever can write to the database can't give an app another app's secret."""
    credentials = PostgresCredentials(world.pool, SEAL)
    await credentials.put(world.app, NEW, NOW)
    other = (await world.apps.create("other", now=NOW)).id
    stolen = await credentials.put(other, NEW, NOW)
    await world.pool.execute(
        "update credential set secret = (select secret from credential where app_id = $1)"
        " where app_id = $2",
        world.app,
        other,
    )
    with pytest.raises(SecretUnreadableError):
        await credentials.load(stolen.id)


async def test_replacing_raises_the_version_and_ends_a_quarantine(world: World) -> None:
    """The id stays. A sender that used the old one can't stop the new one."""
    credentials = PostgresCredentials(world.pool, SEAL)
    first = await credentials.put(world.app, NEW, NOW)
    await quarantine(world, first.id, version=1)
    held = await credentials.get(world.app, Network.APNS)
    assert held is not None
    assert (held.state, held.state_reason) == (CredentialState.QUARANTINED, "topic")
    second = await credentials.put(world.app, NEW, LATER)
    assert (second.id, second.version, second.state) == (first.id, 2, CredentialState.ACTIVE)
    await quarantine(world, first.id, version=1)
    spared = await credentials.get(world.app, Network.APNS)
    assert spared is not None
    assert spared.state is CredentialState.ACTIVE


async def test_an_operator_reinstates_a_credential_once(world: World) -> None:
    """It is active again; a second time there is nothing to do."""
    credentials = PostgresCredentials(world.pool, SEAL)
    record = await credentials.put(world.app, NEW, NOW)
    await quarantine(world, record.id, version=1)
    assert await credentials.reinstate(world.app, Network.APNS, LATER)
    assert not await credentials.reinstate(world.app, Network.APNS, LATER)
    again = await credentials.get(world.app, Network.APNS)
    assert again is not None
    assert (again.state, again.state_at) == (CredentialState.ACTIVE, LATER)


async def test_credentials_are_listed_and_removed(world: World) -> None:
    """Of one app, or of all."""
    credentials = PostgresCredentials(world.pool, SEAL)
    other = (await world.apps.create("other", now=NOW)).id
    await credentials.put(world.app, NEW, NOW)
    await credentials.put(other, NEW, NOW)
    assert len(await credentials.all(None)) == 2
    assert [record.app for record in await credentials.all(other)] == [other]
    assert await credentials.delete(other, Network.APNS)
    assert not await credentials.delete(other, Network.APNS)
    assert await credentials.all(other) == []


async def test_a_credential_that_batches_need_is_not_removed(world: World) -> None:
    """The error says what to do instead."""
    credentials = PostgresCredentials(world.pool, SEAL)
    record = await credentials.put(world.app, NEW, NOW)
    await world.pool.execute(
        "insert into batch (key, app_id, lane, network, credential_id, message_ids, run_at, size,"
        " planned_xid, recipients) values ('k', $1, 2, 1, $2, '{}', now(), 0, 0, '')",
        world.app,
        record.id,
    )
    with pytest.raises(CredentialInUseError, match="replace it"):
        await credentials.delete(world.app, Network.APNS)


async def test_of_many_minters_one_wins(world: World) -> None:
    """All get the same token, and later readers too."""
    tokens = PostgresSharedTokens(world.pool, SEAL)
    stale = NOW - timedelta(minutes=50)
    assert await tokens.get("apns/1", stale) is None
    won = await asyncio.gather(
        *(tokens.mint("apns/1", older_than=stale, value=f"jwt-{i}", now=NOW) for i in range(8))
    )
    assert len(set(won)) == 1
    assert await tokens.get("apns/1", stale) == won[0]
    assert await tokens.get("apns/1", LATER) is None
    assert await tokens.mint("apns/1", older_than=LATER, value="new", now=LATER) == "new"
    assert b"jwt" not in await world.pool.fetchval("select value from shared_token")
