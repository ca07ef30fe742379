"""The rule over a chunk's columns, against the rule for one recipient."""

import math
from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from tests.oracles.attempt import Answer, Circumstance, End, settle_one

from clarion.domain.attempt import Settlement, Situation, settle
from clarion.domain.credential_health import Diagnosis
from clarion.domain.handoffs import Answers
from clarion.domain.outcome import Outcome, Reason, Verdict
from clarion.domain.retry import PATIENT, URGENT, RetryPolicy

NOW_US = 1_772_366_400_000_000
NEVER_US = int(np.iinfo(np.int64).max)
_NEAR = st.integers(-120_000_000, 120_000_000)


@dataclass(frozen=True, kw_only=True)
class Given:
    """One row, before the policy has spoken."""

    verdict: Verdict
    reason: Reason
    asked_s: float | None
    dead_us: int
    registered_us: int
    deadline_us: int


ROWS = st.lists(
    st.builds(
        Given,
        verdict=st.sampled_from(Verdict),
        reason=st.sampled_from([r for r in Reason if 200 < r < 600]),
        asked_s=st.none() | st.floats(0, 200_000, width=32),
        dead_us=st.just(0) | _NEAR.map(lambda us: NOW_US + us),
        registered_us=_NEAR.map(lambda us: NOW_US + us),
        deadline_us=st.just(NEVER_US) | _NEAR.map(lambda us: NOW_US + us),
    ),
    min_size=1,
    max_size=20,
)
SITUATIONS = st.builds(
    Circumstance,
    attempt=st.integers(0, 11),
    now_us=st.just(NOW_US),
    spent_s=st.integers(0, 30 * 86400).map(float),
    diagnosis=st.sampled_from(Diagnosis),
)
POLICIES = st.sampled_from([URGENT, PATIENT])
FRACTIONS = st.floats(0, 1, exclude_max=True)


def both(
    rows: list[Given], at: Circumstance, policy: RetryPolicy, fraction: float
) -> tuple[Settlement, list[End]]:
    """What the columns say, and what the rule for one says of each row."""
    asked = np.array([math.nan if r.asked_s is None else r.asked_s for r in rows], np.float32)
    answers = Answers(
        verdict=np.array([r.verdict for r in rows], np.uint8),
        reason=np.array([r.reason for r in rows], np.uint16),
        status=np.zeros(len(rows), np.uint16),
        retry_after_s=asked,
        dead_us=np.array([r.dead_us for r in rows], np.int64),
    )
    situation = Situation(
        attempt=at.attempt,
        now_us=at.now_us,
        spent_s=at.spent_s,
        deadline_us=np.array([r.deadline_us for r in rows], np.int64),
        registered_us=np.array([r.registered_us for r in rows], np.int64),
        diagnosis=at.diagnosis,
        fraction=fraction,
    )
    delays = policy.delays(at.attempt, asked, fraction).tolist()
    ends = [
        settle_one(
            Answer(
                verdict=row.verdict,
                reason=row.reason,
                dead_us=row.dead_us,
                registered_us=row.registered_us,
                deadline_us=row.deadline_us,
                delay_s=delay,
            ),
            at,
            policy,
        )
        for row, delay in zip(rows, delays, strict=True)
    ]
    return settle(answers, situation, policy), ends


@given(rows=ROWS, at=SITUATIONS, policy=POLICIES, fraction=FRACTIONS)
def test_columns_end_as_the_rule_for_one_says(
    rows: list[Given], at: Circumstance, policy: RetryPolicy, fraction: float
) -> None:
    """Outcome, reason, burial, hold, and the wait of whoever is tried again."""
    settlement, ends = both(rows, at, policy, fraction)
    assert settlement.outcome.tolist() == [end.outcome or 0 for end in ends]
    assert settlement.reason.tolist() == [int(end.reason) for end in ends]
    assert settlement.bury.tolist() == [end.bury for end in ends]
    assert settlement.held.tolist() == [end.held for end in ends]
    again = settlement.outcome == 0
    assert settlement.delay_s[again].tolist() == [
        end.delay_s for end in ends if end.outcome is None
    ]


@given(rows=ROWS, at=SITUATIONS, policy=POLICIES, fraction=FRACTIONS)
def test_a_configuration_fault_never_buries_a_token(
    rows: list[Given], at: Circumstance, policy: RetryPolicy, fraction: float
) -> None:
    """Only a network that speaks of the token itself, or a credential known to work, does."""
    settlement, _ = both(rows, at, policy, fraction)
    for row, buried in zip(rows, settlement.bury.tolist(), strict=True):
        if buried:
            assert row.verdict is Verdict.DROP_TOKEN or (
                row.verdict is Verdict.SUSPECT_TOKEN and at.diagnosis is Diagnosis.HEALTHY
            )


@given(rows=ROWS, at=SITUATIONS, policy=POLICIES, fraction=FRACTIONS)
def test_a_row_is_at_its_end_or_tried_again_and_never_both(
    rows: list[Given], at: Circumstance, policy: RetryPolicy, fraction: float
) -> None:
    """A final row has an outcome, a waiting one has a wait, and only the dead are buried."""
    settlement, _ = both(rows, at, policy, fraction)
    outcomes = set(settlement.outcome.tolist())
    assert outcomes <= {0, *map(int, Outcome)}
    waiting = settlement.outcome == 0
    assert (settlement.delay_s[waiting] > 0).all()
    assert not settlement.held[~waiting].any()
    assert (settlement.outcome[settlement.bury] == Outcome.DEAD).all()


@given(rows=ROWS, at=SITUATIONS, policy=POLICIES, fraction=FRACTIONS)
def test_nothing_is_tried_again_past_its_deadline(
    rows: list[Given], at: Circumstance, policy: RetryPolicy, fraction: float
) -> None:
    """Whoever would have to wait past the deadline is at the end now, and told why."""
    settlement, _ = both(rows, at, policy, fraction)
    for row, outcome, reason, delay in zip(
        rows, settlement.outcome, settlement.reason, settlement.delay_s.tolist(), strict=True
    ):
        if outcome == 0:
            assert NOW_US + int(delay * 1e6) <= row.deadline_us
        if outcome == Outcome.EXPIRED:
            assert reason == Reason.DEADLINE_PASSED


@given(rows=ROWS, at=SITUATIONS, policy=POLICIES, fraction=FRACTIONS)
def test_attempts_and_patience_are_bounded(
    rows: list[Given], at: Circumstance, policy: RetryPolicy, fraction: float
) -> None:
    """Past the last attempt or the longest time only those wait whose credential is at fault."""
    settlement, _ = both(rows, at, policy, fraction)
    if at.attempt + 1 >= policy.attempts or at.spent_s > policy.give_up_after_s:
        assert (settlement.held | (settlement.outcome != 0)).all()
    if at.spent_s > policy.give_up_after_s and at.diagnosis is not Diagnosis.FAULTY:
        assert (settlement.outcome != 0).all(), "a credential that is not quarantined holds nobody"


def answered_410(*, dead_us: int, registered_us: int) -> Settlement:
    """One 410 of Apple's with its timestamp."""
    row = Given(
        verdict=Verdict.DROP_TOKEN,
        reason=Reason.TOKEN_UNREGISTERED,
        asked_s=None,
        dead_us=dead_us,
        registered_us=registered_us,
        deadline_us=NEVER_US,
    )
    at = Circumstance(attempt=0, now_us=NOW_US, spent_s=0.0, diagnosis=Diagnosis.HEALTHY)
    settlement, _ = both([row], at, PATIENT, 0.5)
    return settlement


def test_a_token_registered_after_apples_timestamp_lives() -> None:
    """The 410 speaks of an installation before this one: try again, bury nothing."""
    settlement = answered_410(dead_us=NOW_US - 2_000_000, registered_us=NOW_US - 1_000_000)
    assert settlement.outcome.tolist() == [0]
    assert not settlement.bury.any()


def test_a_token_registered_before_apples_timestamp_is_dead() -> None:
    """Nobody has registered it since."""
    settlement = answered_410(dead_us=NOW_US - 1_000_000, registered_us=NOW_US - 2_000_000)
    assert settlement.outcome.tolist() == [Outcome.DEAD]
    assert settlement.bury.all()


def test_a_410_without_a_timestamp_is_believed() -> None:
    """The other networks give none."""
    assert answered_410(dead_us=0, registered_us=NOW_US).bury.all()
