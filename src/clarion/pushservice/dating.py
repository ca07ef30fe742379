"""The `Date` of answers (RFC 9110 section 6.6.1)."""

from clarion.ports.system import Clock
from clarion.wire.push_headers import format_http_date

_SECOND_US = 1_000_000


class Dates:
    """Writes the field once a second: thousands of answers share it."""

    __slots__ = ("_clock", "_line", "_until")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._line = b""
        self._until = float("-inf")

    def line(self, monotonic: float) -> bytes:
        """The field with its line's end; `monotonic` is the clock's seconds at this moment."""
        if monotonic >= self._until:
            now = self._clock.now()
            self._until = monotonic + 1.0 - now.microsecond / _SECOND_US
            self._line = b"date: %b\r\n" % format_http_date(now).encode("ascii")
        return self._line
