"""Rates hold as batches are leased, whenever that is and whoever was tried before."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.line.conftest import Store
from tests.line.test_caps import everybody, plan_all, ports, rule

from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.app_rules import Moment
from clarion.domain.batch_pacing import JITTER_US, Rate, Waiting, spread, turn
from clarion.domain.campaign import MessageInput
from clarion.domain.handoffs import OUTCOME_ROW, BatchSent, ChunkKind
from clarion.domain.ids import MessageId
from clarion.domain.lanes import Lane
from clarion.ports.line import ChunkCommit, ClaimedBatch, RetryBatch

LANES = list(Lane)
MINUTE_US = 60_000_000


async def planned(store: Store, *numbers: int, own: int | None = None) -> None:
    """Campaigns to everybody, planned now."""
    planner = ports(store)
    for number in numbers:
        made = everybody(store, number, moment=Moment(throttle_per_minute=own))
        await PostgresJournal(store.pool).accept(made, store.now)
        await planner.line.expand_due(store.now, limit=10)
        await plan_all(planner)


async def lease(store: Store, seconds: float) -> ClaimedBatch | None:
    """What a sender gets at some time."""
    return await PostgresSendLine(store.pool).claim("s", LANES, store.later(seconds), 300)


async def done(store: Store, claimed: ClaimedBatch, *, retry_at: float | None = None) -> None:
    """Record a batch as tried; all of it once more at some time."""
    batch = claimed.batch
    rows = np.zeros(len(batch.recipients), OUTCOME_ROW)
    retries = []
    if retry_at is not None:
        again = store.later(retry_at)
        retries = [
            RetryBatch(
                message=batch.messages[0],
                recipients=batch.recipients,
                run_at=again,
                attempt=batch.attempt + 1,
            )
        ]
    sent = BatchSent(app=batch.app, kind=ChunkKind.SENT, messages=[batch.messages[0].id], rows=rows)
    chunk = ChunkCommit(batch=batch, cursor=len(rows), sent=sent, retries=retries)
    ack = await PostgresSendLine(store.pool).commit(chunk, store.later(0), 300)
    assert ack.recorded


async def sent(
    store: Store, low: int, high: int, *, failing: frozenset[int] = frozenset()
) -> list[tuple[int, int, MessageId, int]]:
    """Second, recipients, message and attempt of what senders lease in some seconds.

    `failing` are the seconds in which a network wants everybody to be tried again 3 s later.
    """
    found = []
    for second in range(low, high):
        while (claimed := await lease(store, second)) is not None:
            batch = claimed.batch
            found.append((second, len(batch.recipients), batch.messages[0].id, batch.attempt))
            await done(store, claimed, retry_at=second + 3 if second in failing else None)
    return found


def most_in_a_minute(found: list[tuple[int, int, MessageId, int]]) -> int:
    """The most recipients of any sixty seconds."""
    return max(
        sum(size for second, size, *_ in found if start <= second < start + 60)
        for start, *_ in found
    )


@pytest.fixture
async def slow(store: Store) -> Store:
    """200 people, and 120 sendings a minute: batches of 20."""
    await store.add_people(200)
    await rule(store, [])
    await store.pool.execute("update app set throttle_per_minute = 120")
    return store


async def test_what_missed_its_turns_is_not_sent_all_at_once(slow: Store) -> None:
    """All senders were down for an hour: the rate holds from then on."""
    await planned(slow, 1)

    found = await sent(slow, 3600, 3720)

    assert sum(size for _, size, *_ in found) == 200
    assert found[0][0] == 3600
    assert most_in_a_minute(found) <= 120 + 20
    assert found[-1][0] >= 3600 + 80


async def test_campaigns_share_alike_what_is_left_after_a_stop(slow: Store) -> None:
    """Whichever was planned first."""
    await planned(slow, 1, 2)

    first = await sent(slow, 3600, 3660)

    shares = [
        sum(size for _, size, one, _ in first if one == name) for name in {r[2] for r in first}
    ]
    assert len(shares) == 2
    assert abs(shares[0] - shares[1]) <= 20


async def test_a_campaign_s_own_rate_holds_after_a_stop(store: Store) -> None:
    """Without one of the app; another campaign is not slowed down by it."""
    await store.add_people(60)
    await rule(store, [])
    await planned(store, 1, own=60)
    await planned(store, 2)

    found = await sent(store, 3600, 3670)

    slow = [row for row in found if row[2] == found[0][2]]
    fast = [row for row in found if row[2] != found[0][2]]
    if len(slow) < len(fast):
        slow, fast = fast, slow
    assert sum(size for _, size, *_ in slow) == 60
    assert slow[-1][0] >= 3600 + 45
    assert {second for second, *_ in fast} == {3600}


async def test_who_is_tried_again_is_counted(slow: Store) -> None:
    """Half a minute of failures takes half a minute of the rate, and no minute has more."""
    await planned(slow, 1)

    found = await sent(slow, 0, 240, failing=frozenset(range(30)))

    assert sum(size for _, size, *_ in found) > 240
    assert most_in_a_minute(found) <= 120 + 20 + 8
    assert sum(size for *_, size, _, attempt in found if not attempt) == 200


async def test_who_is_tried_again_goes_before_those_who_were_not_tried(slow: Store) -> None:
    """Their time to live and their patience run."""
    await planned(slow, 1)

    found = await sent(slow, 0, 60, failing=frozenset({0}))

    assert [attempt for *_, attempt in found][:3] == [0, 1, 0]


async def test_a_turn_that_a_budget_delays_is_counted_once(slow: Store) -> None:
    """A sender that gives its batch back for a credential's sake has had its turn."""
    await planned(slow, 1)
    line = PostgresSendLine(slow.pool)
    claimed = await lease(slow, 0)
    assert claimed is not None
    await line.release(claimed.batch, slow.later(5))

    again = await lease(slow, 5)

    assert again is not None
    assert again.batch.id == claimed.batch.id
    await done(slow, again)
    assert await lease(slow, 9) is None
    assert await lease(slow, 10) is not None


async def test_a_counted_batch_goes_on_after_a_pause(slow: Store) -> None:
    """It was leased when the pause came: it has had its turn, and waits for no other."""
    await planned(slow, 1)
    begun = await lease(slow, 0)
    assert begun is not None
    messages, message = PostgresMessages(slow.pool), begun.batch.messages[0].id
    await messages.steer(slow.app, message, MessageInput.PAUSE, slow.later(1))
    await PostgresSendLine(slow.pool).release(begun.batch, slow.later(2))
    assert await lease(slow, 3) is None
    await messages.steer(slow.app, message, MessageInput.RESUME, slow.later(4))

    again = await lease(slow, 4)

    assert again is not None
    assert again.batch.id == begun.batch.id
    assert await slow.pool.fetchval("select max(run_at) < $1 from batch", slow.later(3600))


async def test_a_batch_that_waits_for_its_turn_has_not_been_tried(slow: Store) -> None:
    """Its clocks do not run, and it is no poison batch for having been looked at."""
    await planned(slow, 1)
    claimed = await lease(slow, 3600)
    assert claimed is not None

    assert await lease(slow, 3600) is None

    rows = await slow.pool.fetch(
        "select claims, first_attempt_at from batch where id <> $1", claimed.batch.id
    )
    assert {tuple(row) for row in rows} == {(0, None)}


async def test_what_is_withdrawn_or_over_needs_no_turn(slow: Store) -> None:
    """It is only recorded: that takes nothing of the rate and waits for nobody."""
    await planned(slow, 1)
    message = everybody(slow, 1).message.id
    await PostgresMessages(slow.pool).steer(slow.app, message, MessageInput.CANCEL, slow.later(1))

    assert len(await sent(slow, 1, 2)) == 10
    assert await slow.pool.fetchval("select rate_at from app") is None


async def test_a_rate_that_was_changed_counts_at_once(slow: Store) -> None:
    """What was taken under a rate by mistake does not stop the app for its sake."""
    await planned(slow, 1)
    await slow.pool.execute("update app set throttle_per_minute = 1")
    assert await lease(slow, 0) is not None
    assert await lease(slow, 600) is None

    await slow.pool.execute("update app set throttle_per_minute = 6000")

    assert await sent(slow, 1210, 1230)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 30_000_000), st.integers(1, 20), st.booleans()), max_size=80
    ),
    per_minute=st.integers(6, 600),
)
def test_no_stretch_of_time_has_more_than_its_share(
    steps: list[tuple[int, int, bool]], per_minute: int
) -> None:
    """Over any stretch: what the rate gives, one batch, and what the two allowances hold."""
    rate = Rate(per_minute=per_minute, at_us=None, taken=0)
    went: list[tuple[int, int]] = []
    for (_, size, again), now_us in zip(steps, accumulate(step for step, *_ in steps), strict=True):
        given_turn = turn([rate], now_us=MINUTE_US + now_us, again=again)
        if given_turn.go:
            rate = Rate(per_minute=per_minute, at_us=given_turn.at_us, taken=size)
            went.append((MINUTE_US + now_us, size))

    for start, (first_us, _) in enumerate(went):
        for end in range(start, len(went)):
            inside = sum(size for _, size in went[start:end])
            allowed = (went[end][0] - first_us + 2 * JITTER_US) * per_minute / MINUTE_US
            assert inside <= allowed + 1


def test_a_clock_that_was_far_ahead_stops_nobody() -> None:
    """Its turn counts as one of now."""
    rate = Rate(per_minute=60, at_us=86_400_000_000, taken=10)
    assert rate.free_us(0) == 10_000_000


def test_what_is_due_again_takes_the_campaign_s_next_turn() -> None:
    """It waits neither for the campaign's end nor, before it is due, in its way."""
    first = [Waiting(id=n, campaign="a", size=10, due_us=0, per_minute=None) for n in range(5)]
    again = Waiting(id=9, campaign="a", size=10, due_us=15_000_000, per_minute=None, again=True)
    run = spread([*first, again], per_minute=60, taken_us=0, campaigns_us={}, now_us=0)
    assert sorted(run, key=lambda n: run[n]) == [0, 1, 9, 2, 3, 4]


async def test_a_counted_batch_that_is_taken_apart_is_not_counted_again(store: Store) -> None:
    """Its halves go at once: their recipients have had their turn."""
    await store.add_people(10)
    await rule(store, [])
    await store.pool.execute("update app set throttle_per_minute = 60")
    await planned(store, 1)
    claimed = await lease(store, 60)
    assert claimed is not None

    await PostgresSendLine(store.pool).split(claimed, store.later(60))

    halves = [await lease(store, 60), await lease(store, 60)]
    assert [half and len(half.batch.recipients) for half in halves] == [5, 5]
