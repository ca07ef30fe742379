"""Caps hold however many campaigns are planned for the same people at the same time."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, time, timedelta

import numpy as np
import pytest
from tests.line.conftest import Store

from clarion.adapters.content.graphemes import clusters
from clarion.adapters.content.liquid import LiquidEngine
from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.state.digests import PostgresDigestDesk
from clarion.adapters.state.frequency import PostgresFrequencyBook
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.recipient_columns import decode
from clarion.adapters.state.segments import PostgresSegments
from clarion.adapters.system import SystemChance
from clarion.domain.app_rules import Moment
from clarion.domain.campaign import MessageInput
from clarion.domain.decided import unpacked
from clarion.domain.decision_row import Action
from clarion.domain.outcome import Reason
from clarion.domain.send_time import AtLocal, instant_us
from clarion.ports.messages import NewMessage, Target
from clarion.stages.authoring.preparing import Renderer, Tools
from clarion.stages.planning.plan import plan_next
from clarion.stages.planning.ports import PlanningPorts
from clarion.telemetry.metrics import Metrics
from clarion.testing.clock import ManualClock

PEOPLE = 200
TOOLS = Tools(engine=LiquidEngine(), clusters=clusters, providers={})
CAMPAIGNS = 10
CAP = 3
LATER = AtLocal(clock=time(18))
"""Six hours after the store's now."""


def ports(store: Store, pool: object = None, now: datetime | None = None) -> PlanningPorts:
    """A planner of its own: nothing is shared with another but the store."""
    clock, pool = ManualClock(now or store.now), pool or store.pool
    return PlanningPorts(
        line=PostgresPlanLine(pool),
        audience=FactsClient("nobody.sock", clock),  # type: ignore[arg-type]  # nobody asks it
        frequency=PostgresFrequencyBook(pool),
        segments=PostgresSegments(pool),
        words=Renderer(TOOLS),
        digests=PostgresDigestDesk(pool, SystemChance()),
        clock=clock,
        metrics=Metrics(),
    )


async def rule(store: Store, caps: Sequence[dict[str, object]]) -> None:
    """Caps of the app, and a category that they bind without an opt-in."""
    await store.pool.execute("update app set caps = $1", json.dumps(caps).encode())
    await store.pool.execute(
        """insert into category (app_id, slug, name, kind, slot, can_opt_out, default_state,
                                 caps_apply, quiet_applies, created_at)
           values ($1, 'news', 'News', 4, 5, false, 1, true, true, $2)""",
        store.app,
        store.now,
    )


def everybody(store: Store, number: int, **changes: object) -> NewMessage:
    """A message to all of the people by their names."""
    fields: dict[str, object] = {"category": "news", **changes}
    moment = fields.pop("moment", Moment())
    made = store.message(number, Target(users=[f"u{n}" for n in range(PEOPLE)]), **fields)
    return replace(made, moment=moment)  # type: ignore[arg-type]  # a moment


async def plan_all(planner: PlanningPorts) -> None:
    """Plan whatever there is."""
    while await plan_next(planner, "p"):
        pass


async def sendings(store: Store) -> Counter[int]:
    """How many messages each person is to get, by the batches."""
    blobs = await store.pool.fetch("select recipients from batch where state <> 4")
    return Counter(user for row in blobs for user in decode(row["recipients"]).user.tolist())


async def decisions(store: Store) -> np.ndarray:
    """Every recorded decision."""
    rows = await store.pool.fetch("select rows from chunk where kind = 3 order by id")
    return np.concatenate([unpacked(row["rows"]) for row in rows])


@pytest.fixture
async def capped(store: Store) -> Store:
    """People under a cap of three messages a week."""
    await store.add_people(PEOPLE)
    await rule(store, [{"count": CAP, "per": "7d"}])
    return store


async def test_no_person_exceeds_a_cap_while_ten_campaigns_race(
    capped: Store, database_url: str
) -> None:
    """Four planners, each with connections of its own, plan ten campaigns to the same people."""
    journal = PostgresJournal(capped.pool)
    for number in range(CAMPAIGNS):
        await journal.accept(everybody(capped, number + 1), capped.now)
    await PostgresPlanLine(capped.pool).expand_due(capped.now, limit=100)
    pools = [await open_pool(database_url) for _ in range(4)]
    try:
        planners = [ports(capped, pool) for pool in pools]
        for _ in range(20):
            await asyncio.gather(*(plan_all(planner) for planner in planners))
            for planner in planners:
                planner.clock.advance(1)  # type: ignore[attr-defined]  # a manual clock
            if not await capped.pool.fetchval("select count(*) from shard"):
                break
    finally:
        for pool in pools:
            await pool.close()

    got = await sendings(capped)
    assert len(got) == PEOPLE
    assert set(got.values()) == {CAP}, "exactly the cap: nobody more, nobody less"
    said = await decisions(capped)
    capped_rows = int((said["reason"] == Reason.FREQUENCY_CAPPED).sum())
    assert capped_rows == PEOPLE * (CAMPAIGNS - CAP)
    assert await capped.pool.fetchval("select max(version) from cap_range") == CAMPAIGNS


async def test_what_a_withdrawn_message_did_not_send_does_not_count(capped: Store) -> None:
    """Its held entries are later than its withdrawal."""
    journal, messages = PostgresJournal(capped.pool), PostgresMessages(capped.pool)
    planner = ports(capped)
    for number in range(CAP):
        held = Moment(local=LATER)
        await journal.accept(everybody(capped, number + 1, moment=held), capped.now)
    await planner.line.expand_due(capped.now, limit=10)
    await plan_all(planner)
    for number in range(CAP):
        made = everybody(capped, number + 1).message.id
        await messages.steer(capped.app, made, MessageInput.CANCEL, capped.later(1))
    await journal.accept(everybody(capped, 9), capped.now)
    await planner.line.expand_due(capped.now, limit=10)
    await plan_all(planner)

    said = await decisions(capped)
    assert (said["action"][-PEOPLE:] == Action.SEND).all()


async def test_a_more_important_message_takes_a_held_ones_place(capped: Store) -> None:
    """The less important one's entry no longer counts once the other has gone out."""
    journal, planner = PostgresJournal(capped.pool), ports(capped)
    for number in range(CAP):
        held = Moment(local=LATER, importance=1)
        await journal.accept(everybody(capped, number + 1, moment=held), capped.now)
    await planner.line.expand_due(capped.now, limit=10)
    await plan_all(planner)
    await journal.accept(everybody(capped, 9, moment=Moment(importance=9)), capped.now)
    await planner.line.expand_due(capped.now, limit=10)
    await plan_all(planner)

    gone = await capped.pool.fetch("select people, winner from gave_way")
    people = np.concatenate([np.frombuffer(row["people"], "<i8") for row in gone])
    assert len(people) == len(np.unique(people)) == PEOPLE
    since = capped.now - timedelta(days=8)
    usage = await planner.frequency.read(capped.app, (0, 1024), since)
    assert set(Counter(usage.ledger.user.tolist()).values()) == {CAP + 1}
    await capped.pool.execute("update gave_way set gone = people")
    usage = await planner.frequency.read(capped.app, (0, 1024), since)
    assert set(Counter(usage.ledger.user.tolist()).values()) == {CAP}

    much_later = capped.now + timedelta(days=60)
    for _ in range(2):  # what is still held keeps its mark
        await planner.frequency.sort_in(much_later, at_once=100)
        assert await capped.pool.fetchval("select count(*) from gave_way") == len(gone)
    await capped.pool.execute("update batch set state = 4, leased_until = $1", capped.now)
    await planner.frequency.sort_in(much_later, at_once=100)
    assert await capped.pool.fetchval("select count(*) from gave_way") == 0


async def test_what_no_cap_could_stop_is_counted_and_sorted_in_later(capped: Store) -> None:
    """A transactional message counts; its entries come to where their people's are looked up."""
    journal, planner = PostgresJournal(capped.pool), ports(capped)
    one = store_message(capped, 1)
    await journal.accept(one, capped.now)
    await planner.line.expand_due(capped.now, limit=10)
    await plan_all(planner)
    since = capped.now - timedelta(days=1)
    before = await planner.frequency.read(capped.app, (0, 1024), since)

    assert await planner.frequency.sort_in(capped.later(60), at_once=10) == 1

    after = await planner.frequency.read(capped.app, (0, 1024), since)
    assert before.ledger.user.tolist() == after.ledger.user.tolist()
    assert await capped.pool.fetchval("select min(range) from frequency_ledger") >= 0
    assert after.ledger.at_us.tolist() == [instant_us(capped.now)]


async def test_a_withdrawn_message_s_loose_entries_do_not_count(capped: Store) -> None:
    """Sorted in, they are still its own."""
    journal, planner = PostgresJournal(capped.pool), ports(capped)
    made = replace(store_message(capped, 1), moment=Moment(local=LATER))
    await journal.accept(made, capped.now)
    await planner.line.expand_due(capped.now, limit=10)
    await plan_all(planner)
    assert await capped.pool.fetchval("select range from frequency_ledger") == -1
    messages = PostgresMessages(capped.pool)
    await messages.steer(capped.app, made.message.id, MessageInput.CANCEL, capped.later(1))
    assert await planner.frequency.sort_in(capped.later(60), at_once=10) == 1

    usage = await planner.frequency.read(capped.app, (0, 1024), capped.now - timedelta(days=1))
    assert len(usage.ledger) == 0


async def test_what_a_cap_puts_off_is_sent_at_the_instant_that_was_recorded(store: Store) -> None:
    """A whole minute, at which the cap permits it: by decision, ledger and batch alike."""
    await store.add_people(PEOPLE)
    await rule(store, [{"count": 1, "per": "24h", "action": "defer"}])
    journal = PostgresJournal(store.pool)
    sent_at = store.later(17.25)
    for number, second in ((1, 17.25), (2, 30), (3, 40)):
        planner = ports(store, now=store.later(second))
        await journal.accept(everybody(store, number), store.now)
        await planner.line.expand_due(store.later(second), limit=10)
        await plan_all(planner)

    first = store.now + timedelta(days=1, minutes=1)
    due = [first, first + timedelta(days=1)]
    rows = await store.pool.fetch("select distinct run_at from batch order by run_at")
    assert [row["run_at"] for row in rows] == [sent_at, *due]
    said = await decisions(store)
    held = said[said["reason"] == Reason.HELD_FOR_CAP]
    assert np.unique(held["send_us"]).tolist() == [instant_us(at) for at in due]
    usage = await ports(store).frequency.read(store.app, (0, 1024), store.now)
    assert np.unique(usage.ledger.at_us).tolist() == [instant_us(at) for at in (sent_at, *due)]


def store_message(store: Store, number: int) -> NewMessage:
    """A transactional message to one person."""
    return store.message(number, Target(users=["u1"]))


async def test_an_app_without_caps_writes_nothing_down(store: Store) -> None:
    """Nobody counts it."""
    await store.add_people(PEOPLE)
    await rule(store, [])
    planner = ports(store)
    await PostgresJournal(store.pool).accept(everybody(store, 1), store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)

    assert await store.pool.fetchval("select count(*) from frequency_ledger") == 0
    assert len(await sendings(store)) == PEOPLE
