"""A held part that gave way comes back, unless the more important message has gone out."""

from datetime import datetime, time, timedelta

import numpy as np
import pytest
from tests.line.conftest import Store
from tests.line.test_caps import PEOPLE, decisions, everybody, plan_all, ports, rule

from clarion.adapters.state.forgetting import forget_plans
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.domain.app_rules import Moment
from clarion.domain.campaign import MessageInput
from clarion.domain.decision_row import Action
from clarion.domain.ids import UserId
from clarion.domain.lanes import Lane
from clarion.domain.outcome import Outcome, Reason
from clarion.domain.send_time import AtLocal
from clarion.ports.line import ClaimedBatch
from clarion.stages.delivery.chunk import Chunk, commit_of
from clarion.stages.delivery.lateness import await_winner, give_way, with_put_off

HELD, WINNER = 1, 9
EARLIER = AtLocal(clock=time(17))
"""Five hours after the store's now..."""
LATER = AtLocal(clock=time(18))
"""...and six."""
FIVE, SIX = 5 * 3600, 6 * 3600


async def accept(store: Store, number: int, moment: Moment, **changes: object) -> None:
    """A message to everybody, planned now."""
    planner = ports(store)
    made = everybody(store, number, moment=moment, **changes)
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)


async def steer(store: Store, number: int, what: MessageInput, seconds: float) -> None:
    """Pause, resume or withdraw."""
    message = everybody(store, number).message.id
    await PostgresMessages(store.pool).steer(store.app, message, what, store.later(seconds))


async def lease(store: Store, now: datetime) -> ClaimedBatch | None:
    """What a sender gets."""
    return await PostgresSendLine(store.pool).claim("s", list(Lane), now, 300)


async def send(
    store: Store,
    seconds: float,
    *,
    outcome: Outcome = Outcome.ACCEPTED,
    only: slice | None = None,
) -> dict[int, set[int]]:
    """Senders' work at some instant, with networks that answer `outcome`; message -> reasons.

    `only` says for whom; the others are accepted.
    """
    now, told = store.later(seconds), dict[int, set[int]]()
    while (claimed := await lease(store, now)) is not None:
        batch = claimed.batch
        chunk = Chunk(batch=batch, low=0, high=len(batch.recipients), now=now)
        reasons = np.zeros(len(batch.recipients), np.uint16)
        give_way(chunk, claimed.gave_way.out, reasons)
        late = await_winner(chunk, claimed.gave_way, reasons, claimed.canceled)
        if claimed.canceled:
            reasons[:] = Reason.CANCELED_BY_SENDER
        commit = with_put_off(commit_of(chunk, reasons, None, now), late)
        rows = commit.sent.rows
        going = np.flatnonzero(reasons == 0)
        rows["outcome"][going] = Outcome.ACCEPTED
        rows["outcome"][going if only is None else going[only]] = outcome
        assert (await PostgresSendLine(store.pool).commit(commit, now, 300)).recorded
        number = int(batch.messages[0].id[-4:], 16)
        told.setdefault(number, set()).update(reasons.tolist())
    return told


@pytest.fixture
async def pair(store: Store) -> Store:
    """A cap of one a week, and a message that is held until six in the evening."""
    await store.add_people(PEOPLE)
    await rule(store, [{"count": 1, "per": "7d"}])
    await accept(store, HELD, Moment(local=LATER, importance=1))
    return store


async def test_the_held_part_is_lost_when_the_other_has_gone_out(pair: Store) -> None:
    """They have one message, the more important one."""
    await accept(pair, WINNER, Moment(importance=9))

    assert await send(pair, 0) == {WINNER: {0}}
    assert await send(pair, SIX) == {HELD: {Reason.GAVE_WAY}}


async def test_a_lease_learns_of_the_people_that_its_batch_may_have_alone(pair: Store) -> None:
    """A message to a million is many batches: what gave way elsewhere is not read with each."""
    await accept(pair, WINNER, Moment(importance=9))
    await send(pair, 0)
    await pair.pool.execute(
        "insert into gave_way (message_id, range, people, gone, winner, created_at) "
        "select message_id, 31, $1, $1, winner, created_at from gave_way",
        np.array([31 * 32 + 5], "<i8").tobytes(),
    )
    claimed = await lease(pair, pair.later(SIX))

    assert claimed is not None
    assert sorted(claimed.gave_way.out.tolist()) == sorted(claimed.batch.recipients.user.tolist())


async def test_a_withdrawn_winner_gives_the_place_back(pair: Store) -> None:
    """Nobody is left with neither."""
    await accept(pair, WINNER, Moment(local=EARLIER, importance=9))
    await steer(pair, WINNER, MessageInput.CANCEL, 3600)

    assert await send(pair, 3600) == {WINNER: {Reason.CANCELED_BY_SENDER}}
    assert await send(pair, SIX) == {HELD: {0}}


@pytest.mark.parametrize("end", [Outcome.DEAD, Outcome.EXPIRED, Outcome.FAILED, Outcome.REFUSED])
async def test_a_winner_that_ends_without_going_out_gives_the_place_back(
    pair: Store, end: Outcome
) -> None:
    """To those whom it did not reach, and to nobody else."""
    await accept(pair, WINNER, Moment(importance=9))
    assert await send(pair, 0, outcome=end, only=slice(0, 5)) == {WINNER: {0}}

    assert await send(pair, SIX) == {HELD: {0, Reason.GAVE_WAY}}
    rows = await pair.pool.fetch(
        "select rows from chunk where message_ids[1] = $1", everybody(pair, HELD).message.id
    )
    assert len(rows) > 0


async def test_one_of_several_devices_is_enough_for_the_winner(pair: Store) -> None:
    """A message that reached a person on any device has gone out to them."""
    await pair.pool.execute(
        """insert into device (app_id, user_id, network, token, token_key, state, registered_at,
                               created_at, updated_at)
           select app_id, user_id, network, 'b' || token, token_key || '\\x00'::bytea, state,
                  registered_at, created_at, updated_at from device"""
    )
    await accept(pair, WINNER, Moment(importance=9))
    assert await send(pair, 0, outcome=Outcome.DEAD, only=slice(0, None, 2)) == {WINNER: {0}}

    assert await send(pair, SIX) == {HELD: {Reason.GAVE_WAY}}


async def test_who_may_still_get_the_winner_waits_for_it(pair: Store) -> None:
    """It is paused as the held part is due; then it is withdrawn, and the part goes out."""
    await accept(pair, WINNER, Moment(local=EARLIER, importance=9))
    await steer(pair, WINNER, MessageInput.PAUSE, 60)

    assert await send(pair, SIX) == {HELD: {Reason.HELD_FOR_CAP}}
    assert await send(pair, SIX + 60) == {}
    await steer(pair, WINNER, MessageInput.CANCEL, SIX + 120)
    assert await send(pair, SIX + 120) == {WINNER: {Reason.CANCELED_BY_SENDER}}
    assert await send(pair, SIX + 3600) == {HELD: {0}}


async def test_who_gets_the_winner_late_loses_the_part_that_waited(pair: Store) -> None:
    """It is resumed."""
    await accept(pair, WINNER, Moment(local=EARLIER, importance=9))
    await steer(pair, WINNER, MessageInput.PAUSE, 60)
    assert await send(pair, SIX) == {HELD: {Reason.HELD_FOR_CAP}}
    await steer(pair, WINNER, MessageInput.RESUME, SIX + 60)

    assert await send(pair, SIX + 60) == {WINNER: {0}}
    assert await send(pair, SIX + 3600) == {HELD: {Reason.GAVE_WAY}}


async def test_a_part_that_can_t_wait_any_longer_says_that_it_gave_way(store: Store) -> None:
    """Its own deadline comes before the other is decided about."""
    await store.add_people(PEOPLE)
    await rule(store, [{"count": 1, "per": "7d"}])
    over = store.later(SIX + 300)
    await accept(store, HELD, Moment(local=LATER, importance=1), expires_at=over)
    await accept(store, WINNER, Moment(local=EARLIER, importance=9))
    await steer(store, WINNER, MessageInput.PAUSE, 60)

    assert await send(store, SIX) == {HELD: {Reason.HELD_FOR_CAP}}
    assert await send(store, SIX + 240) == {HELD: {Reason.GAVE_WAY}}


async def test_a_winner_that_is_a_day_late_has_lost_its_place(pair: Store) -> None:
    """It was paused and forgotten."""
    await accept(pair, WINNER, Moment(local=EARLIER, importance=9))
    await steer(pair, WINNER, MessageInput.PAUSE, 60)
    assert await send(pair, SIX) == {HELD: {Reason.HELD_FOR_CAP}}

    assert await send(pair, FIVE + 86_400 + 60) == {HELD: {0}}


async def test_both_count_until_one_of_them_has_gone_out(pair: Store) -> None:
    """So that no third message takes a place that may be given back."""
    await accept(pair, WINNER, Moment(local=EARLIER, importance=9))
    frequency = ports(pair).frequency
    since = pair.now - timedelta(days=8)
    assert len((await frequency.read(pair.app, (0, 1024), since)).ledger) == 2 * PEOPLE

    await send(pair, FIVE)

    assert len((await frequency.read(pair.app, (0, 1024), since)).ledger) == PEOPLE
    assert (await decisions(pair))["action"].tolist().count(Action.HOLD) == 2 * PEOPLE


async def test_who_is_erased_is_in_neither_column(pair: Store) -> None:
    """Whether or not the other message has gone out to them."""
    await accept(pair, WINNER, Moment(importance=9))
    await send(pair, 0)
    user = await pair.pool.fetchval("select min(id) from users")

    async with pair.pool.acquire() as connection, connection.transaction():
        found = await forget_plans(connection, pair.app, [UserId(user)], pair.now)

    assert found["state.gave_way"] == 1
    for row in await pair.pool.fetch("select people, gone from gave_way"):
        for column in row:
            assert user not in np.frombuffer(column, "<i8")
