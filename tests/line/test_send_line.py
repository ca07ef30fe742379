"""Batches are leased, recorded chunk by chunk, tried again, held and withdrawn."""

from dataclasses import replace

import numpy as np
from tests.line.conftest import Store

from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.campaign import MessageInput, MessageState
from clarion.domain.handoffs import OUTCOME_ROW, BatchSent, ChunkKind
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Outcome
from clarion.ports.line import Burial, ChunkCommit, ClaimedBatch, RetryBatch
from clarion.ports.messages import Target
from clarion.ports.plan_line import PlannedBatch

ALL_LANES = list(Lane)


async def planned(store: Store, number: int = 1, count: int = 10) -> None:
    """A message that is planned into one batch of `count` people."""
    await store.add_people(count)
    line = PostgresPlanLine(store.pool)
    names = [f"u{i}" for i in range(count)]
    new = store.message(number, Target(users=names))
    await PostgresJournal(store.pool).accept(new, store.now)
    await line.expand_due(store.now, limit=10)
    claimed = await line.claim_shard("p", store.now, 60)
    assert claimed is not None
    resolved = await line.resolve(store.app, claimed.target)
    credentials = await line.credentials(store.app)
    batch = PlannedBatch(
        key=f"b{number}",
        network=Network.APNS,
        credential=credentials[Network.APNS],
        planned_xid=resolved.xid,
        rows=resolved.rows,
    )
    assert await line.commit_shard(claimed, [batch], [], store.now)


async def claim(store: Store, owner: str = "s1", seconds: float = 0) -> ClaimedBatch:
    """The batch that is ready."""
    line = PostgresSendLine(store.pool)
    claimed = await line.claim(owner, ALL_LANES, store.later(seconds), 60)
    assert claimed is not None
    return claimed


def chunk_of(claimed: ClaimedBatch, low: int, high: int) -> ChunkCommit:
    """A commit that says: rows low to high were accepted."""
    batch = replace(claimed.batch, cursor=low)
    rows = np.zeros(high - low, OUTCOME_ROW)
    rows["device"] = batch.recipients.device[low:high]
    rows["outcome"] = Outcome.ACCEPTED
    sent = BatchSent(
        app=batch.app,
        kind=ChunkKind.SENT,
        messages=[message.id for message in batch.messages],
        rows=rows,
    )
    return ChunkCommit(batch=batch, cursor=high, sent=sent)


async def state_of(store: Store, number: int = 1) -> MessageState:
    """Where the message is."""
    new = store.message(number, Target())
    record = await PostgresMessages(store.pool).get(store.app, new.message.id)
    assert record is not None
    return record.state


async def test_what_was_planned_comes_out_of_the_claim(store: Store) -> None:
    """Tokens, devices and the message survive the way through the store."""
    await planned(store, count=10)

    claimed = await claim(store)

    assert len(claimed.batch.recipients) == 10
    assert len(set(claimed.batch.recipients.tokens)) == 10
    assert claimed.batch.messages[0].content.title == "Hello"
    assert claimed.batch.fence == 1


async def test_a_leased_batch_is_not_leased_again(store: Store) -> None:
    """One batch, one sender."""
    await planned(store)
    await claim(store)

    assert await PostgresSendLine(store.pool).claim("s2", ALL_LANES, store.now, 60) is None


async def test_the_message_finishes_with_its_last_chunk(store: Store) -> None:
    """Finished is a fact of the same transaction as the last outcome."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)

    assert (await line.commit(chunk_of(claimed, 0, 4), store.now, 60)).recorded
    assert await state_of(store) is MessageState.SENDING
    assert (await line.commit(chunk_of(claimed, 4, 10), store.now, 60)).recorded

    assert await state_of(store) is MessageState.FINISHED
    assert await store.pool.fetchval("select count(*) from chunk") == 2


async def test_a_successor_goes_on_at_the_cursor_and_the_zombie_records_nothing(
    store: Store,
) -> None:
    """The cursor and the fence move with the outcomes."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    zombie = await claim(store)
    await line.commit(chunk_of(zombie, 0, 4), store.now, 60)
    assert await PostgresHousekeeping(store.pool).sweep(store.later(61)) == 1
    successor = await claim(store, "s2", seconds=61)

    lost = await line.commit(chunk_of(zombie, 4, 8), store.later(62), 60)

    assert successor.batch.cursor == 4
    assert not lost.recorded
    assert await store.pool.fetchval("select count(*) from chunk") == 1


async def test_work_of_a_dead_process_is_given_back_at_once(store: Store) -> None:
    """The supervisor knows that the process is dead: nobody waits for the lease."""
    await planned(store)
    await claim(store, "dead")

    assert await PostgresHousekeeping(store.pool).abandon("dead") == 1

    assert (await claim(store, "s2")).claims == 2


async def test_retries_are_a_batch_of_their_own_and_keep_the_message_open(store: Store) -> None:
    """Their time comes later, their attempt number is the next."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    again = claimed.batch.recipients.take(np.array([2, 5]))
    message = claimed.batch.messages[0]
    retry = RetryBatch(message=message, recipients=again, run_at=store.later(30), attempt=1)

    await line.commit(replace(chunk_of(claimed, 0, 10), retries=[retry]), store.now, 60)

    assert await state_of(store) is MessageState.SENDING
    assert await line.claim("s1", ALL_LANES, store.later(29), 60) is None
    second = await claim(store, seconds=30)
    assert second.batch.attempt == 1
    assert second.batch.recipients.device.tolist() == again.device.tolist()
    await line.commit(chunk_of(second, 0, 2), store.later(31), 60)
    assert await state_of(store) is MessageState.FINISHED


async def test_a_poison_batch_is_halved(store: Store) -> None:
    """Nobody is lost and nobody is doubled by the split."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    everybody = sorted(claimed.batch.recipients.device.tolist())

    await line.split(claimed, store.now)

    halves = [await claim(store), await claim(store)]
    found = [device for half in halves for device in half.batch.recipients.device.tolist()]
    assert sorted(found) == everybody
    for half in halves:
        await line.commit(chunk_of(half, 0, 5), store.now, 60)
    assert await state_of(store) is MessageState.FINISHED


async def test_nothing_is_claimed_for_a_credential_in_quarantine(store: Store) -> None:
    """A configuration fault holds the queue until the operator has looked."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    first = replace(chunk_of(claimed, 0, 4), quarantine="topic_disallowed: TopicDisallowed")
    await line.commit(first, store.now, 60)
    await line.release(claimed.batch, store.now)

    assert await line.claim("s1", ALL_LANES, store.now, 60) is None
    await store.pool.execute("update credential set state = 1")
    assert (await claim(store)).batch.cursor == 4


async def test_a_dead_token_is_buried_but_not_one_registered_since(store: Store) -> None:
    """The tombstone goes to the registration that was sent to, never to a newer one."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    recipients = claimed.batch.recipients
    newer = int(recipients.device[1])
    await store.pool.execute(
        "update device set registered_at = $2 where id = $1", newer, store.later(5)
    )
    burial = Burial(
        device=recipients.device[:2], reason=[201, 201], registered_us=recipients.registered_us[:2]
    )

    await line.commit(replace(chunk_of(claimed, 0, 10), burial=burial), store.later(6), 60)

    dead = await store.pool.fetch("select id from device where state = 2")
    assert [row["id"] for row in dead] == [int(recipients.device[0])]


async def test_a_paused_message_is_held_and_goes_on_after_resuming(store: Store) -> None:
    """A leased batch hears of it with its next chunk."""
    await planned(store)
    line, messages = PostgresSendLine(store.pool), PostgresMessages(store.pool)
    claimed = await claim(store)
    message = claimed.batch.messages[0].id
    await messages.steer(store.app, message, MessageInput.PAUSE, store.now)

    ack = await line.commit(chunk_of(claimed, 0, 4), store.now, 60)
    await line.release(claimed.batch, store.now)

    assert ack.paused
    assert await line.claim("s1", ALL_LANES, store.now, 60) is None
    await messages.steer(store.app, message, MessageInput.RESUME, store.now)
    assert (await claim(store)).batch.cursor == 4


async def test_a_withdrawn_message_is_claimed_so_that_each_outcome_is_recorded(
    store: Store,
) -> None:
    """Canceling is over when nobody is left without an outcome."""
    await planned(store)
    line, messages = PostgresSendLine(store.pool), PostgresMessages(store.pool)
    message = store.message(1, Target()).message.id
    after = await messages.steer(store.app, message, MessageInput.CANCEL, store.now)

    claimed = await claim(store)
    await line.commit(chunk_of(claimed, 0, 10), store.now, 60)

    assert after is MessageState.CANCELING
    assert claimed.canceled == {message}
    assert await state_of(store) is MessageState.CANCELED


async def test_a_scheduled_message_is_withdrawn_at_once(store: Store) -> None:
    """Nobody was chosen yet, so there is nobody to record."""
    new = store.message(7, Target(everybody=True), send_at=store.later(60))
    await PostgresJournal(store.pool).accept(new, store.now)

    after = await PostgresMessages(store.pool).steer(
        store.app, new.message.id, MessageInput.CANCEL, store.now
    )

    assert after is MessageState.CANCELED
    assert await PostgresPlanLine(store.pool).expand_due(store.later(61), limit=10) == 0


async def test_the_shared_budget_lets_the_quota_through_and_no_more(store: Store) -> None:
    """600 a minute: after one second's worth the next ones wait."""
    line = PostgresSendLine(store.pool)
    credentials = await PostgresPlanLine(store.pool).credentials(store.app)
    fcm = credentials[Network.FCM]
    await store.pool.execute("update credential set per_minute = 600 where id = $1", fcm)

    waits = [await line.pace(fcm, Network.FCM, 10, store.later(10)) for _ in range(3)]

    assert waits == [1.0, 2.0, 3.0]
    assert await line.pace(credentials[Network.APNS], Network.APNS, 10, store.now) is None


async def test_one_new_token_for_two_devices_goes_to_one_of_them(store: Store) -> None:
    """A network that names it for both in one chunk poisons nothing: the other is the tombstone."""
    await planned(store, count=3)
    claimed = await claim(store)
    first, second, third = claimed.batch.recipients.device.tolist()
    chunk = replace(
        chunk_of(claimed, 0, 3), new_tokens={second: "same", first: "same", third: "other"}
    )

    assert (await PostgresSendLine(store.pool).commit(chunk, store.now, 60)).recorded

    rows = await store.pool.fetch(
        "select id, state, state_reason, token in ('same', 'other') as new from device order by id"
    )
    assert [tuple(row) for row in rows] == [
        (first, 1, 0, True),
        (second, 2, 204, False),
        (third, 1, 0, True),
    ]
