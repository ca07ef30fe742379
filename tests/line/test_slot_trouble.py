"""A slot outlives what nobody foresaw: its process may be in the middle of another's chunk."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tests.line.conftest import Store
from tests.line.test_paced_out import SLOT, ports_of
from tests.line.test_send_line import planned, state_of

from clarion.adapters.system import SystemClock
from clarion.domain.campaign import MessageState
from clarion.domain.ids import CredentialId
from clarion.ports.provider import Credential
from clarion.stages.delivery.sender import serve_slot
from clarion.telemetry.names import LogEvent
from clarion.testing.clock import ManualClock


async def nobody(wanted: CredentialId) -> Credential | None:
    """No credential: every recipient is recorded as unsent."""
    del wanted
    return None


async def until(store: Store, state: MessageState) -> None:
    """Return when the message is there."""
    async with asyncio.timeout(150):
        while await state_of(store) is not state:  # noqa: ASYNC110  # the server's state
            await asyncio.sleep(0.01)


async def test_a_slot_that_can_t_lease_tries_again_later(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of the statement itself ends neither the slot nor what others have under way."""
    await planned(store)
    stop, world = asyncio.Event(), ports_of(store, ManualClock(store.now), tmp_path)
    ports = replace(world, credential=nobody, clock=SystemClock())
    await store.pool.execute("alter table gave_way rename to elsewhere")

    serving = asyncio.create_task(serve_slot(ports, SLOT, stop))
    async with asyncio.timeout(150):
        while not caplog.records and not serving.done():  # noqa: ASYNC110  # its log
            await asyncio.sleep(0.01)
    await store.pool.execute("alter table elsewhere rename to gave_way")
    await until(store, MessageState.FINISHED)
    stop.set()
    await serving

    assert LogEvent.HANDLER_FAILED in caplog.text
