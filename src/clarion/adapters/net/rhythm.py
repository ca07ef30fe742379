"""When to pause: reading and writing in ticks while answers trickle in (no I/O here).

With answers arriving one by one, system calls and TLS records cost more than all else together.
Above some thousands of answers a second, taking them in every two milliseconds instead of at every
event nearly halves the CPU time. A pause must not cost throughput, though: it is worth it only
while each wake-up brings a small share of what is open, which is to say while the server's answers
take much longer than a tick.
"""

from typing import Final

TICK_S: Final = 0.002
_BUSY_PER_S: Final = 5_000.0
_SMALL_SHARE: Final = 0.25
_MEASURE_S: Final = 0.05
_REST_S: Final = 0.2


class Rhythm:
    """The tick of one connection: none when idle, none when it would hold answers back."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._since = 0.0
        self._count = 0
        self._rate = 0.0
        self._resting_until = 0.0

    def pause_after(self, ended: int, were_open: int, now: float) -> bool:
        """Whether to pause for a tick, after a wake-up that ended so many of the open requests.

        Args:
            ended: Requests that ended in this wake-up.
            were_open: Requests that were open before it.
            now: Monotonic seconds.
        """
        if not self._enabled:
            return False
        self._count += ended
        elapsed = now - self._since
        if elapsed >= _MEASURE_S:
            self._rate = self._count / elapsed
            self._since, self._count = now, 0
        if ended > _SMALL_SHARE * were_open:
            # The tick is long against this server's answers: stay away from it for a while.
            self._resting_until = now + _REST_S
        return self._rate >= _BUSY_PER_S and now >= self._resting_until
