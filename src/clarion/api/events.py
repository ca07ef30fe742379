"""The progress of a message as server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from clarion.api.dependencies import ApiDependencies
from clarion.api.reporting import progress
from clarion.api.shapes.messages import ProgressView
from clarion.domain.campaign import MessageState
from clarion.domain.ids import AppId, MessageId

KEEP_ALIVE_S: Final = 15.0
RETRY_MS: Final = 2_000
_ENDS: Final = frozenset({MessageState.FINISHED, MessageState.CANCELED})


async def progress_events(
    deps: ApiDependencies, app: AppId, message: MessageId
) -> AsyncIterator[bytes]:
    """A `progress` event whenever something changed, then `end`.

    Ends without `end` when the server drains or the stream is too old: clients reconnect.
    """
    yield b"retry: %d\n\n" % RETRY_MS
    started = spoke = deps.clock.monotonic()
    shown: ProgressView | None = None
    while not deps.stopping.is_set():
        record = await deps.messages.get(app, message)
        if record is None:
            return
        counts = await deps.facts.counts(app, message, at_least_xid=record.xid)
        seen = progress(record, counts)
        now = deps.clock.monotonic()
        if seen != shown:
            shown, spoke = seen, now
            yield b"event: progress\ndata: " + msgspec.json.encode(seen) + b"\n\n"
        elif now - spoke > KEEP_ALIVE_S:
            spoke = now
            yield b": still here\n\n"
        if record.state in _ENDS:
            yield b"event: end\ndata: {}\n\n"
            return
        if now - started > deps.limits.events_for_s:
            return
        await _pause(deps)


async def _pause(deps: ApiDependencies) -> None:
    """Wait for the next look, or until the server drains."""
    try:
        async with asyncio.timeout(deps.limits.events_every_s):
            await deps.stopping.wait()
    except TimeoutError:
        return
