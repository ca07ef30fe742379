"""A sender's process: some slots, each with at most one chunk that is not recorded."""

import asyncio

from clarion.app.container import Container
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.stages.delivery.sender import Slot, serve_slot

BULK_SLOTS = 1
"""Slots for any lane. Together they may hold 500 recipients that are sent to and not recorded; one
slot with the whole of it costs half of what two halves do, since most work is per chunk. More
processes, not more slots, are the way to more at once."""


async def run_sender(container: Container, owner: str, stop: asyncio.Event) -> None:
    """Send batches of every lane; one slot is only for urgent ones."""
    urgent = Slot(
        owner=f"{owner}/urgent",
        lanes=(Lane.CALL, Lane.TRANSACTIONAL),
        chunk=CHUNK_RECIPIENTS[Lane.TRANSACTIONAL],
    )
    chunk = CHUNK_RECIPIENTS[Lane.CAMPAIGN] // BULK_SLOTS
    bulk = [
        Slot(owner=f"{owner}/{number}", lanes=tuple(Lane), chunk=chunk)
        for number in range(BULK_SLOTS)
    ]
    slots = [urgent, *bulk]
    await asyncio.gather(*(serve_slot(container.delivery, slot, stop) for slot in slots))
