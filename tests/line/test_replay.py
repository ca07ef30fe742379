"""Decisions are read back from the facts and made again under other rules."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.facts.test_owner import owner as facts_of
from tests.line.conftest import NOW, Store
from tests.line.test_caps import everybody, plan_all, ports, rule

from clarion.adapters.facts.duckdb import FactsClient
from clarion.adapters.state.journal import PostgresJournal
from clarion.domain.decided import unpacked
from clarion.domain.decision_row import Action
from clarion.domain.ids import AppId, MessageId
from clarion.domain.outcome import Reason
from clarion.domain.policy import PolicyError
from clarion.stages.planning.replay import Replayed, Verdict, replay

PEOPLE = 200
OPTED_OUT = 7
ALL_DAY = b'{"windows": [{"from": "10:00", "to": "15:00"}], "action": "hold"}'
CAPPED = Verdict(action=Action.SKIP, reason=Reason.FREQUENCY_CAPPED)
SENT = Verdict(action=Action.SEND, reason=Reason.ACCEPTED)
HELD = Verdict(action=Action.HOLD, reason=Reason.HELD_FOR_QUIET_HOURS)


async def plan(store: Store, number: int) -> None:
    """Accept a message to everybody, and plan it under the rules of now."""
    planner = ports(store)
    await PostgresJournal(store.pool).accept(everybody(store, number), NOW)
    await planner.line.expand_due(NOW, limit=10)
    await plan_all(planner)


@pytest.fixture
async def planned(store: Store) -> Store:
    """Two messages to the same people: the cap stops the second for whoever got the first."""
    await store.add_people(PEOPLE, opted_out=OPTED_OUT)
    await store.pool.execute("update users set time_zone = 'UTC'")
    await rule(store, [{"count": 1, "per": "7d"}])
    for number in (1, 2):
        await plan(store, number)
    return store


async def again(
    store: Store, facts: FactsClient, number: int, changes: dict[str, object]
) -> Replayed:
    """What changes of a message."""
    message = await store.pool.fetchrow(
        "select id, app_id from message order by id limit 1 offset $1", number - 1
    )
    xid = await store.pool.fetchval("select pg_current_xact_id()::text::bigint")
    of = AppId(message["app_id"]), MessageId(message["id"])
    return await replay(facts, of, changes, at_least_xid=xid, samples=5)


async def test_the_same_rules_change_nothing(planned: Store, short_dir: Path) -> None:
    """Whatever they were: caps, holds, people who are left out."""
    await planned.pool.execute("update app set quiet_hours = $1", ALL_DAY)
    await plan(planned, 3)
    async with facts_of(planned.pool, short_dir) as facts:
        for number in (1, 2, 3):
            found = await again(planned, facts, number, {})
            assert (found.considered, found.changed) == (PEOPLE, 0)
            assert not found.moves
            assert not found.samples
            ((before, after),) = found.policies
            assert before == after


async def test_other_rules_say_who_would_have_been_treated_differently(
    planned: Store, short_dir: Path
) -> None:
    """By what was decided and what would have been, with both told for some of them."""
    async with facts_of(planned.pool, short_dir) as facts:
        uncapped = await again(planned, facts, 2, {"caps": []})
        quiet = await again(
            planned,
            facts,
            1,
            {"quiet_hours": {"windows": [{"from": "10:00", "to": "15:00"}], "action": "hold"}},
        )
        wider = await again(planned, facts, 2, {"caps": [{"count": 2, "per": "7d"}]})
    reached = PEOPLE - OPTED_OUT
    assert uncapped.counts == Counter({(CAPPED, SENT): reached})
    assert quiet.counts == Counter({(SENT, HELD): reached})
    assert wider.counts == uncapped.counts
    sample = uncapped.samples[0]
    assert (sample.before, sample.after) == (CAPPED, SENT)
    assert "The caps had counted 1 of 1 per 7d" in sample.told_before
    assert "it was due at once" in sample.told_after


async def test_a_later_hour_is_a_difference_too(planned: Store, short_dir: Path) -> None:
    """The reason is the same, the moment is not."""
    await planned.pool.execute("update app set quiet_hours = $1, caps = null", ALL_DAY)
    await plan(planned, 3)
    later = {"windows": [{"from": "10:00", "to": "16:00"}], "action": "hold"}
    async with facts_of(planned.pool, short_dir) as facts:
        found = await again(planned, facts, 3, {"quiet_hours": later})
    assert found.counts == Counter({(HELD, HELD): PEOPLE - OPTED_OUT})


async def test_rules_that_cannot_be_are_refused_with_their_place(
    planned: Store, short_dir: Path
) -> None:
    """Another category's consent is not on record either."""
    async with facts_of(planned.pool, short_dir) as facts:
        wrong: list[tuple[dict[str, object], str]] = [
            ({"cap": []}, "/cap"),
            ({"caps": [{"count": 0, "per": "1d"}]}, "/caps/0"),
            ({"category": {"slot": 2}}, "/category/slot"),
        ]
        for changes, path in wrong:
            with pytest.raises(PolicyError) as refused:
                await again(planned, facts, 1, changes)
            assert refused.value.path == path


async def test_recorded_decisions_come_back_as_they_were(planned: Store, short_dir: Path) -> None:
    """Every column, counters and flags too."""
    row = await planned.pool.fetchrow("select * from chunk where kind = 3 order by id limit 1")
    written = unpacked(row["rows"])
    async with facts_of(planned.pool, short_dir) as facts:
        of = AppId(row["app_id"]), MessageId(row["message_ids"][0])
        xid = await planned.pool.fetchval("select pg_current_xact_id()::text::bigint")
        pieces = [piece async for piece in facts.decided(*of, at_least_xid=xid)]
        nobody = MessageId("00000000-0000-0000-0000-0000000000ff")
        nothing = [piece async for piece in facts.decided(of[0], nobody, at_least_xid=xid)]
    read = np.concatenate([piece.rows for piece in pieces])
    assert np.array_equal(np.sort(read, order="user"), np.sort(written, order="user"))
    assert pieces[0].policy["category"]["slug"] == "news"  # type: ignore[index]  # JSON
    assert not nothing
