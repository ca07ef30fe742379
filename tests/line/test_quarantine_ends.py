"""What a quarantined credential holds still ends when its message does."""

from datetime import datetime

import pytest
from tests.line.conftest import Store
from tests.line.test_send_line import ALL_LANES, claim, planned

from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.campaign import MessageInput
from clarion.domain.ids import MessageId
from clarion.ports.messages import Target


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
