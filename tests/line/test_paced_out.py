"""A credential with a small budget delays its own messages and nobody else's."""

import asyncio
from pathlib import Path

import pytest
from tests.line.conftest import Store
from tests.line.test_send_line import ALL_LANES, planned, state_of

from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.policies import PostgresRulebook
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.adapters.system import SystemChance
from clarion.domain.campaign import MessageInput, MessageState
from clarion.domain.credential_health import FaultPolicy
from clarion.domain.ids import CredentialId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.outcome_runs import unpacked
from clarion.ports.messages import Accepted, Target
from clarion.ports.provider import Credential
from clarion.stages.delivery.health import CredentialHealth
from clarion.stages.delivery.overlay import Overlay
from clarion.stages.delivery.pacing import PacedOutError, Pacer
from clarion.stages.delivery.sender import DeliveryPorts, Slot, send_next
from clarion.stages.delivery.urgent import UrgentPath
from clarion.telemetry.metrics import Metrics
from clarion.testing.clock import ManualClock

SLOT = Slot(owner="s/0", lanes=ALL_LANES, chunk=250)


def ports_of(store: Store, clock: ManualClock, tmp_path: Path) -> DeliveryPorts:
    """A sender's world without any network: nothing may be sent in these tests."""
    line = PostgresSendLine(store.pool)

    async def credential(wanted: CredentialId) -> Credential:
        return Credential(
            id=wanted, app=store.app, network=Network.APNS, version=1, public={}, secret={}
        )

    return DeliveryPorts(
        line=line,
        providers={},
        credential=credential,
        clock=clock,
        chance=SystemChance(),
        health=CredentialHealth(policy=FaultPolicy()),
        overlay=Overlay(line),
        rulebook=PostgresRulebook(store.pool),
        pacer=Pacer(line=line, clock=clock),
        metrics=Metrics(tmp_path),
    )


@pytest.fixture
async def slow(store: Store) -> Store:
    """Ten people, over a credential that may send once a second."""
    await store.pool.execute("update credential set per_minute = 60")
    await planned(store)
    return store


async def test_a_batch_beyond_its_budget_is_given_back_until_its_time(
    slow: Store, tmp_path: Path
) -> None:
    """No slot sleeps for ten seconds while other people's messages wait."""
    ports = ports_of(slow, ManualClock(slow.now), tmp_path)

    async with asyncio.timeout(150):
        assert await send_next(ports, SLOT, asyncio.Event())

    row = await slow.pool.fetchrow("select state, run_at, claims, cursor from batch")
    assert tuple(row) == (1, slow.later(10), 0, 0)


async def test_waiting_for_a_budget_makes_no_batch_a_poison_batch(
    slow: Store, tmp_path: Path
) -> None:
    """Other processes may take the budget again and again."""
    await slow.pool.execute("update credential set per_minute = 1")
    for seconds in (0, 3600, 7200, 10800, 14400):
        ports = ports_of(slow, ManualClock(slow.later(seconds)), tmp_path)
        async with asyncio.timeout(150):
            assert await send_next(ports, SLOT, asyncio.Event())

    assert await slow.pool.fetchval("select array_agg(state) from batch") == [1]


async def test_what_was_taken_from_the_budget_is_kept_until_its_time(slow: Store) -> None:
    """The wait is paid once: at its end the sends go out."""
    clock = ManualClock(slow.now)
    pacer = Pacer(line=PostgresSendLine(slow.pool), clock=clock)
    credential = CredentialId(await slow.pool.fetchval("select min(id) from credential"))
    with pytest.raises(PacedOutError):
        await pacer.take(credential, Network.APNS, 10)

    clock.advance(9)
    with pytest.raises(PacedOutError) as early:
        await pacer.take(credential, Network.APNS, 10)
    clock.advance(1)
    async with asyncio.timeout(150):
        await pacer.take(credential, Network.APNS, 10)

    assert early.value.wait_s == pytest.approx(1)
    with pytest.raises(PacedOutError):
        await pacer.take(credential, Network.APNS, 1)


async def test_a_budget_filled_by_a_clock_far_ahead_is_not_stopped_until_then(slow: Store) -> None:
    """A machine whose clock was a day ahead does not stop the others for a day."""
    line = PostgresSendLine(slow.pool)
    credential = CredentialId(await slow.pool.fetchval("select min(id) from credential"))
    await line.pace(credential, Network.APNS, 1, slow.later(86400))

    first = await line.pace(credential, Network.APNS, 10, slow.now)
    second = await line.pace(credential, Network.APNS, 1, slow.later(60))

    assert first is not None
    assert first > 5
    assert second == 0


async def test_an_urgent_message_beyond_its_budget_is_left_to_the_senders(
    slow: Store, tmp_path: Path
) -> None:
    """The process that accepted it answers, and holds no lease while the budget fills."""
    ports = ports_of(slow, ManualClock(slow.now), tmp_path)
    urgent = UrgentPath(journal=PostgresJournal(slow.pool), delivery=ports, owner="api")
    new = slow.message(2, Target(users=["u1"]), lane=Lane.TRANSACTIONAL)

    assert await urgent.accept(new, slow.now) == Accepted()
    await urgent.drain()

    row = await slow.pool.fetchrow("select state, run_at, claims from batch where lane = 1")
    assert tuple(row) == (1, slow.later(1), 0)


async def test_an_urgent_message_that_ends_while_it_waits_is_not_sent(
    slow: Store, tmp_path: Path
) -> None:
    """What is known of its deadline is as old as the bytes, not as the wait."""
    await slow.pool.execute("update credential set per_minute = 180")
    clock = ManualClock(slow.now)
    ports = ports_of(slow, clock, tmp_path)
    urgent = UrgentPath(journal=PostgresJournal(slow.pool), delivery=ports, owner="api")
    new = slow.message(2, Target(users=["u1"]), lane=Lane.TRANSACTIONAL, expires_at=slow.later(0.2))

    assert await urgent.accept(new, slow.now) == Accepted()
    recording = asyncio.create_task(urgent.drain())
    async with asyncio.timeout(150):
        while not recording.done():
            clock.advance(0.1)
            await asyncio.sleep(0.01)

    rows = unpacked(await slow.pool.fetchval("select rows from chunk where kind = 1"))
    assert rows["reason"].tolist() == [Reason.DEADLINE_PASSED]
    assert await state_of(slow, 2) is MessageState.FINISHED


async def test_a_withdrawn_message_does_not_wait_for_a_budget(slow: Store, tmp_path: Path) -> None:
    """Nothing of it is sent: its recipients are told at once."""
    message = slow.message(1, Target()).message.id
    await PostgresMessages(slow.pool).steer(slow.app, message, MessageInput.CANCEL, slow.now)
    ports = ports_of(slow, ManualClock(slow.now), tmp_path)

    assert await send_next(ports, SLOT, asyncio.Event())

    assert await state_of(slow) is MessageState.CANCELED
