"""Rates of an app and of its campaigns, shared fairly."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.line.conftest import Store
from tests.line.test_caps import everybody, plan_all, ports, rule

from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.domain.app_rules import Moment
from clarion.domain.batch_pacing import Waiting, spread
from clarion.domain.campaign import MessageInput

MINUTE = 60_000_000
BATCHES = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 20), st.integers(0, 5)), max_size=60
)


def waiting(batches: Sequence[tuple[str, int, int]], own: int | None) -> list[Waiting]:
    """Batches of campaigns."""
    return [
        Waiting(id=n, campaign=name, size=size, due_us=due * MINUTE, per_minute=own)
        for n, (name, size, due) in enumerate(batches)
    ]


@given(batches=BATCHES, rate=st.integers(6, 200), own=st.none() | st.integers(6, 200))
def test_no_rate_is_exceeded_and_nothing_runs_before_it_is_due(
    batches: list[tuple[str, int, int]], rate: int, own: int | None
) -> None:
    """Whatever follows a batch waits for as long as the batch takes at that rate."""
    all_of_them = waiting(batches, own)
    run = spread(all_of_them, per_minute=rate, taken_us=0, campaigns_us={}, now_us=0)

    assert len(run) == len(batches)
    assert all(run[one.id] >= one.due_us for one in all_of_them)
    for limit, mine in [(rate, all_of_them)] + [
        (own, [one for one in all_of_them if one.campaign == name]) for name in "abc" if own
    ]:
        ordered = sorted(mine, key=lambda one: run[one.id])
        for before, after in pairwise(ordered):
            assert run[after.id] >= run[before.id] + before.size * MINUTE // int(limit or 1)


def test_campaigns_share_alike_however_large_they_are() -> None:
    """A small one is through when it has had its half."""
    batches = [("large", 10, 0)] * 100 + [("small", 10, 0)] * 5
    run = spread(waiting(batches, None), per_minute=60, taken_us=0, campaigns_us={}, now_us=0)
    first = sorted(run, key=lambda n: run[n])[:10]
    assert Counter(batches[n][0] for n in first) == {"large": 5, "small": 5}


@pytest.fixture
async def slow(store: Store) -> Store:
    """200 people, and 120 sendings a minute."""
    await store.add_people(200)
    await rule(store, [])
    await store.pool.execute("update app set throttle_per_minute = 120")
    return store


async def test_two_campaigns_share_the_app_s_rate(slow: Store) -> None:
    """The second is spread among what waits of the first."""
    journal, planner = PostgresJournal(slow.pool), ports(slow)
    for number in (1, 2):
        await journal.accept(everybody(slow, number), slow.now)
        await planner.line.expand_due(slow.now, limit=10)
        await plan_all(planner)

    rows = await slow.pool.fetch(
        "select message_ids[1]::text as m, size, run_at from batch order by run_at, id"
    )
    at = np.array([(row["run_at"] - slow.now).total_seconds() for row in rows])
    size = np.array([row["size"] for row in rows])
    assert size.sum() == 400
    assert at[0] == 0
    for start in np.arange(0, at.max(), 10):
        inside = (at >= start) & (at < start + 60)
        assert size[inside].sum() <= 120
    first_minute = Counter(row["m"] for row, when in zip(rows, at, strict=True) if when < 60)
    assert len(first_minute) == 2
    assert max(first_minute.values()) - min(first_minute.values()) <= 2  # the one that ran already


async def test_a_campaign_keeps_its_own_rate(store: Store) -> None:
    """Without one of the app."""
    await store.add_people(200)
    await rule(store, [])
    planner = ports(store)
    made = everybody(store, 1, moment=Moment(throttle_per_minute=60))
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)

    last = await store.pool.fetchval("select max(run_at) from batch")
    assert (last - store.now).total_seconds() == 190


async def test_what_waited_in_a_pause_is_not_sent_all_at_once(slow: Store) -> None:
    """Resumed, it queues from then on at its rate, and with what others send."""
    journal, planner, messages = (
        PostgresJournal(slow.pool),
        ports(slow),
        PostgresMessages(slow.pool),
    )
    made = everybody(slow, 1)
    await journal.accept(made, slow.now)
    await planner.line.expand_due(slow.now, limit=10)
    await plan_all(planner)
    await messages.steer(slow.app, made.message.id, MessageInput.PAUSE, slow.later(1))
    await messages.steer(slow.app, made.message.id, MessageInput.RESUME, slow.later(3600))

    rows = await slow.pool.fetch("select size, run_at from batch order by run_at")
    at = [(row["run_at"] - slow.later(3600)).total_seconds() for row in rows]
    assert at == [10 * n for n in range(len(rows))]
    assert {row["size"] for row in rows} == {20}


async def test_a_message_withdrawn_in_a_pause_waits_for_no_turn(slow: Store) -> None:
    """Its batches are there to be recorded."""
    journal, planner, messages = (
        PostgresJournal(slow.pool),
        ports(slow),
        PostgresMessages(slow.pool),
    )
    made = everybody(slow, 1)
    await journal.accept(made, slow.now)
    await planner.line.expand_due(slow.now, limit=10)
    await plan_all(planner)
    for what in (MessageInput.PAUSE, MessageInput.CANCEL):
        await messages.steer(slow.app, made.message.id, what, slow.later(1))

    assert await slow.pool.fetchval("select max(run_at) from batch") == slow.later(1)
