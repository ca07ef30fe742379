"""Recording a chunk while somebody else writes to the same devices."""

import asyncio
from dataclasses import replace

from tests.line.conftest import Store
from tests.line.test_send_line import chunk_of, claim, planned

from clarion.adapters.state.send_line import PostgresSendLine
from clarion.ports.line import Burial

_WAITING = "select exists (select from pg_locks where not granted)"
_LOCK = "select id from device where id = $1 for update"


async def test_a_chunk_that_crosses_an_import_is_recorded_and_not_sent_again(store: Store) -> None:
    """Of two writers that wait for each other one begins anew; what was sent stays sent."""
    await planned(store)
    claimed = await claim(store)
    recipients = claimed.batch.recipients
    burial = Burial(
        device=recipients.device, reason=[201] * 10, registered_us=recipients.registered_us
    )
    commit = replace(chunk_of(claimed, 0, 10), burial=burial)
    first, last = int(recipients.device.min()), int(recipients.device.max())

    async with store.pool.acquire() as other, asyncio.timeout(20):
        async with other.transaction():
            await other.execute(_LOCK, last)
            recording = asyncio.create_task(
                PostgresSendLine(store.pool).commit(commit, store.now, 60)
            )
            while not await store.pool.fetchval(_WAITING):  # noqa: ASYNC110  # the server's state
                await asyncio.sleep(0.01)
            await other.execute(_LOCK, first)
        ack = await recording

    assert ack.recorded
    assert await store.pool.fetchval("select count(*) from device where state = 2") == 10
    assert await store.pool.fetchval("select count(*) from chunk") == 1
