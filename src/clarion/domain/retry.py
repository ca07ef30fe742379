"""When to try again, and when to give up."""

from dataclasses import dataclass

import numpy as np

from clarion.domain.handoffs import Float32s
from clarion.domain.lanes import Lane
from clarion.domain.outcome import MAX_RETRY_AFTER_S


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """Exponential back-off with jitter, bounded in number and in time."""

    first_s: float
    factor: float
    longest_s: float
    attempts: int
    """Attempts in all, the first included."""
    give_up_after_s: float
    """Of attempts and of the waits after them; what is held by an operator spends none of it."""
    jitter: float
    """0.25 spreads each wait over 75 % to 125 % of itself."""

    def delays(self, attempt: int, asked_s: Float32s, fraction: float) -> Float32s:
        """Seconds to wait after attempt number `attempt` (0 = the first), per row.

        A network that names a time (`asked_s`, NaN where it does not) is never asked sooner.

        Args:
            attempt: number of the attempt that just failed.
            asked_s: what the network asked for, n rows.
            fraction: chance in [0, 1); one per chunk, so that a chunk stays together.
        """
        backoff = min(self.longest_s, self.first_s * self.factor**attempt)
        jittered = backoff * (1 - self.jitter + 2 * self.jitter * fraction)
        asked = np.minimum(np.nan_to_num(asked_s, nan=0.0), MAX_RETRY_AFTER_S)
        return np.maximum(asked, np.float32(jittered)).astype(np.float32)


URGENT = RetryPolicy(
    first_s=0.5, factor=2, longest_s=60, attempts=10, give_up_after_s=3600, jitter=0.25
)
PATIENT = RetryPolicy(
    first_s=10, factor=2, longest_s=1800, attempts=8, give_up_after_s=6 * 3600, jitter=0.25
)
"""Google asks for at least 10 s before the first retry, Apple for 15 minutes after a 5xx: the
error tables name those floors, the policy is what holds where nothing is named."""


def policy_for(lane: Lane) -> RetryPolicy:
    """The policy of a lane."""
    return URGENT if lane.urgent else PATIENT
