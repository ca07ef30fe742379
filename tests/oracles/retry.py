"""When to try one recipient again."""

import math

import numpy as np

from clarion.domain.outcome import MAX_RETRY_AFTER_S
from clarion.domain.retry import RetryPolicy


def delay_of(policy: RetryPolicy, attempt: int, asked_s: float | None, fraction: float) -> float:
    """Seconds to wait: the back-off with its jitter, and never less than the network asks for."""
    wait = policy.first_s
    for _ in range(attempt):
        wait = min(wait * policy.factor, policy.longest_s)
    wait = min(wait, policy.longest_s)
    low, high = wait * (1 - policy.jitter), wait * (1 + policy.jitter)
    jittered = float(np.float32(low + (high - low) * fraction))
    if asked_s is None or math.isnan(asked_s):
        return jittered
    return max(min(asked_s, MAX_RETRY_AFTER_S), jittered)
