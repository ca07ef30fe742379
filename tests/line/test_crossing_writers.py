"""Senders and steering while somebody else writes to the same rows in another order."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

import asyncpg
from tests.line.conftest import Store, one_waits
from tests.line.test_caps import rule
from tests.line.test_rates_on_the_wire import lease
from tests.line.test_rates_on_the_wire import planned as planned_under_rates
from tests.line.test_send_line import chunk_of, claim, planned, state_of

from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.campaign import MessageInput, MessageState
from clarion.domain.ids import MessageId
from clarion.ports.line import Burial
from clarion.ports.messages import Target

Result = TypeVar("Result")

_DEVICE = "select id from device where id = $1 for update"
_BATCH = "select id from batch where id = $1 for update"
_SHARD = "select low from shard where message_id = $1::text::uuid for update"
_MESSAGE = "select id from message where id = $1::text::uuid for update"


async def crossed(
    store: Store, work: Coroutine[object, object, Result], *locks: tuple[str, object]
) -> Result:
    """What the work comes to if another transaction takes a lock before it, and another meanwhile.

    The store ends the one that looks first whether both wait for each other: a second after it
    began to wait. That is the work, unless the machine was busy for that second.
    """
    held, wanted = locks
    async with store.pool.acquire() as other, asyncio.timeout(120):
        with suppress(asyncpg.DeadlockDetectedError):
            async with other.transaction():
                await other.execute(*held)
                working = asyncio.ensure_future(work)
                await one_waits(store.pool)
                await other.execute(*wanted)
        return await working


async def test_a_chunk_that_crosses_an_import_is_recorded_and_not_sent_again(store: Store) -> None:
    """Of two writers that wait for each other one begins anew; what was sent stays sent."""
    await planned(store)
    claimed = await claim(store)
    recipients = claimed.batch.recipients
    burial = Burial(
        device=recipients.device, reason=[201] * 10, registered_us=recipients.registered_us
    )
    commit = replace(chunk_of(claimed, 0, 10), burial=burial)
    first, last = int(recipients.device.min()), int(recipients.device.max())
    recording = PostgresSendLine(store.pool).commit(commit, store.now, 60)

    ack = await crossed(store, recording, (_DEVICE, last), (_DEVICE, first))

    assert ack.recorded
    assert await store.pool.fetchval("select count(*) from device where state = 2") == 10
    assert await store.pool.fetchval("select count(*) from chunk") == 1


async def test_a_chunk_that_crosses_a_pause_is_recorded_and_not_sent_again(store: Store) -> None:
    """The last chunk of a batch counts it off its message, which a pause holds."""
    await planned(store)
    claimed = await claim(store)
    batch = claimed.batch
    recording = PostgresSendLine(store.pool).commit(chunk_of(claimed, 0, 10), store.now, 60)

    ack = await crossed(store, recording, (_MESSAGE, batch.messages[0].id), (_BATCH, batch.id))

    assert ack.recorded
    assert await state_of(store) is MessageState.FINISHED
    assert await store.pool.fetchval("select count(*) from chunk") == 1


async def test_a_pause_that_crosses_a_sender_is_not_refused(store: Store) -> None:
    """It begins anew, and holds what is not sent by then."""
    await planned(store)
    batch, message = await store.pool.fetchrow("select id, message_ids[1]::text from batch")
    steering = PostgresMessages(store.pool).steer(
        store.app, MessageId(message), MessageInput.PAUSE, store.now
    )

    state = await crossed(store, steering, (_BATCH, batch), (_MESSAGE, message))

    assert state is MessageState.PAUSED
    assert await store.pool.fetchval("select state from batch") == 3


async def test_new_turns_that_cross_a_pause_end_no_sender(store: Store) -> None:
    """Both write to the waiting batches of an app, each in its own order."""
    await store.add_people(200)
    await rule(store, [])
    await store.pool.execute("update app set throttle_per_minute = 120")
    await planned_under_rates(store, 1)
    assert await lease(store, 3600) is not None
    low, high = await store.pool.fetchrow("select min(id), max(id) from batch where state = 1")

    nothing = await crossed(store, lease(store, 3600), (_BATCH, high), (_BATCH, low))

    assert nothing is None
    assert await lease(store, 3700) is not None


async def test_a_shard_that_crosses_a_pause_is_planned_all_the_same(store: Store) -> None:
    """Its commit ends the shard and then counts it off its message, which a pause holds."""
    line = PostgresPlanLine(store.pool)
    message = store.message(1, Target(users=["u1"]))
    await PostgresJournal(store.pool).accept(message, store.now)
    await line.expand_due(store.now, limit=1)
    claimed = await line.claim_shard("p1", store.now, 60)
    assert claimed is not None
    committing = line.commit_shard(claimed, [], [], store.now)
    shard = "select 1 from shard where message_id = $1::text::uuid for update"
    of = claimed.shard.message

    mine = await crossed(store, committing, (_MESSAGE, of), (shard, of))

    assert mine
    assert await state_of(store) is MessageState.FINISHED


async def test_taking_a_batch_apart_crosses_a_pause(store: Store) -> None:
    """Both halves are there afterwards, and nothing is repeated."""
    await planned(store)
    claimed = await claim(store)
    batch = claimed.batch
    apart = PostgresSendLine(store.pool).split(claimed, store.now)

    await crossed(store, apart, (_MESSAGE, batch.messages[0].id), (_BATCH, batch.id))

    rows = await store.pool.fetch("select size from batch where state = 1")
    assert [row["size"] for row in rows] == [5, 5]
    assert await store.pool.fetchval("select open_batches from message") == 2


async def test_leases_that_run_out_during_a_pause_are_given_back(store: Store) -> None:
    """The sweep of many batches begins anew."""
    await planned(store)
    await PostgresSendLine(store.pool).split(await claim(store), store.now)
    await claim(store)
    await claim(store)
    low, high = await store.pool.fetchrow("select min(id), max(id) from batch where state = 2")
    sweeping = PostgresHousekeeping(store.pool).sweep(store.later(61))

    swept = await crossed(store, sweeping, (_BATCH, high), (_BATCH, low))

    assert swept == 2


async def test_a_shard_is_given_back_or_refused_across_a_pause(store: Store) -> None:
    """A planner that could not plan it says so, whoever writes to the message meanwhile."""
    line = PostgresPlanLine(store.pool)
    for number in (1, 2):
        await PostgresJournal(store.pool).accept(
            store.message(number, Target(users=["u1"])), store.now
        )
    await line.expand_due(store.now, limit=10)
    first = await line.claim_shard("p", store.now, 60)
    second = await line.claim_shard("p", store.now, 60)
    assert first is not None
    assert second is not None
    other = first.shard.message, second.shard.message

    given = line.postpone(first, store.later(5), store.now, why="later")
    await crossed(store, given, (_SHARD, other[0]), (_MESSAGE, other[0]))
    refused = line.refuse(second, store.now, why="never")
    assert await crossed(store, refused, (_SHARD, other[1]), (_MESSAGE, other[1]))

    told = await store.pool.fetch("select trouble from shard order by trouble")
    assert [row["trouble"] for row in told] == ["later", "never"]
