"""A shard that can't be planned is told, comes again, and stands in nobody's way."""

import asyncio
from pathlib import Path

import pytest
from tests.line.conftest import Store
from tests.line.test_plan_line import accept
from tests.line.test_send_line import state_of

from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.domain.campaign import MessageInput, MessageState
from clarion.domain.lanes import Lane
from clarion.ports.messages import Target
from clarion.stages.planning.plan import plan_next
from clarion.telemetry.metrics import Metrics
from clarion.testing.clock import ManualClock

BROKEN = """
insert into batch (key, app_id, lane, network, credential_id, message_ids, size, run_at,
                   planned_xid, recipients)
select id || ':0:0', app_id, 2, 1, (select min(id) from credential), array[id], 0, $1, 0, ''
from message
"""
"""Takes the key of the batch that planning would make."""


@pytest.fixture
async def planner(store: Store, tmp_path: Path) -> "Planner":
    """A planner whose facts do not answer, and two people."""
    await store.add_people(2)
    return Planner(store, tmp_path)


class Planner:
    """Plans one shard at a time."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.clock = ManualClock(store.now)
        self.line = PostgresPlanLine(store.pool)
        self.facts = FactsClient(folder / "nobody.sock", self.clock)

    async def expand(self) -> None:
        """Make shards."""
        await self.line.expand_due(self.clock.now(), limit=10)

    async def plan(self) -> bool:
        """Plan the next shard."""
        planning = asyncio.create_task(plan_next(self.line, self.facts, self.clock, "p", Metrics()))
        while not planning.done():  # it sleeps by our clock
            await asyncio.sleep(0.001)
            self.clock.advance(0.01)
        return await planning


async def test_a_shard_that_fails_lets_others_go_first(planner: Planner) -> None:
    """One message that can't be planned does not stop everybody's."""
    await accept(planner.store, 1, Target(users=["u0"]), lane=Lane.TRANSACTIONAL)
    await planner.store.pool.execute(BROKEN, planner.store.now)
    await accept(planner.store, 2, Target(users=["u1"]))
    await planner.expand()

    assert await planner.plan()
    assert await planner.plan()

    planned = await planner.store.pool.fetchval("select count(*) from batch where size > 0")
    assert planned == 1


async def test_a_shard_that_fails_comes_again_later_and_later(planner: Planner) -> None:
    """Nothing is given up behind the operator's back."""
    await accept(planner.store, 1, Target(users=["u0"]))
    await planner.store.pool.execute(BROKEN, planner.store.now)
    await planner.expand()
    waits = []
    for _ in range(10):
        assert await planner.plan()
        run_at = await planner.store.pool.fetchval("select run_at from shard where state = 1")
        waits.append(int((run_at - planner.clock.now()).total_seconds() + 0.99))
        planner.clock.advance(waits[-1])

    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300, 300]
    await planner.store.pool.execute("delete from batch")
    assert await planner.plan()
    assert await planner.store.pool.fetchval("select size from batch") == 1


async def test_a_message_that_can_not_be_planned_can_be_withdrawn(planner: Planner) -> None:
    """Also while a planner tries."""
    await accept(planner.store, 1, Target(everybody=True))
    await planner.expand()
    message = planner.store.message(1, Target()).message.id
    claimed = await planner.line.claim_shard("p", planner.store.now, 60)
    assert claimed is not None
    await PostgresMessages(planner.store.pool).steer(
        planner.store.app, message, MessageInput.CANCEL, planner.store.now
    )
    assert await state_of(planner.store) is MessageState.CANCELING

    await planner.line.postpone(claimed, planner.store.later(60), planner.store.now)

    assert await state_of(planner.store) is MessageState.CANCELED


async def test_a_shard_of_a_paused_message_is_held(planner: Planner) -> None:
    """Given back during a pause, it comes again with the resume."""
    await accept(planner.store, 1, Target(everybody=True))
    await planner.expand()
    message = planner.store.message(1, Target()).message.id
    claimed = await planner.line.claim_shard("p", planner.store.now, 60)
    assert claimed is not None
    await PostgresMessages(planner.store.pool).steer(
        planner.store.app, message, MessageInput.PAUSE, planner.store.now
    )

    await planner.line.postpone(claimed, planner.store.now, planner.store.now)

    assert await planner.line.claim_shard("p", planner.store.later(60), 60) is None


async def test_without_facts_named_people_are_planned(planner: Planner) -> None:
    """Only messages for everybody wait for the columns."""
    await accept(planner.store, 1, Target(everybody=True), lane=Lane.TRANSACTIONAL)
    await accept(planner.store, 2, Target(users=["u1"]))
    await planner.expand()
    await planner.store.pool.execute("delete from shard where low > 0")

    assert await planner.plan()
    assert await planner.plan()

    assert await planner.store.pool.fetchval("select size from batch") == 1
    assert await planner.store.pool.fetchval("select state from shard where lane = 1") == 1
