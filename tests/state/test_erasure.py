"""Erasures that were interrupted between the state and the facts."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta

import pytest
from tests.state.conftest import NOW
from tests.state.test_consent import consents

from clarion.adapters.state.consent import PostgresConsents
from clarion.adapters.state.erasure import PostgresErasures
from clarion.adapters.state.pool import Pool
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.system import SystemChance
from clarion.domain.ids import AppId, UserId
from clarion.domain.person import PersonChange
from clarion.ports.erasure import FactsPage
from clarion.ports.facts import FactsUnavailableError
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
