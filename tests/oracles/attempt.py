"""What becomes of one recipient after the network has answered."""

from dataclasses import dataclass
from fractions import Fraction

from clarion.domain.credential_health import Diagnosis, FaultPolicy, FaultWindow
from clarion.domain.outcome import Outcome, Reason, Verdict
from clarion.domain.retry import RetryPolicy

HELD_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the network said, and what we know of the token."""

    verdict: Verdict
    reason: Reason
    dead_us: int
    registered_us: int
    deadline_us: int
    delay_s: float
    """What the retry policy says that we would wait."""


@dataclass(frozen=True, kw_only=True)
class Circumstance:
    """What is the same for every row of a chunk."""

    attempt: int
    now_us: int
    spent_s: float
    diagnosis: Diagnosis


@dataclass(frozen=True, kw_only=True)
class End:
    """`outcome` None: the recipient is tried again after `delay_s`."""

    outcome: Outcome | None
    reason: Reason
    delay_s: float = 0.0
    bury: bool = False
    held: bool = False


def settle_one(  # noqa: PLR0911  # one return a verdict: the table, row by row
    answer: Answer, at: Circumstance, policy: RetryPolicy
) -> End:
    """The end of one recipient, or its next attempt."""
    match answer.verdict:
        case Verdict.OK | Verdict.REPLACE_TOKEN:
            return End(outcome=Outcome.ACCEPTED, reason=answer.reason)
        case Verdict.FIX_PAYLOAD:
            return End(outcome=Outcome.REFUSED, reason=answer.reason)
        case Verdict.DROP_TOKEN:
            if 0 < answer.dead_us <= answer.registered_us:
                return _again(answer, at, policy)
            return End(outcome=Outcome.DEAD, reason=answer.reason, bury=True)
        case Verdict.SUSPECT_TOKEN:
            return _suspect(answer, at, policy)
        case Verdict.ALERT_CONFIG:
            return _hold(answer, at, policy)
        case Verdict.RETRY | Verdict.RETRY_AFTER | Verdict.REFRESH_AUTH:
            return _again(answer, at, policy)


def _suspect(answer: Answer, at: Circumstance, policy: RetryPolicy) -> End:
    match at.diagnosis:
        case Diagnosis.HEALTHY:
            return End(outcome=Outcome.DEAD, reason=answer.reason, bury=True)
        case Diagnosis.UNCLEAR:
            return End(outcome=Outcome.REFUSED, reason=answer.reason)
        case Diagnosis.FAULTY:
            return _hold(answer, at, policy)


def _hold(answer: Answer, at: Circumstance, policy: RetryPolicy) -> End:
    old = at.spent_s > policy.give_up_after_s
    if at.diagnosis is not Diagnosis.FAULTY and old:
        return End(outcome=Outcome.FAILED, reason=answer.reason)
    if at.now_us + int(HELD_S * 1e6) > answer.deadline_us:
        return End(outcome=Outcome.EXPIRED, reason=Reason.DEADLINE_PASSED)
    return End(outcome=None, reason=answer.reason, delay_s=HELD_S, held=True)


def _again(answer: Answer, at: Circumstance, policy: RetryPolicy) -> End:
    last = at.attempt + 1 >= policy.attempts
    if last or at.spent_s + answer.delay_s > policy.give_up_after_s:
        return End(outcome=Outcome.FAILED, reason=answer.reason)
    if at.now_us + int(answer.delay_s * 1e6) > answer.deadline_us:
        return End(outcome=Outcome.EXPIRED, reason=Reason.DEADLINE_PASSED)
    return End(outcome=None, reason=answer.reason, delay_s=answer.delay_s)


def diagnose_one(window: FaultWindow, policy: FaultPolicy) -> Diagnosis:
    """Whose fault it is."""
    faults = window.certain + window.ambiguous
    enough = faults >= policy.at_least
    if enough and Fraction(faults) > Fraction(policy.share) * window.sent:
        return Diagnosis.FAULTY
    if window.run >= policy.at_least:
        return Diagnosis.FAULTY
    if window.accepted > 0:
        return Diagnosis.HEALTHY
    return Diagnosis.FAULTY if window.certain > 0 else Diagnosis.UNCLEAR
