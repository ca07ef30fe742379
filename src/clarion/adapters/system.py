"""Time and chance from the operating system: the only module that asks for them."""

import asyncio
import os
import secrets
import time
from datetime import UTC, datetime

_COUNTER_BITS = 12
_TAIL_BITS = 62
_TAIL = (1 << _TAIL_BITS) - 1
_VERSION = 7
_VARIANT = 0b10
_MILLISECONDS = 1000
_FRACTION_BITS = 53


class SystemClock:
    """The machine's clock; a `ports.system.Clock`."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""
        await asyncio.sleep(seconds)


class SystemChance:
    """The machine's source of random bytes; a `ports.system.Chance`."""

    def __init__(self) -> None:
        self._latest = 0

    def token(self, octets: int) -> bytes:
        """`octets` bytes fit for keys."""
        return secrets.token_bytes(octets)

    def uuid7(self, now: datetime) -> str:
        """Each is greater than the one before, within this object and whatever `now` says.

        The millisecond and a 12-bit fraction of it (RFC 9562 section 6.2, method 3) make a
        60-bit number that is raised by one where time stands still or goes back.
        """
        fraction = (now.microsecond % _MILLISECONDS << _COUNTER_BITS) // _MILLISECONDS
        milliseconds = int(now.timestamp()) * _MILLISECONDS + now.microsecond // _MILLISECONDS
        ticks = max(milliseconds << _COUNTER_BITS | fraction, self._latest + 1)
        self._latest = ticks
        milliseconds, counter = divmod(ticks, 1 << _COUNTER_BITS)
        head = milliseconds << 16 | _VERSION << _COUNTER_BITS | counter
        tail = int.from_bytes(os.urandom(8), "big") & _TAIL | _VARIANT << _TAIL_BITS
        # Written by hand: an object of `uuid.UUID` costs a third of all this.
        text = f"{head:016x}{tail:016x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def fraction(self) -> float:
        """A number in [0, 1)."""
        return secrets.randbits(_FRACTION_BITS) / (1 << _FRACTION_BITS)
