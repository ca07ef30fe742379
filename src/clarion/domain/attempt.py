"""What becomes of each recipient after the network has answered: a rule over columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from clarion.domain.credential_health import Diagnosis
from clarion.domain.handoffs import Answers, Float32s, Int64s, UInt8s, UInt16s
from clarion.domain.outcome import Outcome, Reason, Verdict
from clarion.domain.retry import RetryPolicy

Mask = npt.NDArray[np.bool_]

NOT_FINAL = 0
HELD_RETRY_S = 30.0
"""A recipient held by a faulty credential is looked at again after this; the claim skips it for
as long as the credential is in quarantine. A credential that works for others is not quarantined:
who is refused because of it then waits no longer than the policy's patience."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Situation:
    """What the rule needs to know besides the answers."""

    attempt: int
    now_us: int
    spent_s: float
    """Seconds of the policy's patience that are spent: earlier attempts and the waits after them.
    The time in which nobody tried (a pause, a quarantine, senders that were down) is not in it."""
    deadline_us: Int64s
    """Past this nothing may be sent, per row; the largest integer where there is no deadline."""
    registered_us: Int64s
    diagnosis: Diagnosis
    fraction: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Settlement:
    """Columns of n rows."""

    outcome: UInt8s
    """`Outcome`, or 0 where the recipient will be tried again."""
    reason: UInt16s
    delay_s: Float32s
    """Seconds until the next attempt, where there is one."""
    bury: Mask
    """Tokens to tombstone."""
    held: Mask
    """Rows that wait for their credential: the attempt does not count."""


def settle(answers: Answers, situation: Situation, policy: RetryPolicy) -> Settlement:
    """Decide the end, or the next attempt, of each recipient.

    The common case, everything accepted, costs one comparison over the column.
    """
    n = len(answers.verdict)
    outcome = np.full(n, Outcome.ACCEPTED, np.uint8)
    settlement = Settlement(
        outcome=outcome,
        reason=answers.reason.copy(),
        delay_s=np.zeros(n, np.float32),
        bury=np.zeros(n, np.bool_),
        held=np.zeros(n, np.bool_),
    )
    if not answers.verdict.any():
        return settlement
    verdict = answers.verdict
    outcome[verdict == Verdict.FIX_PAYLOAD] = Outcome.REFUSED
    _settle_dead(answers, situation, settlement)
    _settle_faults(verdict, situation, policy, settlement)
    again = np.isin(verdict, (Verdict.RETRY, Verdict.RETRY_AFTER, Verdict.REFRESH_AUTH))
    again |= _reborn(answers, situation)
    _settle_retries(again, answers, situation, policy, settlement)
    return settlement


def _reborn(answers: Answers, situation: Situation) -> Mask:
    """Dead as of an instant before the token was registered again: Apple's 410 rule."""
    known = (answers.verdict == Verdict.DROP_TOKEN) & (answers.dead_us > 0)
    reborn: Mask = known & (situation.registered_us >= answers.dead_us)
    return reborn


def _settle_dead(answers: Answers, situation: Situation, into: Settlement) -> None:
    dead = (answers.verdict == Verdict.DROP_TOKEN) & ~_reborn(answers, situation)
    if situation.diagnosis is Diagnosis.HEALTHY:
        dead |= answers.verdict == Verdict.SUSPECT_TOKEN
    into.outcome[dead] = Outcome.DEAD
    into.bury[dead] = True


def _settle_faults(
    verdict: UInt8s, situation: Situation, policy: RetryPolicy, into: Settlement
) -> None:
    suspect = verdict == Verdict.SUSPECT_TOKEN
    faulty = verdict == Verdict.ALERT_CONFIG
    if situation.diagnosis is Diagnosis.FAULTY:
        faulty |= suspect
    elif situation.diagnosis is Diagnosis.UNCLEAR:
        into.outcome[suspect] = Outcome.REFUSED
    quarantined = situation.diagnosis is Diagnosis.FAULTY
    if not quarantined and situation.spent_s > policy.give_up_after_s:
        into.outcome[faulty] = Outcome.FAILED
        return
    into.outcome[faulty] = NOT_FINAL
    into.held[faulty] = True
    into.delay_s[faulty] = HELD_RETRY_S
    _expire(faulty, situation, into)


def _settle_retries(
    again: Mask, answers: Answers, situation: Situation, policy: RetryPolicy, into: Settlement
) -> None:
    if not again.any():
        return
    delay = policy.delays(situation.attempt, answers.retry_after_s, situation.fraction)
    into.outcome[again] = NOT_FINAL
    into.delay_s[again] = delay[again]
    exhausted = situation.attempt + 1 >= policy.attempts
    asks_too_much = situation.spent_s + delay.astype(np.float64) > policy.give_up_after_s
    spent = again & (exhausted | asks_too_much)
    into.outcome[spent] = Outcome.FAILED
    _expire(again & ~spent, situation, into)


def _expire(waiting: Mask, situation: Situation, into: Settlement) -> None:
    """Who would be tried again only after the deadline is at the end now."""
    again_us = situation.now_us + (into.delay_s.astype(np.float64) * 1e6).astype(np.int64)
    late = waiting & (again_us > situation.deadline_us)
    into.outcome[late] = Outcome.EXPIRED
    into.reason[late] = Reason.DEADLINE_PASSED
    into.held[late] = False
