"""Who takes senders down is set aside; whoever was only near when they died is sent to."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.line.conftest import Store
from tests.line.test_paced_out import SLOT, ports_of
from tests.line.test_send_line import planned, state_of
from tests.line.test_slot_trouble import nobody

from clarion.domain.campaign import MessageState
from clarion.domain.ids import CredentialId
from clarion.domain.outcome import Reason
from clarion.domain.outcome_runs import unpacked
from clarion.ports.provider import Credential
from clarion.stages.delivery.sender import GIVE_UP_CLAIMS, RELEASE_S, send_next
from clarion.testing.clock import ManualClock


async def broken(wanted: CredentialId) -> Credential | None:
    """A fault that nobody foresaw, each time."""
    raise ZeroDivisionError(str(wanted))


async def reasons(store: Store) -> list[int]:
    """Why everybody of whom something is recorded was not sent to."""
    rows = await store.pool.fetch("select rows from chunk where kind = 1")
    return [int(reason) for row in rows for reason in unpacked(row["rows"])["reason"]]


async def test_a_batch_that_never_works_is_split_and_set_aside_in_the_end(
    store: Store, tmp_path: Path
) -> None:
    """The message ends; nobody is lost without an outcome."""
    await planned(store, count=3)
    clock = ManualClock(store.now)
    ports = replace(ports_of(store, clock, tmp_path), credential=broken)

    tries = 0
    while await state_of(store) is not MessageState.FINISHED:
        clock.advance(RELEASE_S)
        tries += await send_next(ports, SLOT, asyncio.Event())
        assert tries < 100

    assert await reasons(store) == [Reason.BATCH_POISONED] * 3


@pytest.mark.parametrize("deaths", [GIVE_UP_CLAIMS - 2, GIVE_UP_CLAIMS - 1])
async def test_one_recipient_is_given_up_only_after_many_deaths(
    store: Store, tmp_path: Path, deaths: int
) -> None:
    """Senders that are killed a few times in a row say nothing of whom they were sending to."""
    await planned(store, count=1)
    await store.pool.execute("update batch set claims = $1", deaths)
    ports = replace(ports_of(store, ManualClock(store.now), tmp_path), credential=nobody)

    assert await send_next(ports, SLOT, asyncio.Event())

    given_up = deaths + 1 >= GIVE_UP_CLAIMS
    assert (await reasons(store) == [Reason.BATCH_POISONED]) is given_up
    assert await state_of(store) is MessageState.FINISHED
