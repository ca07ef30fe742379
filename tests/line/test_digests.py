"""Messages gathered for people who want them once a day, sent as one."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from tests.line.conftest import Store
from tests.line.test_caps import PEOPLE, everybody, plan_all, ports, rule

from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.recipient_columns import decode
from clarion.domain.handoffs import Recipients
from clarion.domain.ids import UserId
from clarion.ports.audience import AudiencePiece, AudienceScan
from clarion.ports.messages import Target
from clarion.stages.planning.ports import PlanningPorts


class Registry:
    """The columns as the registry has them."""

    def __init__(self, planner: PlanningPorts, store: Store) -> None:
        self.planner, self.store = planner, store

    async def scan(self, scan: AudienceScan) -> AsyncIterator[AudiencePiece]:
        """The people of the range."""
        names = [f"u{n}" for n in range(PEOPLE)]
        found = await self.planner.line.resolve(self.store.app, Target(users=names))
        bucket = pl.col("user") % 1024
        rows = found.rows.filter((bucket >= scan.low) & (bucket < scan.high))
        yield AudiencePiece(xid=found.xid, rows=rows)

    async def version(self) -> int:
        """Not asked."""
        return 0


@pytest.fixture
async def planner(store: Store) -> PlanningPorts:
    """People who want a category of which they can opt out; every other one once a day."""
    await store.add_people(PEOPLE)
    await rule(store, [])
    await store.pool.execute("update category set can_opt_out = true where slug = 'news'")
    await store.pool.execute("update users set granted = 32, daily = 32 where id % 2 = 0")
    await store.pool.execute("update users set granted = 32 where id % 2 = 1")
    found = ports(store)
    return replace(found, audience=Registry(found, store))


async def send(planner: PlanningPorts, store: Store, *numbers: int) -> None:
    """Accept and plan messages."""
    for number in numbers:
        made = everybody(store, number)
        titled = replace(made.message.content, title=f"Story {number}")
        made = replace(made, message=replace(made.message, content=titled))
        await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)


async def digests(store: Store) -> list[Recipients]:
    """What was planned of digests."""
    rows = await store.pool.fetch(
        """select b.recipients from batch b join message m on m.id = b.message_ids[1]
           where m.policy ->> 'digest' = 'true'"""
    )
    return [decode(row["recipients"]) for row in rows]


async def test_two_messages_become_one_for_whoever_wants_it_so(
    planner: PlanningPorts, store: Store
) -> None:
    """Once, with both titles, when the window closes; the others had them at once."""
    await send(planner, store, 1, 2)
    due = store.now + timedelta(hours=6)
    assert await planner.digests.open_due(due - timedelta(seconds=1), at_once=10) == 0

    made = await asyncio.gather(*(planner.digests.open_due(due, at_once=10) for _ in range(3)))
    await planner.line.expand_due(due, limit=10)
    planner.clock.advance(6 * 3600)  # type: ignore[attr-defined]  # a manual clock
    await plan_all(planner)

    assert sum(made) == 1
    found = await digests(store)
    people = sorted(user for part in found for user in part.user.tolist())
    wanting = await store.pool.fetch("select id from users where daily <> 0 order by id")
    assert people == [row["id"] for row in wanting]
    assert {part.merge[0][0] for part in found if part.merge} == {"News (2)"}
    assert {part.merge[1][0] for part in found if part.merge} == {"Story 2\nStory 1"}


async def test_a_message_and_the_digest_that_has_it_name_each_other(
    planner: PlanningPorts, store: Store
) -> None:
    """For whoever has a part in it; for others neither says anything."""
    messages = PostgresMessages(store.pool)
    daily, other = [
        UserId(await store.pool.fetchval("select min(id) from users where id % 2 = $1", rest))
        for rest in (0, 1)
    ]
    await send(planner, store, 1, 2)
    due = store.now + timedelta(hours=6)
    ids = [everybody(store, number).message.id for number in (1, 2)]

    waits = await messages.digest_parts(ids[0], daily)
    assert (waits.due_at, waits.digest, list(waits.items)) == (due, None, [])

    await planner.digests.open_due(due, at_once=10)
    made = await store.pool.fetchval(
        "select id::text from message where policy ->> 'digest' = 'true'"
    )
    for one in ids:
        assert (await messages.digest_parts(one, daily)).digest == made
        assert (await messages.digest_parts(one, other)).due_at is None
    assert list((await messages.digest_parts(made, daily)).items) == ids
    assert not (await messages.digest_parts(made, other)).items


async def test_parts_go_with_the_digest_that_took_them(
    planner: PlanningPorts, store: Store
) -> None:
    """Not while its message is there, and never before there is one."""
    await send(planner, store, 1)
    due, later = store.now + timedelta(hours=6), store.now + timedelta(days=40)
    await planner.digests.open_due(due, at_once=10)
    await planner.digests.open_due(later, at_once=10)
    assert await store.pool.fetchval("select count(*) from digest_item") > 0
    await store.pool.execute("delete from message where policy ->> 'digest' = 'true'")
    await planner.digests.open_due(later, at_once=10)
    assert await store.pool.fetchval("select count(*) from digest_item") == 0


async def test_a_single_gathered_message_keeps_its_title(
    planner: PlanningPorts, store: Store
) -> None:
    """Nobody is told of one thing as of several."""
    await send(planner, store, 1)
    due = store.now + timedelta(hours=6)
    await planner.digests.open_due(due, at_once=10)
    await planner.line.expand_due(due, limit=10)
    planner.clock.advance(6 * 3600)  # type: ignore[attr-defined]  # a manual clock
    await plan_all(planner)

    assert {part.merge[0][0] for part in await digests(store) if part.merge} == {"Story 1"}
