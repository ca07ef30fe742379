"""What a process has seen of each credential lately: whose fault it is, and whom to leave alone."""

from dataclasses import dataclass, field

import numpy as np

from clarion.domain.credential_health import Diagnosis, FaultPolicy, FaultWindow, diagnose
from clarion.domain.handoffs import Answers
from clarion.domain.ids import CredentialId
from clarion.domain.outcome import Verdict

AVOID_FIRST_S = 1.0
AVOID_LONGEST_S = 60.0


@dataclass(kw_only=True, slots=True)
class _Seen:
    since: float
    sent: int = 0
    accepted: int = 0
    certain: int = 0
    ambiguous: int = 0
    bad_chunks: int = 0
    avoid_until: float = 0.0


@dataclass(kw_only=True, slots=True)
class CredentialHealth:
    """Counts per credential within a window, in this process."""

    policy: FaultPolicy
    _seen: dict[CredentialId, _Seen] = field(default_factory=dict)

    def judge(self, credential: CredentialId, answers: Answers, monotonic: float) -> Diagnosis:
        """Add a chunk's answers and say whose fault the faults are."""
        seen = self._seen.get(credential)
        if seen is None or monotonic - seen.since > self.policy.window_s:
            seen = self._seen[credential] = _Seen(since=monotonic)
        verdict = answers.verdict
        n = len(verdict)
        seen.sent += n
        if not verdict.any():
            seen.accepted += n
            seen.bad_chunks = 0
            return Diagnosis.HEALTHY
        counts = np.bincount(verdict, minlength=len(Verdict))
        good = int(counts[Verdict.OK] + counts[Verdict.REPLACE_TOKEN])
        seen.accepted += good
        seen.certain += int(counts[Verdict.ALERT_CONFIG])
        seen.ambiguous += int(counts[Verdict.SUSPECT_TOKEN])
        self._back_off(seen, answers, good, monotonic)
        return diagnose(
            FaultWindow(
                sent=seen.sent,
                accepted=seen.accepted,
                certain=seen.certain,
                ambiguous=seen.ambiguous,
            ),
            self.policy,
        )

    def avoid(self, monotonic: float) -> list[CredentialId]:
        """Credentials whose network does not answer at the moment: let others go first."""
        return [key for key, seen in self._seen.items() if seen.avoid_until > monotonic]

    def forget(self, credential: CredentialId) -> None:
        """Start anew, after a quarantine."""
        self._seen.pop(credential, None)

    @staticmethod
    def _back_off(seen: _Seen, answers: Answers, good: int, monotonic: float) -> None:
        transient = np.isin(answers.verdict, (Verdict.RETRY, Verdict.RETRY_AFTER)).sum()
        if good or 2 * int(transient) < len(answers.verdict):
            seen.bad_chunks = 0
            return
        wait = min(AVOID_LONGEST_S, AVOID_FIRST_S * 2**seen.bad_chunks)
        seen.bad_chunks = min(seen.bad_chunks + 1, 16)
        seen.avoid_until = monotonic + wait
