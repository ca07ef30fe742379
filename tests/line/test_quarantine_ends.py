"""What a quarantined credential holds still ends when its message does."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
from tests.line.conftest import Store
from tests.line.test_paced_out import ports_of
from tests.line.test_send_line import ALL_LANES, claim, planned

from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.campaign import MessageInput
from clarion.domain.ids import MessageId
from clarion.domain.lanes import Lane
from clarion.ports.messages import Accepted, Target
from clarion.stages.delivery.urgent import UrgentPath
from clarion.testing.clock import ManualClock


@pytest.fixture
async def held(store: Store) -> Store:
    """Ten people of one message, over a credential in quarantine."""
    await planned(store)
    await store.pool.execute("update credential set state = 2")
    return store


async def claimable(store: Store, at: datetime) -> bool:
    """Whether a sender would get the batch."""
    return await PostgresSendLine(store.pool).claim("s1", ALL_LANES, at, 60) is not None


async def test_a_withdrawn_message_is_not_held_by_a_quarantine(held: Store) -> None:
    """Its recipients are recorded as canceled; nothing is sent over the credential."""
    message = held.message(1, Target()).message.id
    assert not await claimable(held, held.now)
    await PostgresMessages(held.pool).steer(held.app, message, MessageInput.CANCEL, held.now)

    claimed = await claim(held)

    assert claimed.canceled == {message}


async def test_an_expired_message_is_not_held_by_a_quarantine(held: Store) -> None:
    """It need not wait for the operator to be told that it is too late."""
    await held.pool.execute("update message set expires_at = $1", held.later(60))

    assert not await claimable(held, held.later(59))
    assert await claimable(held, held.later(60))


async def test_work_of_several_messages_is_held_while_one_of_them_may_be_sent(held: Store) -> None:
    """Only what can't be sent at all leaves the quarantine."""
    await held.pool.execute(
        """insert into message (id, app_id, lane, state, request, envelope, target, send_at,
                                key_id, created_at)
           select gen_random_uuid(), app_id, lane, state, request, envelope, target, send_at,
                  key_id, created_at from message"""
    )
    await held.pool.execute("update batch set message_ids = array(select id from message)")
    ids = await held.pool.fetch("select id::text from message order by created_at")
    messages = PostgresMessages(held.pool)

    await messages.steer(held.app, MessageId(ids[0][0]), MessageInput.CANCEL, held.now)
    assert not await claimable(held, held.now)
    await held.pool.execute("update message set state = 4")
    assert await claimable(held, held.now)


async def test_a_withdrawn_message_leaves_the_batch_that_it_shares(
    store: Store, tmp_path: Path
) -> None:
    """Its recipients end at once; those of its neighbour wait for the operator, unharmed."""
    await store.add_people(4)
    await store.pool.execute("update credential set state = 2")
    ports = ports_of(store, ManualClock(store.now), tmp_path)
    urgent = UrgentPath(journal=PostgresJournal(store.pool), delivery=ports, owner="api")
    news = [store.message(n, Target(users=[f"u{n}"]), lane=Lane.TRANSACTIONAL) for n in range(1, 4)]
    assert await asyncio.gather(*(urgent.accept(new, store.now) for new in news)) == (
        [Accepted()] * 3
    )
    await urgent.drain()
    shared = await store.pool.fetchval(
        "select message_ids::text[] from batch where cardinality(message_ids) = 2"
    )
    gone, stays = MessageId(shared[0]), MessageId(shared[1])
    messages = PostgresMessages(store.pool)

    await messages.steer(store.app, gone, MessageInput.CANCEL, store.now)
    claimed = await claim(store)

    assert claimed.canceled == {gone}
    assert [message.id for message in claimed.batch.messages] == [gone]
    assert len(claimed.batch.recipients) == 1
    assert not await claimable(store, store.later(60))
    await store.pool.execute("update credential set state = 1")
    left = [(await claim(store)).batch for _ in range(2)]
    assert {batch.messages[0].id for batch in left} == {stays, news[0].message.id}
    assert [len(batch.recipients) for batch in left] == [1, 1]
    opened = await store.pool.fetch("select open_batches from message")
    assert [row[0] for row in opened] == [1, 1, 1]
