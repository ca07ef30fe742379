"""What is over is deleted when it is old, and never before; held work is cut message by message."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.line.conftest import Store
from tests.line.test_plan_line import accept
from tests.line.test_send_line import ALL_LANES, chunk_of, claim, planned, state_of

from clarion.adapters.state.journal import KEY_LIFETIME, PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.adapters.state.upkeep import PostgresUpkeep
from clarion.domain.campaign import MessageInput, MessageState
from clarion.domain.lanes import Lane
from clarion.ports.journal import JournalEntry
from clarion.ports.line import ClaimedBatch
from clarion.ports.messages import IdempotencyKey, Target
from clarion.stages.delivery.urgent_plan import plan_group

DAY = 86_400
FED = 2**40


async def ended(store: Store) -> None:
    """A message that was sent to ten people."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    await line.commit(chunk_of(await claim(store), 0, 10), store.now, 60)
    assert await state_of(store) is MessageState.FINISHED


async def count(store: Store, table: str) -> int:
    """Rows of a table."""
    return int(await store.pool.fetchval(f"select count(*) from {table}"))  # noqa: S608  # our own names


async def test_an_old_message_is_deleted_when_its_outcomes_are_in_the_facts(store: Store) -> None:
    """Its chunks are gone then; until then it stays, however old."""
    await ended(store)
    upkeep = PostgresUpkeep(store.pool)

    assert await upkeep.drop_messages(store.later(1), at_once=10) == 0
    await store.pool.execute("delete from chunk")
    assert await upkeep.drop_messages(store.now, at_once=10) == 0
    assert await upkeep.drop_messages(store.later(1), at_once=10) == 1


async def test_what_ended_before_the_oldest_waiting_outcome_may_go(store: Store) -> None:
    """Facts that were away for a month miss nothing: what ended before their gap may go."""
    await ended(store)
    await store.pool.execute("update chunk set created_at = $1", store.later(60))
    assert await PostgresUpkeep(store.pool).drop_messages(store.later(DAY), at_once=10) == 1


async def test_a_message_that_waits_for_somebody_s_digest_stays(store: Store) -> None:
    """However soon messages are deleted: the digest tells its title."""
    await ended(store)
    await store.pool.execute("delete from chunk")
    await store.pool.execute(
        """insert into digest_item (app_id, category_id, message_id, range, due_at, people,
                                    created_at)
           select m.app_id, c.id, m.id, 0, $1, '', $1
           from message m join category c on c.app_id = m.app_id and c.slug = 'marketing'""",
        store.later(DAY),
    )
    upkeep = PostgresUpkeep(store.pool)
    assert await upkeep.drop_messages(store.later(1), at_once=10) == 0
    await store.pool.execute("update digest_item set digest_id = gen_random_uuid()")
    assert await upkeep.drop_messages(store.later(1), at_once=10) == 1


async def test_a_message_with_work_left_stays(store: Store) -> None:
    """Scheduled, being sent, paused or being withdrawn."""
    await planned(store)
    await accept(store, 2, Target(users=["u1"]), send_at=store.later(60))
    assert await PostgresUpkeep(store.pool).drop_messages(store.later(900 * DAY), at_once=10) == 0
    assert await count(store, "message") == 2


async def test_messages_are_deleted_a_few_at_a_time_the_oldest_first(store: Store) -> None:
    """No transaction grows with the past."""
    await ended(store)
    await store.pool.execute("delete from chunk")
    await store.pool.execute(
        """insert into message (id, app_id, lane, state, request, envelope, target, send_at,
                                key_id, created_at, finished_at)
           select gen_random_uuid(), app_id, lane, 5, request, envelope, target, send_at, key_id,
                  created_at, finished_at - g * interval '1 minute'
           from message, generate_series(1, 9) g"""
    )
    upkeep = PostgresUpkeep(store.pool)

    assert await upkeep.drop_messages(store.later(1), at_once=4) == 4
    oldest = await store.pool.fetchval("select min(finished_at) from message")
    assert store.now - oldest == timedelta(minutes=5)
    dropped = [await upkeep.drop_messages(store.later(1), at_once=4) for _ in range(3)]
    assert dropped == [4, 2, 0]


async def test_keys_past_their_lifetime_are_deleted_a_few_at_a_time(store: Store) -> None:
    """Others stay."""
    journal, upkeep = PostgresJournal(store.pool), PostgresUpkeep(store.pool)
    for number in range(5):
        key = IdempotencyKey(key=str(number), body_hash=b"x")
        new = store.message(number, Target(users=["u"]), idempotency=key)
        await journal.accept(new, store.later(0 if number < 4 else DAY))
    now = store.now + KEY_LIFETIME

    assert [await upkeep.drop_keys(now - KEY_LIFETIME, at_once=3) for _ in range(3)] == [3, 1, 0]
    assert await count(store, "idempotency") == 1


async def removed(store: Store) -> None:
    """Two marks of removed devices, the first from long ago."""
    for device, days in ((91, 40), (92, 1)):
        await store.pool.execute(
            "insert into removal (kind, id, app_id, removed_at) values (2, $1, $2, $3)",
            device,
            store.app,
            store.now - timedelta(days=days),
        )


async def test_old_marks_of_removed_devices_are_deleted(store: Store) -> None:
    """The columns have forgotten the device long ago."""
    await removed(store)
    upkeep = PostgresUpkeep(store.pool)

    assert await upkeep.drop_removals(store.now - timedelta(days=30), FED, at_once=10) == 1
    assert await store.pool.fetchval("select array_agg(id) from removal") == [92]


async def test_a_mark_that_the_columns_have_not_seen_stays(store: Store) -> None:
    """They would show the device for ever."""
    await removed(store)
    first = int(await store.pool.fetchval("select min(xid)::text from removal"))
    upkeep = PostgresUpkeep(store.pool)

    assert await upkeep.drop_removals(store.later(1), first, at_once=10) == 0
    assert await upkeep.drop_removals(store.later(1), first + 1, at_once=10) == 1


async def test_a_mark_that_an_unsent_batch_was_planned_before_stays(store: Store) -> None:
    """Its sender asks what was removed since the plan, also after weeks of pause."""
    await planned(store)
    await removed(store)
    upkeep = PostgresUpkeep(store.pool)

    assert await upkeep.drop_removals(store.later(1), FED, at_once=10) == 0
    await store.pool.execute("update batch set state = 4")
    assert await upkeep.drop_removals(store.later(1), FED, at_once=10) == 2


@pytest.fixture
async def tangled(store: Store) -> Store:
    """One batch of three urgent messages (to u0, u1 and u2), over a credential in quarantine."""
    await store.add_people(3)
    journal = PostgresJournal(store.pool)
    news = [store.message(n, Target(users=[f"u{n}"]), lane=Lane.TRANSACTIONAL) for n in range(3)]
    looked = await journal.look(news, store.now)
    plan = plan_group(news, range(3), looked, store.now)
    plan.number(await journal.batch_ids(len(plan.drafts)))
    await journal.write(
        JournalEntry(
            news=news,
            batches=plan.batches,
            leased=[False],
            skipped=plan.skipped,
            decided=plan.decided,
            sent=plan.sent,
            owner="api",
            lease_s=60,
        ),
        store.now,
    )
    return store


async def claimed_in_quarantine(store: Store) -> ClaimedBatch | None:
    """What a sender gets while the credential is in quarantine."""
    await store.pool.execute("update credential set state = 2")
    return await PostgresSendLine(store.pool).claim("s1", ALL_LANES, store.now, 60)


async def test_a_withdrawn_message_does_not_wait_for_its_neighbours_in_quarantine(
    tangled: Store,
) -> None:
    """It leaves the work that it shares: its own part ends at once, theirs is cut and waits."""
    message = tangled.message(1, Target()).message.id
    messages = PostgresMessages(tangled.pool)
    await messages.steer(tangled.app, message, MessageInput.CANCEL, tangled.now)

    mine = await claimed_in_quarantine(tangled)
    assert await PostgresUpkeep(tangled.pool).untangle(tangled.now, at_once=10) == 1

    assert mine is not None
    assert mine.canceled == {message}
    assert len(mine.batch.recipients) == 1
    await PostgresSendLine(tangled.pool).commit(chunk_of(mine, 0, 1), tangled.now, 60)
    assert [await state_of(tangled, n) for n in range(3)] == [
        MessageState.SENDING,
        MessageState.CANCELED,
        MessageState.SENDING,
    ]


async def test_every_recipient_of_cut_work_is_sent_to_once_after_the_repair(tangled: Store) -> None:
    """Nobody is lost, and every message ends."""
    await tangled.pool.execute("update credential set state = 2")
    await PostgresUpkeep(tangled.pool).untangle(tangled.now, at_once=10)
    await tangled.pool.execute("update credential set state = 1")
    line, devices = PostgresSendLine(tangled.pool), []
    for _ in range(3):
        mine = await claim(tangled)
        devices += mine.batch.recipients.device.tolist()
        await line.commit(chunk_of(mine, 0, 1), tangled.now, 60)

    assert sorted(devices) == [1, 2, 3]
    assert {await state_of(tangled, n) for n in range(3)} == {MessageState.FINISHED}


async def test_what_was_recorded_of_cut_work_is_not_sent_again(tangled: Store) -> None:
    """A message whose rows are all recorded has ended; the others go on."""
    line = PostgresSendLine(tangled.pool)
    mine = await claim(tangled)
    commit = chunk_of(mine, 0, 1)
    await line.commit(replace(commit, cursor=1), tangled.now, 60)
    await line.release(mine.batch, tangled.now)
    await tangled.pool.execute("update credential set state = 2")

    assert await PostgresUpkeep(tangled.pool).untangle(tangled.now, at_once=10) == 1

    sizes = await tangled.pool.fetch("select size from batch where state = 1")
    assert [row["size"] for row in sizes] == [1, 1]
    states = [await state_of(tangled, n) for n in range(3)]
    assert sorted(states) == [MessageState.SENDING, MessageState.SENDING, MessageState.FINISHED]


async def test_work_over_a_good_credential_stays_together(tangled: Store) -> None:
    """Batches are what makes sending cheap."""
    assert await PostgresUpkeep(tangled.pool).untangle(tangled.now, at_once=10) == 0
