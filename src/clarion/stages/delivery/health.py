"""What a process has seen of each credential lately: whose fault it is, and whom to leave alone."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from clarion.domain.credential_health import Diagnosis, FaultPolicy, FaultWindow, diagnose
from clarion.domain.handoffs import Answers
from clarion.domain.ids import CredentialId
from clarion.domain.outcome import Verdict

AVOID_FIRST_S = 1.0
AVOID_LONGEST_S = 60.0

_GOOD = (Verdict.OK, Verdict.REPLACE_TOKEN)
_FAULTS = (Verdict.ALERT_CONFIG, Verdict.SUSPECT_TOKEN)


@dataclass(frozen=True, slots=True)
class _Block:
    """The answers of one chunk."""

    at: float
    sent: int
    certain: int = 0
    ambiguous: int = 0


@dataclass(kw_only=True, slots=True)
class _Seen:
    """What was seen of one version of a credential."""

    version: int
    blocks: deque[_Block] = field(default_factory=deque)
    sent: int = 0
    certain: int = 0
    ambiguous: int = 0
    run: int = 0
    accepted_at: float | None = None
    bad_chunks: int = 0
    avoid_until: float = 0.0

    def add(self, block: _Block, policy: FaultPolicy) -> None:
        """Take in a chunk's answers, and forget those that say nothing about now."""
        self.blocks.append(block)
        self._count(block, 1)
        while self.sent - self.blocks[0].sent >= policy.window_answers or (
            block.at - self.blocks[0].at > policy.window_s
        ):
            self._count(self.blocks.popleft(), -1)

    def _count(self, block: _Block, sign: int) -> None:
        self.sent += sign * block.sent
        self.certain += sign * block.certain
        self.ambiguous += sign * block.ambiguous

    def window(self, monotonic: float, policy: FaultPolicy) -> FaultWindow:
        """What the rule is asked about."""
        lately = self.accepted_at is not None and monotonic - self.accepted_at <= policy.window_s
        return FaultWindow(
            sent=self.sent,
            accepted=int(lately),
            certain=self.certain,
            ambiguous=self.ambiguous,
            run=self.run,
        )


@dataclass(kw_only=True, slots=True)
class CredentialHealth:
    """The last answers to each credential's newest version, in this process."""

    policy: FaultPolicy
    _seen: dict[CredentialId, _Seen] = field(default_factory=dict)

    def judge(
        self, credential: CredentialId, version: int, answers: Answers, monotonic: float
    ) -> Diagnosis:
        """Add a chunk's answers and say whose fault the faults are.

        A new version starts anew. What comes late for an older one is judged by itself.
        """
        seen = self._of(credential, version)
        verdict = answers.verdict
        n = len(verdict)
        if not verdict.any():
            seen.add(_Block(monotonic, n), self.policy)
            seen.run, seen.bad_chunks = 0, 0
            seen.accepted_at = monotonic if n else seen.accepted_at
            return Diagnosis.HEALTHY
        counts = np.bincount(verdict, minlength=len(Verdict))
        certain, ambiguous = (int(counts[fault]) for fault in _FAULTS)
        seen.add(_Block(monotonic, n, certain, ambiguous), self.policy)
        good = np.flatnonzero(np.isin(verdict, _GOOD))
        if len(good):
            seen.accepted_at, seen.run = monotonic, 0
        since = verdict[good[-1] + 1 :] if len(good) else verdict
        seen.run += int(np.isin(since, _FAULTS).sum())
        self._back_off(seen, answers, len(good), monotonic)
        return diagnose(seen.window(monotonic, self.policy), self.policy)

    def avoid(self, monotonic: float) -> list[CredentialId]:
        """Credentials whose network does not answer at the moment: let others go first."""
        return [key for key, seen in self._seen.items() if seen.avoid_until > monotonic]

    def forget(self, credential: CredentialId, version: int) -> None:
        """Start anew, after a quarantine."""
        seen = self._seen.get(credential)
        if seen is not None and seen.version == version:
            del self._seen[credential]

    def _of(self, credential: CredentialId, version: int) -> _Seen:
        seen = self._seen.get(credential)
        if seen is not None and version < seen.version:
            return _Seen(version=version)
        if seen is None or version > seen.version:
            seen = self._seen[credential] = _Seen(version=version)
        return seen

    @staticmethod
    def _back_off(seen: _Seen, answers: Answers, good: int, monotonic: float) -> None:
        transient = np.isin(answers.verdict, (Verdict.RETRY, Verdict.RETRY_AFTER)).sum()
        if good or 2 * int(transient) < len(answers.verdict):
            seen.bad_chunks = 0
            return
        wait = min(AVOID_LONGEST_S, AVOID_FIRST_S * 2**seen.bad_chunks)
        seen.bad_chunks = min(seen.bad_chunks + 1, 16)
        seen.avoid_until = monotonic + wait
