"""A shard that can't be planned is told, comes again, and stands in nobody's way."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from tests.line.conftest import Store
from tests.line.test_plan_line import accept
from tests.line.test_send_line import state_of
from typing_extensions import override

from clarion.adapters.content.graphemes import clusters
from clarion.adapters.content.liquid import LiquidEngine
from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.state.digests import PostgresDigestDesk
from clarion.adapters.state.frequency import PostgresFrequencyBook
from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.segments import PostgresSegments
from clarion.adapters.state.upkeep import PostgresUpkeep
from clarion.adapters.system import SystemChance
from clarion.domain.campaign import MessageInput, MessageState
from clarion.domain.lanes import Lane
from clarion.ports.audience import AUDIENCE_SCHEMA, AudiencePiece, AudienceScan
from clarion.ports.messages import Target
from clarion.stages.authoring.preparing import Renderer, Tools
from clarion.stages.planning.plan import plan_next
from clarion.stages.planning.ports import PlanningPorts
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import LogEvent
from clarion.testing.clock import ManualClock

BROKEN = """
insert into batch (key, app_id, lane, network, credential_id, message_ids, size, run_at,
                   planned_xid, recipients)
select id || ':0:0', app_id, 2, 1, (select min(id) from credential), array[id], 0, $1, 0, ''
from message
"""
"""Takes the key of the batch that planning would make."""


TOOLS = Tools(engine=LiquidEngine(), clusters=clusters, providers={})


@pytest.fixture
async def planner(store: Store, tmp_path: Path) -> "Planner":
    """A planner whose facts do not answer, and two people."""
    await store.add_people(2)
    return Planner(store, tmp_path)


class WatchedClock(ManualClock):
    """A clock that knows who sleeps by it.

    Attributes:
        asleep: how many.
        dozing: how many of them only for a moment.
    """

    asleep = dozing = 0

    @override
    async def sleep(self, seconds: float) -> None:
        short = seconds < 1
        self.asleep, self.dozing = self.asleep + 1, self.dozing + short
        try:
            await super().sleep(seconds)
        finally:
            self.asleep, self.dozing = self.asleep - 1, self.dozing - short


class Planner:
    """Plans one shard at a time."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self.clock = WatchedClock(store.now)
        self.line = PostgresPlanLine(store.pool)
        self.facts = FactsClient(folder / "nobody.sock", self.clock)
        self.ports = PlanningPorts(
            line=self.line,
            audience=self.facts,
            frequency=PostgresFrequencyBook(store.pool),
            segments=PostgresSegments(store.pool),
            words=Renderer(TOOLS),
            digests=PostgresDigestDesk(store.pool, SystemChance()),
            clock=self.clock,
            metrics=Metrics(),
        )

    async def expand(self) -> None:
        """Make shards."""
        await self.line.expand_due(self.clock.now(), limit=10)

    async def plan(self) -> bool:
        """Plan the next shard."""
        planning = asyncio.create_task(plan_next(self.ports, "p"))
        while not planning.done():
            await asyncio.sleep(0.001)
            if self.clock.dozing:  # a question to the store takes no time by our clock
                self.clock.advance(0.1)
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


UNREADABLE = """
update message set target = '{"orbit": {"apogee": 1}, "users": 7}' where id = $1::text::uuid
"""


async def test_a_shard_that_nobody_can_read_is_held_and_stands_in_nobodys_way(
    planner: Planner, caplog: pytest.LogCaptureFixture
) -> None:
    """A newer version wrote it: it is told once for each shard, and the planner goes on."""
    unreadable = planner.store.message(1, Target()).message.id
    await accept(planner.store, 1, Target(users=["u0"]), lane=Lane.TRANSACTIONAL)
    await accept(planner.store, 2, Target(users=["u1"]))
    await planner.store.pool.execute(UNREADABLE, unreadable)
    await planner.expand()

    assert [await planner.plan() for _ in range(3)] == [True, True, False]

    assert await planner.store.pool.fetchval("select size from batch") == 1
    row = await planner.store.pool.fetchrow("select message_id::text, state, trouble from shard")
    assert tuple(row)[:2] == (unreadable, 3)
    assert "users" in row["trouble"]
    told = [r for r in caplog.records if LogEvent.SHARD_POISONED in str(vars(r))]
    assert len(told) == 1
    assert await PostgresUpkeep(planner.store.pool).held_shards() == 1


async def test_what_could_not_be_read_is_tried_again_by_the_next_planner(
    planner: Planner,
) -> None:
    """It may be the newer version; a paused message's shards stay held."""
    await accept(planner.store, 1, Target(users=["u0"]))
    await accept(planner.store, 2, Target(users=["u1"]))
    first, second = (planner.store.message(n, Target()).message.id for n in (1, 2))
    readable = await planner.store.pool.fetchval(
        "select target::text from message where id = $1::text::uuid", first
    )
    await planner.store.pool.execute(UNREADABLE, first)
    await planner.store.pool.execute("update message set send_at = send_at - interval '1 hour'")
    await planner.expand()
    await PostgresMessages(planner.store.pool).steer(
        planner.store.app, second, MessageInput.PAUSE, planner.store.now
    )
    assert await planner.plan()
    assert not await planner.plan()

    await planner.store.pool.execute(
        "update message set target = $2::text::jsonb where id = $1::text::uuid", first, readable
    )
    assert await planner.line.readmit() == 1
    assert await planner.plan()
    assert not await planner.plan()

    assert await planner.store.pool.fetchval("select message_ids[1]::text from batch") == first


async def test_a_message_that_nobody_can_read_can_be_withdrawn(planner: Planner) -> None:
    """It ends like any other."""
    await accept(planner.store, 1, Target(users=["u0"]))
    message = planner.store.message(1, Target()).message.id
    await planner.store.pool.execute(UNREADABLE, message)
    await planner.expand()
    while await planner.plan():
        pass
    await PostgresMessages(planner.store.pool).steer(
        planner.store.app, message, MessageInput.CANCEL, planner.store.now
    )
    assert await state_of(planner.store) is MessageState.CANCELED


async def test_a_shard_that_waits_says_why(planner: Planner) -> None:
    """The columns are away."""
    await accept(planner.store, 1, Target(everybody=True))
    await planner.expand()
    assert await planner.plan()

    message = planner.store.message(1, Target()).message.id
    record = await PostgresMessages(planner.store.pool).get(planner.store.app, message)
    assert record is not None
    assert "owner of the facts" in str(record.trouble)


async def test_named_people_do_not_wait_behind_everybody(planner: Planner) -> None:
    """Each kind is taken by its own hand, however urgent the other is."""
    await accept(planner.store, 1, Target(everybody=True), lane=Lane.CALL)
    await accept(planner.store, 2, Target(users=["u1"]), lane=Lane.BULK)
    await planner.expand()

    named = await planner.line.claim_shard("p/named", planner.store.now, 60, named=True)
    broad = await planner.line.claim_shard("p/all", planner.store.now, 60, named=False)

    assert named is not None
    assert broad is not None
    assert (named.target.everybody, broad.target.everybody) == (False, True)
    assert await planner.line.claim_shard("p/named", planner.store.now, 60, named=True) is None


async def test_a_dead_planner_gives_back_what_both_its_hands_hold(planner: Planner) -> None:
    """The supervisor knows only the process."""
    await accept(planner.store, 1, Target(users=["u1"]))
    await planner.expand()
    await planner.line.claim_shard("p/named", planner.store.now, 60, named=True)

    assert await PostgresHousekeeping(planner.store.pool).abandon("p") == 1


async def test_a_shard_keeps_its_lease_while_it_is_planned(planner: Planner) -> None:
    """However long the columns take: nobody else plans it meanwhile."""
    await accept(planner.store, 1, Target(everybody=True))
    await planner.expand()
    await planner.store.pool.execute("delete from shard where low > 0")
    slow = SlowAudience(planner.clock, 300)
    clock = planner.clock
    ports = replace(planner.ports, audience=slow)
    planning = asyncio.create_task(plan_next(ports, "p"))
    taken_back = 0
    while not planning.done():
        if clock.asleep < 2:  # the columns, and who renews the lease: one of them is at work
            await asyncio.sleep(0.001)
            continue
        clock.advance(5)
        taken_back += await PostgresHousekeeping(planner.store.pool).sweep(clock.now())

    assert await planning
    assert taken_back == 0
    assert await planner.store.pool.fetchval("select count(*) from shard") == 0


class SlowAudience:
    """Columns without anybody, which take their time."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self.clock = clock
        self.seconds = seconds

    async def scan(self, scan: AudienceScan) -> AsyncIterator[AudiencePiece]:
        """One empty piece, late."""
        del scan
        await self.clock.sleep(self.seconds)
        yield AudiencePiece(xid=1, rows=pl.DataFrame(schema=AUDIENCE_SCHEMA))

    async def version(self) -> int:
        """Anything."""
        return 1
