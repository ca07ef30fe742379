"""Waiting before the next attempt, and whose fault a fault is."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.attempt import diagnose_one
from tests.oracles.retry import delay_of

from clarion.domain.credential_health import Diagnosis, FaultPolicy, FaultWindow, diagnose
from clarion.domain.lanes import Lane
from clarion.domain.outcome import MAX_RETRY_AFTER_S
from clarion.domain.retry import PATIENT, URGENT, RetryPolicy, policy_for

POLICIES = st.builds(
    RetryPolicy,
    first_s=st.floats(0.1, 60),
    factor=st.floats(1, 4),
    longest_s=st.floats(60, 3600),
    attempts=st.integers(1, 12),
    give_up_after_s=st.floats(60, 86400),
    jitter=st.floats(0, 0.5),
)
ASKED = st.lists(st.none() | st.floats(0, 2 * MAX_RETRY_AFTER_S, width=32), min_size=1)
FRACTIONS = st.floats(0, 1, exclude_max=True)
ATTEMPTS = st.integers(0, 11)


def column(asked: list[float | None]) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """What the network asked for, NaN where it asked for nothing."""
    return np.array([math.nan if value is None else value for value in asked], np.float32)


@given(policy=POLICIES, attempt=ATTEMPTS, asked=ASKED, fraction=FRACTIONS)
def test_columns_wait_as_long_as_the_rule_for_one_says(
    policy: RetryPolicy, attempt: int, asked: list[float | None], fraction: float
) -> None:
    """Equal up to the last bit of a 32-bit number."""
    delays = policy.delays(attempt, column(asked), fraction)
    expected = [delay_of(policy, attempt, value, fraction) for value in asked]
    assert delays.tolist() == pytest.approx(expected, rel=1e-6)
    assert delays.dtype == np.float32


@given(policy=POLICIES, attempt=ATTEMPTS, asked=ASKED, fraction=FRACTIONS)
def test_a_network_is_never_asked_sooner_than_it_said(
    policy: RetryPolicy, attempt: int, asked: list[float | None], fraction: float
) -> None:
    """Up to a day: a network that asks for longer is not believed."""
    for value, delay in zip(asked, policy.delays(attempt, column(asked), fraction), strict=True):
        assert delay >= min(value or 0.0, MAX_RETRY_AFTER_S)


@given(policy=POLICIES, attempt=ATTEMPTS, fraction=FRACTIONS)
def test_jitter_spreads_a_wait_to_both_sides(
    policy: RetryPolicy, attempt: int, fraction: float
) -> None:
    """A quarter of jitter is 75 % to 125 %."""
    (delay,) = policy.delays(attempt, column([None]), fraction)
    (middle,) = replace(policy, jitter=0.0).delays(attempt, column([None]), fraction)
    assert middle * (1 - policy.jitter) * 0.999 <= delay <= middle * (1 + policy.jitter) * 1.001
    assert middle <= np.float32(policy.longest_s)


def test_urgent_lanes_are_impatient() -> None:
    """A ringing call is of no use in an hour."""
    assert policy_for(Lane.CALL) is policy_for(Lane.TRANSACTIONAL) is URGENT
    assert policy_for(Lane.CAMPAIGN) is policy_for(Lane.BULK) is PATIENT


COUNTS = st.integers(0, 1000)
WINDOWS = st.builds(
    FaultWindow,
    sent=COUNTS,
    accepted=COUNTS,
    certain=COUNTS,
    ambiguous=COUNTS,
    run=st.integers(0, 60),
)
FAULTS = st.builds(
    FaultPolicy, share=st.sampled_from([0.125, 0.25, 0.5, 1.0]), at_least=st.integers(1, 50)
)


@given(window=WINDOWS, policy=FAULTS)
def test_the_diagnosis_is_the_rule_for_one_window(window: FaultWindow, policy: FaultPolicy) -> None:
    """Counts of every size."""
    assert diagnose(window, policy) is diagnose_one(window, policy)


@given(window=WINDOWS)
def test_a_credential_is_healthy_only_when_something_was_accepted(window: FaultWindow) -> None:
    """A wrong topic makes every token look wrong: nothing accepted means nothing believed."""
    if diagnose(window, FaultPolicy()) is Diagnosis.HEALTHY:
        assert window.accepted


@given(ambiguous=st.integers(0, 19), accepted=st.integers(1, 1000))
def test_a_few_wrong_tokens_do_not_stop_a_credential(ambiguous: int, accepted: int) -> None:
    """Below the least number, whatever their share."""
    window = FaultWindow(
        sent=accepted + ambiguous, accepted=accepted, certain=0, ambiguous=ambiguous
    )
    assert diagnose(window, FaultPolicy()) is Diagnosis.HEALTHY
