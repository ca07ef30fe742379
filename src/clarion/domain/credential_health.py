"""Is it the token or the credential? A configuration fault never kills a token."""

from dataclasses import dataclass
from enum import Enum


class Diagnosis(Enum):
    """What a set of faulty answers says about the credential that was used."""

    HEALTHY = "healthy"
    """The credential works: an ambiguous answer speaks of the token."""
    UNCLEAR = "unclear"
    """Too little is known: believe neither, kill no token."""
    FAULTY = "faulty"
    """Quarantine the credential, hold its queue, tell the operator."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultPolicy:
    """When faults are too many to be the tokens' own.

    A credential that is revoked in the middle of a long campaign has many accepted pushes behind
    it, which say nothing about now. So only the last answers are judged, and so many faults in a
    row need no share at all.
    """

    share: float = 0.2
    """More than this share of the last answers..."""
    at_least: int = 20
    """...and at least so many of them; or so many in a row."""
    window_s: float = 3600.0
    """Answers older than this, seconds, say nothing about now."""
    window_answers: int = 1000
    """...nor do those before the last so many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultWindow:
    """What was seen of a credential lately: answers, accepted pushes, and faulty answers."""

    sent: int
    accepted: int
    """Within the policy's time, however many answers ago."""
    certain: int
    """Answers that speak of the credential for sure (`Verdict.ALERT_CONFIG`)."""
    ambiguous: int
    """Answers that may speak of the token as well (`Verdict.SUSPECT_TOKEN`)."""
    run: int = 0
    """Faulty answers since the last push that was accepted."""


def diagnose(window: FaultWindow, policy: FaultPolicy) -> Diagnosis:
    """Whose fault it is, from what was seen within a window."""
    faults = window.certain + window.ambiguous
    too_many = faults >= policy.at_least and faults > policy.share * window.sent
    if too_many or window.run >= policy.at_least or (window.certain and not window.accepted):
        return Diagnosis.FAULTY
    if not window.accepted:
        return Diagnosis.UNCLEAR
    return Diagnosis.HEALTHY
