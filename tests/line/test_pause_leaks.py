"""Work of a paused message that becomes ready during the pause is handed back unsent, and held."""

from dataclasses import replace

from tests.line.conftest import Store
from tests.line.test_send_line import ALL_LANES, chunk_of, claim, planned

from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.campaign import MessageInput
from clarion.domain.network import Network
from clarion.ports.line import RetryBatch
from clarion.ports.messages import Target
from clarion.ports.plan_line import PlannedBatch


async def pause(store: Store) -> None:
    """Pause message 1."""
    new = store.message(1, Target())
    messages = PostgresMessages(store.pool)
    await messages.steer(store.app, new.message.id, MessageInput.PAUSE, store.now)


async def nothing_is_sent(store: Store, seconds: float = 0) -> None:
    """Whatever is leased says that it is paused; given back, it is held."""
    line = PostgresSendLine(store.pool)
    claimed = await claim(store, "s", seconds)
    assert claimed.paused
    await line.release(claimed.batch, store.later(seconds))
    assert await line.claim("s", ALL_LANES, store.later(seconds), 60) is None


async def test_what_is_planned_while_the_message_is_paused_waits(store: Store) -> None:
    """A shard that was leased before the pause commits its batches as held."""
    await store.add_people(3)
    line = PostgresPlanLine(store.pool)
    new = store.message(1, Target(users=["u0", "u1", "u2"]))
    await PostgresJournal(store.pool).accept(new, store.now)
    await line.expand_due(store.now, limit=10)
    claimed = await line.claim_shard("p", store.now, 60)
    assert claimed is not None
    await pause(store)
    resolved = await line.resolve(store.app, claimed.target)
    credentials = await line.credentials(store.app)
    batch = PlannedBatch(
        key="b1",
        network=Network.APNS,
        credential=credentials[Network.APNS],
        planned_xid=resolved.xid,
        rows=resolved.rows,
    )
    assert await line.commit_shard(claimed, [batch], [], store.now)
    await nothing_is_sent(store)


async def test_what_is_planned_while_the_message_is_withdrawn_ends_at_once(store: Store) -> None:
    """A batch that was held for tomorrow is only there to be recorded as canceled."""
    await store.add_people(1)
    line = PostgresPlanLine(store.pool)
    new = store.message(1, Target(users=["u0"]))
    await PostgresJournal(store.pool).accept(new, store.now)
    await line.expand_due(store.now, limit=10)
    claimed = await line.claim_shard("p", store.now, 60)
    assert claimed is not None
    messages = PostgresMessages(store.pool)
    await messages.steer(store.app, new.message.id, MessageInput.CANCEL, store.now)
    resolved = await line.resolve(store.app, claimed.target)
    credentials = await line.credentials(store.app)
    batch = PlannedBatch(
        key="b1",
        network=Network.APNS,
        credential=credentials[Network.APNS],
        planned_xid=resolved.xid,
        rows=resolved.rows,
        run_at=store.later(86_400),
    )
    assert await line.commit_shard(claimed, [batch], [], store.now)

    leased = await claim(store, "s")
    assert leased.canceled == {new.message.id}


async def test_put_off_parts_of_a_withdrawn_message_end_at_once(store: Store) -> None:
    """What was on its way when the message was withdrawn does not wait for tomorrow either."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    leased = await claim(store, "s")
    messages = PostgresMessages(store.pool)
    await messages.steer(store.app, leased.batch.messages[0].id, MessageInput.CANCEL, store.now)
    chunk = chunk_of(leased, 0, len(leased.batch.recipients))
    retry = RetryBatch(
        message=leased.batch.messages[0],
        recipients=leased.batch.recipients.rows(0, 1),
        run_at=store.later(86_400),
        attempt=0,
    )
    await line.commit(replace(chunk, retries=[retry]), store.now, 60)

    again = await claim(store, "s")
    assert again.canceled == {leased.batch.messages[0].id}


async def test_retries_of_a_paused_message_wait(store: Store) -> None:
    """A chunk that was on the wire at the pause leaves its retries held."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    await pause(store)
    rows = claimed.batch.recipients.rows(0, 2)
    message = claimed.batch.messages[0]
    retry = RetryBatch(message=message, recipients=rows, run_at=store.now, attempt=1)
    await line.commit(replace(chunk_of(claimed, 0, 10), retries=[retry]), store.now, 60)
    await nothing_is_sent(store)


async def test_work_of_a_dead_sender_waits_while_the_message_is_paused(store: Store) -> None:
    """Giving back a lease respects the pause."""
    await planned(store)
    await claim(store)
    await pause(store)
    await PostgresHousekeeping(store.pool).sweep(store.later(61))
    await nothing_is_sent(store, 62)
