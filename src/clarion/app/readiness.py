"""Whether a part that a process leans on answers, told in time whatever the part does."""

import asyncio
from collections.abc import Awaitable
from typing import Final

PATIENCE_S: Final = 2.0
"""Who asks has little more: a probe that is not answered is a failed one."""


async def works(question: Awaitable[None], patience_s: float = PATIENCE_S) -> bool:
    """Whether the question is answered in time; whatever goes wrong, the part does not work.

    A question to a store that hangs is taken back, and nobody waits until the store has heard of
    that: the driver does, for half a minute.
    """
    asked = asyncio.ensure_future(question)
    done, _ = await asyncio.wait({asked}, timeout=patience_s)
    if not done:
        asked.cancel()
        asked.add_done_callback(_heard)
    return bool(done) and not asked.cancelled() and asked.exception() is None


def _heard(asked: asyncio.Future[None]) -> None:
    """What became of it after all is nobody's business; an exception that is not read is logged."""
    if not asked.cancelled():
        asked.exception()
