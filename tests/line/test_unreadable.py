"""A batch that can't be read holds up nothing, and ends where the operator sees it."""

import logging

import numpy as np
import pytest
from tests.line.conftest import Store
from tests.line.test_send_line import ALL_LANES, planned, state_of

from clarion.adapters.state.recipient_columns import encode_recipients
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.adapters.state.unreadable import GIVE_UP_CLAIMS
from clarion.domain.campaign import MessageState
from clarion.domain.handoffs import OUTCOME_ROW, Recipients
from clarion.domain.outcome import Outcome, Reason
from clarion.telemetry.names import LogEvent

DAMAGE = {
    "message": "update message set envelope = 'no json'",
    "recipients": "update batch set recipients = 'no arrow'",
}


async def give_up(store: Store) -> None:
    """Ask for work as often as it takes."""
    line = PostgresSendLine(store.pool)
    for turn in range(GIVE_UP_CLAIMS):
        assert await line.claim("s1", ALL_LANES, store.later(100 * turn), 60) is None


@pytest.mark.parametrize("what", DAMAGE)
async def test_a_batch_that_nobody_can_read_ends_as_failed(
    store: Store, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its recipients are counted, by name where they can be read, and the message ends."""
    await planned(store)
    await store.pool.execute(DAMAGE[what])

    with caplog.at_level(logging.ERROR):
        await give_up(store)

    rows = np.frombuffer(await store.pool.fetchval("select rows from chunk"), OUTCOME_ROW)
    assert len(rows) == 10
    assert set(rows["outcome"]) == {Outcome.FAILED}
    assert set(rows["reason"]) == {Reason.BATCH_POISONED}
    assert bool(rows["device"].all()) is (what == "message")
    assert await state_of(store) is MessageState.FINISHED
    assert [record.message for record in caplog.records] == [LogEvent.BATCH_POISONED] * 4


async def test_a_batch_that_cannot_be_read_now_is_read_later(store: Store) -> None:
    """A process of an older version gives it back unharmed."""
    await planned(store)
    whole = await store.pool.fetchval("select envelope from message")
    await store.pool.execute(DAMAGE["message"])
    line = PostgresSendLine(store.pool)
    assert await line.claim("s1", ALL_LANES, store.now, 60) is None
    await store.pool.execute("update message set envelope = $1", whole)

    claimed = await line.claim("s1", ALL_LANES, store.later(6), 60)

    assert claimed is not None
    assert claimed.batch.cursor == 0


async def test_others_are_leased_past_a_batch_that_cannot_be_read(store: Store) -> None:
    """In the same call: a sender never goes to sleep over it."""
    await planned(store)
    await store.pool.execute(DAMAGE["recipients"])
    await store.pool.execute(
        """insert into batch (key, app_id, lane, network, credential_id, message_ids, run_at, size,
                              planned_xid, recipients)
           select 'copy', app_id, lane, network, credential_id, message_ids,
                  run_at + interval '1 s', size, planned_xid, recipients from batch"""
    )
    await planned_copy_readable(store)

    claimed = await PostgresSendLine(store.pool).claim("s1", ALL_LANES, store.later(2), 60)

    assert claimed is not None
    assert len(claimed.batch.recipients) == 1


async def planned_copy_readable(store: Store) -> None:
    """Give the copy recipients that can be read."""
    one = Recipients(
        device=np.array([1], np.int64),
        user=np.array([1], np.int64),
        registered_us=np.zeros(1, np.int64),
        environment=np.zeros(1, np.uint8),
        tokens=[b"ab"],
    )
    await store.pool.execute(
        "update batch set recipients = $1 where key = 'copy'", encode_recipients(one)
    )
