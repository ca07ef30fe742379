"""A message that is refused when somebody lacks a variable is refused before anything is sent."""

from collections.abc import AsyncIterator
from dataclasses import replace

import polars as pl
import pytest
from tests.line.conftest import Store
from tests.line.test_caps import PEOPLE, decisions, plan_all, ports, rule

from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.domain.campaign import MessageInput, MessageState
from clarion.domain.content import Content, MissingVariable, Wording
from clarion.domain.ids import MessageId
from clarion.domain.outcome import Reason
from clarion.ports.audience import AudiencePiece, AudienceScan
from clarion.ports.messages import MessageRecord, NewMessage, Target
from clarion.stages.planning.plan import plan_next
from clarion.stages.planning.ports import PlanningPorts

WORDING = Wording(missing=MissingVariable.FAIL)
CONTENT = Content(title="Hello {{ user.first_name }}")


class Registry:
    """The columns as the registry has them."""

    def __init__(self, planner: PlanningPorts, store: Store) -> None:
        self.planner, self.store = planner, store

    async def scan(self, scan: AudienceScan) -> AsyncIterator[AudiencePiece]:
        """The people of the range."""
        names = Target(users=[f"u{n}" for n in range(PEOPLE)])
        found = await self.planner.line.resolve(self.store.app, names, scan.fields)
        bucket = pl.col("user") % 1024
        rows = found.rows.filter((bucket >= scan.low) & (bucket < scan.high))
        yield AudiencePiece(xid=found.xid, rows=rows)

    async def version(self) -> int:
        """Not asked."""
        return 0


@pytest.fixture
async def planner(store: Store) -> PlanningPorts:
    """People with names; the last one has none."""
    await store.add_people(PEOPLE)
    await rule(store, [])
    await store.pool.execute('update users set attributes = \'{"first_name": "Ann"}\'')
    await store.pool.execute("update users set attributes = '{}' where external_id = 'u199'")
    found = ports(store)
    return replace(found, audience=Registry(found, store))


async def accept(planner: PlanningPorts, made: NewMessage, store: Store) -> MessageId:
    """Accept a message, and cut it into shards."""
    made = replace(made, message=replace(made.message, wording=WORDING))
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    return made.message.id


def to_everybody(store: Store) -> NewMessage:
    """A message whose words need a name."""
    return store.message(1, Target(everybody=True), category="news", content=CONTENT)


async def record(store: Store, message: MessageId) -> MessageRecord:
    """The message as the API tells it."""
    found = await PostgresMessages(store.pool).get(store.app, message)
    assert found is not None
    return found


async def count(store: Store, table: str) -> int:
    """Rows of a table of the line."""
    questions = {
        "shard": "select count(*) from shard",
        "batch": "select count(*) from batch",
        "chunk": "select count(*) from chunk",
    }
    return int(await store.pool.fetchval(questions[table]))


async def test_nothing_is_sent_to_anybody_when_one_misses_a_word(
    planner: PlanningPorts, store: Store
) -> None:
    """Their shard is the last of many: the message waits, paused, with the reason."""
    message = await accept(planner, to_everybody(store), store)
    assert await count(store, "shard") > 1
    await plan_all(planner)

    found = await record(store, message)
    assert found.state is MessageState.PAUSED
    assert found.trouble is not None
    assert found.trouble.startswith("1 recipient has no value for `user.first_name` (1)")
    assert (await count(store, "batch"), await count(store, "chunk")) == (0, 0)


async def test_it_goes_out_when_the_value_is_there(planner: PlanningPorts, store: Store) -> None:
    """Resumed, it is looked through anew."""
    message = await accept(planner, to_everybody(store), store)
    await plan_all(planner)
    messages = PostgresMessages(store.pool)
    await messages.steer(store.app, message, MessageInput.RESUME, store.now)
    await plan_all(planner)
    assert (await record(store, message)).state is MessageState.PAUSED

    await store.pool.execute('update users set attributes = \'{"first_name": "Bob"}\'')
    await messages.steer(store.app, message, MessageInput.RESUME, store.now)
    await plan_all(planner)

    found = await record(store, message)
    assert (found.state, found.trouble) == (MessageState.SENDING, None)
    assert await store.pool.fetchval("select sum(size) from batch") == PEOPLE


async def test_it_can_be_withdrawn_instead(planner: PlanningPorts, store: Store) -> None:
    """Nobody was chosen: it ends at once."""
    message = await accept(planner, to_everybody(store), store)
    await plan_all(planner)
    state = await PostgresMessages(store.pool).steer(
        store.app, message, MessageInput.CANCEL, store.now
    )
    assert state is MessageState.CANCELED
    assert await count(store, "shard") == 0


async def test_named_recipients_are_refused_together_too(
    planner: PlanningPorts, store: Store
) -> None:
    """They are one shard, which is not committed."""
    named = replace(to_everybody(store), target=Target(users=["u1", "u199"]))
    message = await accept(planner, named, store)
    await plan_all(planner)
    assert (await record(store, message)).state is MessageState.PAUSED
    assert await count(store, "batch") == 0


async def test_who_loses_the_value_once_others_are_sent_to_is_left_out(
    planner: PlanningPorts, store: Store
) -> None:
    """What is on its way can't be refused any more."""
    await store.pool.execute('update users set attributes = \'{"first_name": "Ann"}\'')
    message = await accept(planner, to_everybody(store), store)
    while await count(store, "batch") == 0:
        assert await plan_next(planner, "p")
    await store.pool.execute("update users set attributes = '{}'")
    await plan_all(planner)

    assert (await record(store, message)).state is MessageState.SENDING
    assert await count(store, "shard") == 0
    said = await decisions(store)
    assert len(said) == PEOPLE
    assert Reason.VARIABLE_MISSING in said["reason"]
