"""What a chunk's commit brings besides: a look at the registry, and a lease that lasts."""

from dataclasses import replace

from tests.line.conftest import Store
from tests.line.test_send_line import ALL_LANES, chunk_of, claim, planned

from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.campaign import MessageState

DONE = 4
"""`batch.state` of a batch whose recipients are all recorded."""


async def test_a_commit_brings_what_changed_in_the_registry(store: Store) -> None:
    """The same as a question of its own, and nothing unless it is asked for."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    since = claimed.batch.planned_xid
    first = replace(chunk_of(claimed, 0, 2), look_since_xid=since)
    nothing = (await line.commit(first, store.now, 60)).changes
    assert nothing is not None
    await store.pool.execute(
        "update device set opted_out = true, xid = pg_current_xact_id() where id = any ($1)",
        claimed.batch.recipients.device[:3].tolist(),
    )

    second = replace(chunk_of(claimed, 2, 4), look_since_xid=nothing.xid)
    found = (await line.commit(second, store.now, 60)).changes

    asked = await line.changes(nothing.xid)
    assert found is not None
    assert asked is not None
    assert sorted(found.device.tolist()) == sorted(asked.device.tolist())
    assert set(claimed.batch.recipients.device[:3].tolist()) <= set(found.device.tolist())
    assert (await line.commit(chunk_of(claimed, 4, 6), store.now, 60)).changes is None


async def test_a_commit_that_counts_open_batches_brings_no_look(store: Store) -> None:
    """The last chunk has no next one to look for; whoever asks all the same is told nothing."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    size = len(claimed.batch.recipients)
    last = replace(chunk_of(claimed, 0, size), look_since_xid=claimed.batch.planned_xid)

    ack = await line.commit(last, store.now, 60)

    assert ack.recorded
    assert ack.changes is None
    assert await store.pool.fetchval("select state from batch") == DONE


async def test_an_answer_that_was_lost_is_given_again_on_the_way_and_at_the_end(
    store: Store,
) -> None:
    """The chunk is recorded once; a commit with an older fence records nothing."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    size = len(claimed.batch.recipients)
    batch = claimed.batch
    for low, high in ((0, 2), (2, size)):
        chunk = chunk_of(claimed, low, high)
        overtaken = replace(chunk, batch=replace(chunk.batch, fence=batch.fence - 1))
        assert not (await line.commit(overtaken, store.now, 60)).recorded
        for _ in range(2):
            assert (await line.commit(chunk, store.now, 60)).recorded
    assert await store.pool.fetchval("select count(*) from chunk") == 2


async def test_a_chunk_on_the_way_learns_of_a_pause_and_of_a_withdrawal(store: Store) -> None:
    """So does one at the end."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    message, size = claimed.batch.messages[0].id, len(claimed.batch.recipients)

    async def met(state: MessageState, low: int, high: int) -> tuple[bool, bool]:
        await store.pool.execute("update message set state = $1", int(state))
        ack = await line.commit(chunk_of(claimed, low, high), store.now, 60)
        return ack.paused, ack.canceled == {message}

    assert await met(MessageState.SENDING, 0, 1) == (False, False)
    assert await met(MessageState.PAUSED, 1, 2) == (True, False)
    assert await met(MessageState.CANCELING, 2, 3) == (False, True)
    assert await met(MessageState.CANCELING, 3, size) == (False, True)


async def test_a_lease_moves_once_a_minute_of_it_is_spent(store: Store) -> None:
    """A batch's row is rewritten in place until then."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await line.claim("s1", ALL_LANES, store.now, 300)
    assert claimed is not None

    async def until_after(low: int, seconds: float) -> float:
        await line.commit(chunk_of(claimed, low, low + 1), store.later(seconds), 300)
        until = await store.pool.fetchval("select leased_until from batch")
        return float((until - store.now).total_seconds())

    assert await until_after(0, 59) == 300
    assert await until_after(1, 61) == 361
