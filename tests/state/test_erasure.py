"""Erasures: interrupted between the state and the facts; names that stay suppressed."""

import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

import asyncpg
import polars as pl
import pytest
from tests.state.conftest import NOW
from tests.state.test_consent import consents

from clarion.adapters.state.consent import PostgresConsents
from clarion.adapters.state.erasure import PostgresErasures
from clarion.adapters.state.lists import PostgresLists
from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.state.suppression import PostgresSuppressions
from clarion.adapters.system import SystemChance
from clarion.domain.ids import AppId, UserId
from clarion.domain.naming import check_names
from clarion.domain.person import PersonChange
from clarion.domain.registration import check
from clarion.ports.erasure import Erasure, FactsPage
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.lists import Members, OnTopic
from clarion.ports.registry import ByExternalId
from clarion.stages.intake.erasure import LEFT_BEHIND, finish_all
from clarion.testing.clock import ManualClock


class Asleep:
    """The facts of a deployment whose owner answers when it is woken."""

    def __init__(self) -> None:
        self.awake = False
        self.erased: list[UserId] = []

    async def about(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> AsyncIterator[FactsPage]:
        """Nothing."""
        del app, users, at_least_xid
        yield FactsPage(kind="event", rows=[])

    async def erase(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> Mapping[str, int]:
        """Three events."""
        del app, at_least_xid
        if not self.awake:
            raise FactsUnavailableError("asleep")
        self.erased.extend(users)
        return {"event": 3}


async def test_an_erasure_that_was_left_behind_is_finished_once(pool: Pool, app: AppId) -> None:
    """The person is gone at once; the facts follow; the number is forgotten with them."""
    people, erasures = PostgresPeople(pool), PostgresErasures(pool, SystemChance())
    ledger, facts, clock = PostgresConsents(pool), Asleep(), ManualClock(NOW)
    await ledger.record(app, consents(("ann", "marketing", "granted", 0)), NOW)
    person, _ = await people.put(app, "ann", PersonChange(), NOW)
    begun = await erasures.begin(app, person.id, NOW)
    assert begun is not None
    assert await erasures.begin(app, person.id, NOW) is None
    assert (await ledger.verify(app)).broken_at is None
    left = await pool.fetchrow("select user_id, personal, text from consent_ledger")
    assert tuple(left) == (None, None, "Send me offers")

    assert await finish_all(erasures, facts, clock) == 0  # who began it may still be at it
    clock.advance((LEFT_BEHIND + timedelta(seconds=1)).total_seconds())
    with pytest.raises(FactsUnavailableError):
        await finish_all(erasures, facts, clock)
    facts.awake = True
    assert await finish_all(erasures, facts, clock) == 1
    assert await finish_all(erasures, facts, clock) == 0
    assert facts.erased == [person.id]
    done = await erasures.get(app, begun.id)
    assert done is not None
    assert done.done_at == clock.now()
    assert done.removed["facts.event"] == 3
    assert await pool.fetchval("select numbers from erasure") == []


async def erase(pool: Pool, app: AppId, name: str) -> Erasure:
    """Erase somebody whose facts are removed at once."""
    erasures = PostgresErasures(pool, SystemChance())
    person = await PostgresPeople(pool).get(app, ByExternalId(external_id=name))
    assert person is not None
    begun = await erasures.begin(app, person.id, NOW)
    assert begun is not None
    return await erasures.finish(begun.id, {}, NOW)


async def suppressed(pool: Pool, app: AppId) -> dict[str, bool]:
    """Names -> whether suppressed."""
    rows = await pool.fetch(
        "select external_id, suppressed from users where app_id = $1 and external_id is not null",
        app,
    )
    return {row["external_id"]: row["suppressed"] for row in rows}


async def come_again(pool: Pool, app: AppId, *, ways: int = 5) -> dict[str, bool]:
    """People of the names `n0`, `n1`, ... are made, each in another way."""
    people = PostgresPeople(pool)
    await people.put(app, "n0", PersonChange(), NOW)
    stranger = await people.create_anonymous(app, PersonChange(), NOW)
    await people.login(app, stranger.id, "n1", NOW)
    rows = check(pl.DataFrame({"external_id": ["n2"]}), zones=frozenset(), now=NOW).rows
    await PostgresDevices(pool).register(app, rows, NOW)
    await PostgresConsents(pool).record(app, consents(("n3", "*", "granted", 1)), NOW)
    named, _, _ = check_names(pl.DataFrame({"external_id": ["n4"]}))
    members = Members(rows=named, join=True, create_people=True)
    await PostgresLists(pool).change_members(app, OnTopic(name="t"), members, NOW)
    found = await suppressed(pool, app)
    assert len(found) == ways
    return found


async def test_an_erased_name_stays_suppressed(pool: Pool, app: AppId) -> None:
    """By a keyed hash on each list, in whatever way the person comes again; others are not."""
    lists, names = PostgresSuppressions(pool), [f"n{n}" for n in range(5)]
    await lists.put(app, "l", "", NOW)
    assert set((await come_again(pool, app)).values()) == {False}
    await lists.add(app, "l", names, "asked", NOW)
    done = [await erase(pool, app, name) for name in names]
    assert [erasure.kept for erasure in done] == [{"state.suppression_hashes": 1}] * 5
    assert await pool.fetchval("select count(*) from suppression") == 0
    found = await lists.get(app, "l")
    assert found is not None
    assert (found.names, found.erased) == (0, 5)

    assert set((await come_again(pool, app)).values()) == {True}
    other = (await PostgresApps(pool).create("other", now=NOW)).id
    assert set((await come_again(pool, other)).values()) == {False}
    await PostgresPeople(pool).put(app, "new", PersonChange(), NOW)
    assert not (await suppressed(pool, app))["new"]


async def test_the_hash_is_hmac_of_app_and_name(pool: Pool, app: AppId) -> None:
    """As RFC 2104 has it, under a key that is made of the master key."""
    lists = PostgresSuppressions(pool)
    await lists.put(app, "l", "", NOW)
    await PostgresPeople(pool).put(app, "Zoë", PersonChange(), NOW)
    await lists.add(app, "l", ["Zoë"], "", NOW)
    await erase(pool, app, "Zoë")
    key = hmac.digest(bytes(32), b"clarion.erased-names.1", hashlib.sha256)
    expected = hmac.digest(key, f"{app}\x1fZoë".encode(), hashlib.sha256)
    assert await pool.fetchval("select hash from suppressed_hash") == expected


async def test_a_hash_goes_with_the_name_and_with_the_list(pool: Pool, app: AppId) -> None:
    """And who came again is sent to again."""
    lists, people = PostgresSuppressions(pool), PostgresPeople(pool)
    for name in ("ann", "bob"):
        await lists.put(app, "l", "", NOW)
        await people.put(app, name, PersonChange(), NOW)
        await lists.add(app, "l", [name], "", NOW)
        await erase(pool, app, name)
        await people.put(app, name, PersonChange(), NOW)
    held = await PostgresErasures(pool, SystemChance()).held(
        app, (await people.put(app, "ann", PersonChange(), NOW))[0].id
    )
    assert held is not None
    assert [each["list"] for each in cast("Any", held.parts["erased_before"])] == ["l"]
    assert await suppressed(pool, app) == {"ann": True, "bob": True}

    assert await lists.remove(app, "l", ["ann", "nobody"], NOW) == 1
    assert await suppressed(pool, app) == {"ann": False, "bob": True}
    assert await lists.delete(app, "l", NOW)
    assert await suppressed(pool, app) == {"ann": False, "bob": False}


async def test_without_the_key_nobody_slips_in(pool: Pool, app: AppId, database_url: str) -> None:
    """A session that can't know erased names makes no people where there are some."""
    await PostgresSuppressions(pool).put(app, "l", "", NOW)
    await PostgresPeople(pool).put(app, "ann", PersonChange(), NOW)
    await PostgresSuppressions(pool).add(app, "l", ["ann"], "", NOW)
    await erase(pool, app, "ann")
    keyless = await open_pool(database_url)
    with pytest.raises(asyncpg.UndefinedObjectError):
        await PostgresPeople(keyless).put(app, "ann", PersonChange(), NOW)
    await keyless.close()
