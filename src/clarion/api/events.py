"""The progress of a message as server-sent events (WHATWG HTML, section 9.2)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Final

import msgspec

from clarion.api.dependencies import ApiDependencies
from clarion.api.reporting import progress
from clarion.api.shapes.messages import ProgressView
from clarion.domain.ids import AppId, MessageId
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.store import StoreUnavailableError
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

KEEP_ALIVE_S: Final = 15.0
RETRY_MS: Final = 2_000
_ENDS: Final = frozenset({"finished", "canceled"})
_LOGGER = logging.getLogger(__name__)


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
        seen = await _look(deps, app, message)
        now = deps.clock.monotonic()
        if seen is not None and seen != shown:
            shown, spoke = seen, now
            yield b"event: progress\ndata: " + msgspec.json.encode(seen) + b"\n\n"
        elif now - spoke > KEEP_ALIVE_S:
            spoke = now
            yield b": still here\n\n"
        if seen is not None and seen.state in _ENDS:
            yield b"event: end\ndata: {}\n\n"
            return
        if now - started > deps.limits.events_for_s:
            return
        await _pause(deps)


async def _look(deps: ApiDependencies, app: AppId, message: MessageId) -> ProgressView | None:
    """The progress now; None while it can't be read, which a later look makes up for."""
    try:
        record = await deps.messages.get(app, message)
        if record is None:
            return None
        counts = await deps.facts.counts(app, message, at_least_xid=record.xid)
    except (StoreUnavailableError, FactsUnavailableError) as error:
        log(_LOGGER, logging.WARNING, LogEvent.FACTS_UNAVAILABLE, cause=f"{error}")
        return None
    return progress(record, counts)


async def _pause(deps: ApiDependencies) -> None:
    """Wait for the next look, or until the server drains."""
    try:
        async with asyncio.timeout(deps.limits.events_every_s):
            await deps.stopping.wait()
    except TimeoutError:
        return
