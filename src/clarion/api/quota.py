"""Request quotas: a token bucket per key, or per visitor, in this process; keys are told theirs.

Header fields: draft-ietf-httpapi-ratelimit-headers-10 sections 3 and 4 (structured fields).
"""

import math
from collections.abc import Hashable
from typing import Final

from clarion.api.problems import ProblemError
from clarion.domain.errors import ErrorCode

MAX_BUCKETS: Final = 100_000


class Quotas:
    """Buckets of `burst` requests, or parts of requests, that refill at `rate_per_s`."""

    def __init__(self, rate_per_s: float, burst: int, whose: str = "key") -> None:
        self._whose = whose
        self._rate = rate_per_s
        self._burst = burst
        self._buckets: dict[Hashable, tuple[float, float]] = {}
        window = math.ceil(burst / rate_per_s)
        self.policy: Final = (
            b"ratelimit-policy",
            b'"%b";q=%d;w=%d' % (whose.encode(), burst, window),
        )

    def take(self, key: Hashable, now: float, count: int = 1) -> tuple[bytes, bytes]:
        """Spend some of the key's bucket at monotonic time `now`; the `RateLimit` header field.

        Raises `ProblemError` with code `rate_limited` when so much is not in it. `count` is never
        more than a full bucket holds.
        """
        level, then = self._buckets.get(key, (float(self._burst), now))
        level = min(self._burst, level + (now - then) * self._rate)
        if level < count:
            wait = math.ceil((count - level) / self._rate)
            raise ProblemError(
                ErrorCode.RATE_LIMITED,
                f"The {self._whose}'s quota is spent; try again in {wait} s.",
                headers={
                    "retry-after": str(wait),
                    "ratelimit": f'"{self._whose}";r=0;t={wait}',
                    "ratelimit-policy": self.policy[1].decode(),
                },
            )
        level -= count
        if key not in self._buckets and len(self._buckets) >= MAX_BUCKETS:
            self._forget_full(now)
        self._buckets[key] = (level, now)
        left = int(level)
        more_in = math.ceil((left + 1 - level) / self._rate)  # the draft's section 4.1.2
        return (b"ratelimit", b'"%b";r=%d;t=%d' % (self._whose.encode(), left, more_in))

    def _forget_full(self, now: float) -> None:
        """A bucket that is full again says nothing that an absent one does not."""
        self._buckets = {
            key: (level, then)
            for key, (level, then) in self._buckets.items()
            if level + (now - then) * self._rate < self._burst
        }
