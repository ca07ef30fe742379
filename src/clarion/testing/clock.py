"""A clock that moves when told."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from typing import Final

START: Final = datetime(2026, 1, 1, 12, tzinfo=UTC)


class ManualClock:
    """A `clarion.ports.system.Clock` for tests.

    Who sleeps wakes when `advance` has moved the time far enough.

    Args:
        at: the first instant, aware.
    """

    def __init__(self, at: datetime = START) -> None:
        self._first = at
        self._now = at
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    def now(self) -> datetime:
        """The set instant."""
        return self._now

    def monotonic(self) -> float:
        """Seconds since the first instant."""
        return (self._now - self._first).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Return when the time has been moved that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._count += 1
        woken = asyncio.Event()
        heapq.heappush(self._sleepers, (self.monotonic() + seconds, self._count, woken))
        await woken.wait()

    def advance(self, seconds: float) -> None:
        """Move the time forward and wake who has slept long enough.

        Raises:
            ValueError: time does not go back.
        """
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self.monotonic():
            heapq.heappop(self._sleepers)[2].set()
