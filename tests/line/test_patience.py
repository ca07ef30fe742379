"""The retry policy's patience is spent by the network, not by whoever holds the work."""

from datetime import timedelta

import numpy as np
import pytest
from tests.line.conftest import Store
from tests.line.test_send_line import ALL_LANES, claim, planned

from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.campaign import MessageInput
from clarion.domain.credential_health import Diagnosis
from clarion.domain.handoffs import Answers
from clarion.domain.outcome import Outcome, Reason, Verdict
from clarion.domain.retry import policy_for
from clarion.ports.line import ChunkCommit, ClaimedBatch
from clarion.stages.delivery.chunk import Chunk, Sent, commit_of, deadlines_us, settle_chunk

WEEK_S = 7 * 86400.0
TOOK_S = 2.0
THROTTLED = (Verdict.RETRY, Reason.THROTTLED, Diagnosis.HEALTHY)
REFUSED_KEY = (Verdict.ALERT_CONFIG, Reason.CREDENTIAL_REJECTED, Diagnosis.FAULTY)


def answered(
    store: Store,
    claimed: ClaimedBatch,
    said: tuple[Verdict, Reason, Diagnosis],
    *,
    seconds: float,
    asked_s: float = np.nan,
) -> ChunkCommit:
    """What is to be recorded when the network says the same to everybody."""
    batch = claimed.batch
    verdict, reason, diagnosis = said
    count = len(batch.recipients)
    chunk = Chunk(batch=batch, low=0, high=count, now=store.later(seconds))
    answers = Answers(
        verdict=np.full(count, verdict, np.uint8),
        reason=np.full(count, reason, np.uint16),
        status=np.full(count, 429, np.uint16),
        retry_after_s=np.full(count, asked_s, np.float32),
        dead_us=np.zeros(count, np.int64),
    )
    sent = Sent(
        index=np.arange(count),
        answers=answers,
        settlement=settle_chunk(
            chunk,
            answers,
            diagnosis,
            deadlines_us(batch, batch.recipients, chunk.now),
            batch.recipients.registered_us,
            fraction=0.5,
        ),
        diagnosis=diagnosis,
        credential_version=1,
    )
    done_at = chunk.now + timedelta(seconds=TOOK_S)
    return commit_of(chunk, np.zeros(count, np.uint16), sent, done_at)


async def record(store: Store, commit: ChunkCommit, *, seconds: float) -> None:
    """Commit what was answered."""
    ack = await PostgresSendLine(store.pool).commit(commit, store.later(seconds), 60)
    assert ack.recorded


async def test_a_week_in_quarantine_spends_nothing(store: Store) -> None:
    """When the operator has put it right, a throttled network is asked again as ever."""
    await planned(store)
    await record(store, answered(store, await claim(store), REFUSED_KEY, seconds=0), seconds=2)
    line = PostgresSendLine(store.pool)
    assert await line.claim("s", ALL_LANES, store.later(60), 60) is None
    await store.pool.execute("update credential set state = 1")

    held = await claim(store, seconds=WEEK_S)
    again = answered(store, held, THROTTLED, seconds=WEEK_S)

    assert held.batch.spent_s == 0
    assert (again.sent.rows["outcome"] == 0).all()
    assert len(again.retries) == 1


async def test_a_week_in_pause_spends_nothing(store: Store) -> None:
    """A throttled recipient that was paused before its next attempt has all its attempts left."""
    await planned(store)
    messages = PostgresMessages(store.pool)
    claimed = await claim(store)
    message = claimed.batch.messages[0].id
    await record(store, answered(store, claimed, THROTTLED, seconds=0), seconds=2)
    await messages.steer(store.app, message, MessageInput.PAUSE, store.later(3))
    await messages.steer(store.app, message, MessageInput.RESUME, store.later(WEEK_S))

    second = await claim(store, seconds=WEEK_S)
    again = answered(store, second, THROTTLED, seconds=WEEK_S)

    assert second.batch.attempt == 1
    assert len(again.retries) == 1


async def test_attempts_and_the_waits_that_follow_spend_it(store: Store) -> None:
    """A network that asks for long waits is at the end of the policy's patience."""
    await planned(store)
    claimed = await claim(store)
    limit_s = policy_for(claimed.batch.lane).give_up_after_s
    asked_s = float(int(limit_s * 0.6))
    first = answered(store, claimed, THROTTLED, seconds=0, asked_s=asked_s)
    await record(store, first, seconds=2)

    second = await claim(store, seconds=asked_s + TOOK_S)
    last = answered(store, second, THROTTLED, seconds=asked_s + TOOK_S, asked_s=asked_s)

    assert second.batch.spent_s == pytest.approx(asked_s + TOOK_S)
    assert (last.sent.rows["outcome"] == Outcome.FAILED).all()
    assert not last.retries


async def test_a_key_that_works_for_others_spends_it(store: Store) -> None:
    """A fault that quarantines nothing is waited for no longer than the policy says."""
    await planned(store)
    refused = (Verdict.ALERT_CONFIG, Reason.TOPIC_DISALLOWED, Diagnosis.HEALTHY)
    await record(store, answered(store, await claim(store), refused, seconds=0), seconds=2)

    again = await claim(store, seconds=40)

    assert again.batch.attempt == 0
    assert again.batch.spent_s > TOOK_S


async def test_what_is_spent_goes_along_when_a_batch_is_halved_or_left(store: Store) -> None:
    """Neither a poison batch's halves nor a dead sender's work begin anew."""
    await planned(store)
    await record(store, answered(store, await claim(store), THROTTLED, seconds=0), seconds=2)
    line, late = PostgresSendLine(store.pool), 3600.0
    left = await claim(store, "dead", seconds=late)
    assert await PostgresHousekeeping(store.pool).abandon("dead") == 1
    found = await claim(store, seconds=late)

    await line.split(found, store.later(late))

    halves = [await claim(store, seconds=late), await claim(store, seconds=late)]
    assert left.batch.spent_s > TOOK_S
    assert {half.batch.spent_s for half in halves} == {left.batch.spent_s}
