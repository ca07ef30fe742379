"""Time and chance, so that everything else can be told what time it is."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC; may jump with the wall clock."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards, for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of monotonic time."""
        ...


class Chance(Protocol):
    """Where unpredictable bytes come from."""

    def token(self, octets: int) -> bytes:
        """`octets` bytes fit for keys."""
        ...

    def uuid7(self, now: datetime) -> str:
        """A new UUID version 7 (RFC 9562 section 5.7), 36 characters."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1) for jitter."""
        ...
