"""When to pause: reading and writing in ticks while answers trickle in (no I/O here).

With answers arriving one by one, system calls and TLS records cost more than all else together.
Above some thousands of answers a second, taking them in every two to five milliseconds instead of
at every event halves the CPU time and more: refills are larger too, and the answers of one read
are settled as a column. A pause must not cost throughput, though: it is worth it only while each
wake-up brings a small share of what is open, which is to say while the server's answers take much
longer than a tick. So the tick grows and shrinks until about an eighth of what is open ends in it.
"""

from typing import Final

SHORTEST_S: Final = 0.002
LONGEST_S: Final = 0.005
_STEP: Final = 1.25
_LITTLE: Final = 0.09
_MUCH: Final = 0.16
"""Shares of the open requests that end in a tick: it grows below the first, shrinks above this."""
_BUSY_PER_S: Final = 5_000.0
_SMALL_SHARE: Final = 0.25
_MEASURE_S: Final = 0.05
_REST_S: Final = 0.2


class Rhythm:
    """The tick of one connection: none when idle, none when it would hold answers back.

    Attributes:
        tick_s: How long the next pause is, in seconds.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._since = 0.0
        self._count = 0
        self._rate = 0.0
        self._resting_until = 0.0
        self._paused = self._burst = False
        self.tick_s = SHORTEST_S

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
        if self._paused:
            self._adapt(ended, were_open)
        if ended > _SMALL_SHARE * were_open:
            # Once may be a burst. Again, and the tick is long against this server's answers: stay
            # away from it for a while.
            if self._burst:
                self._resting_until = now + _REST_S
            self._burst, self._paused = True, False
            return False
        self._burst = False
        self._paused = self._rate >= _BUSY_PER_S and now >= self._resting_until
        return self._paused

    def _adapt(self, ended: int, were_open: int) -> None:
        """After a tick that ended so many of the open requests."""
        if ended < _LITTLE * were_open:
            self.tick_s = min(LONGEST_S, self.tick_s * _STEP)
        elif ended > _MUCH * were_open:
            self.tick_s = max(SHORTEST_S, self.tick_s / _STEP)
