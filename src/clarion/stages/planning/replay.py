"""Decides again about the people of a message under other rules, on what was recorded then."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.decided import Decided
from clarion.domain.decision import decide
from clarion.domain.decision_row import Action, Decisions, inputs_of, record
from clarion.domain.explanation import explain
from clarion.domain.ids import AppId, MessageId
from clarion.domain.outcome import Reason
from clarion.domain.policy import Policy, PolicyError, patched, policy_from
from clarion.ports.decisions import RecordedDecisions

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.void]
"""Of `DECISION_ROW`."""
Json = Mapping[str, object]

BY_CONTENT: Final = (
    Reason.VARIABLE_MISSING,
    Reason.TEMPLATE_FAILED,
    Reason.PAYLOAD_TOO_LARGE,
    Reason.PAYLOAD_REFUSED,
)
"""What no rule can change: the words of the message are what is wrong."""
_SAMPLES_OF_MOVE: Final = 3
"""At first; more of a move are shown only where there are few moves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is done about a device, and why."""

    action: Action
    reason: Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """How many devices would have been treated so instead of so."""

    before: Verdict
    after: Verdict
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One device that would have been treated differently."""

    user: int
    device: int
    before: Verdict
    after: Verdict
    told_before: str
    told_after: str


@dataclass(kw_only=True, slots=True)
class Replayed:
    """What other rules would have changed."""

    considered: int = 0
    """Recorded decisions: devices, and people without one."""
    changed: int = 0
    policies: set[tuple[str, str]] = field(default_factory=set)
    """Versions of the rules then and of those in their place, as 16 hexadecimal digits."""
    counts: Counter[tuple[Verdict, Verdict]] = field(default_factory=Counter)
    samples: list[Sample] = field(default_factory=list)
    segments: set[tuple[str, int]] = field(default_factory=set)
    """The segments by which people were chosen, with their versions."""

    @property
    def moves(self) -> Sequence[Move]:
        """The most frequent first."""
        return [
            Move(before=before, after=after, count=count)
            for (before, after), count in self.counts.most_common()
        ]


async def replay(
    decisions: RecordedDecisions,
    of: tuple[AppId, MessageId],
    changes: Json,
    *,
    at_least_xid: int,
    samples: int,
) -> Replayed:
    """Decide again about everybody who was considered for a message.

    What caps had counted is what they count again: how many more or fewer other messages people
    would have had under the new rules is not asked. Each piece is decided in a thread, so that
    whoever else is served by this process does not wait.

    Args:
        decisions: what was recorded.
        of: the app and the message.
        changes: a merge patch (RFC 7396) of the policy as `policy.to_json` writes it.
        at_least_xid: of the message.
        samples: how many of those who would have been treated differently to tell of.

    Raises:
        PolicyError: the changed policy can't be; with the place.
        FactsUnavailableError: what was recorded can't be read now.
    """
    found = Replayed()
    app, message = of
    async for piece in decisions.decided(app, message, at_least_xid=at_least_xid):
        await asyncio.to_thread(again, found, piece, changes, samples)
    return found


def again(found: Replayed, piece: Decided, changes: Json, samples: int) -> None:
    """Decide again about one piece, and add what changes to what was found.

    Raises:
        PolicyError: the changed policy can't be.
    """
    old = policy_from(piece.policy)
    new = patched(old, changes)
    if new.category.slot != old.category.slot:
        # The bits of consent that were read are those of one category.
        raise PolicyError("/category/slot", "what was recorded is consent to the category it had")
    found.policies.add((f"{old.version:016x}", f"{new.version:016x}"))
    found.segments.update(piece.segments.items())
    found.considered += len(piece.rows)
    for decided_us in np.unique(piece.rows["decided_us"]).tolist():
        part = piece.rows[piece.rows["decided_us"] == decided_us]
        read, recorded = inputs_of(part, piece.zones, piece.persons)
        said = decide(read, new, now_us=decided_us, usage=recorded)
        after = record(read, said, decided_us, part["variant"], part["language"])
        _keep_content(part, after, said)
        different = _different(part, after)
        if different.any():
            found.changed += int(np.count_nonzero(different))
            _add(found, (part[different], after[different]), (piece, old, new), samples)


def _keep_content(before: Rows, after: Rows, said: Decisions) -> None:
    """Whoever would be sent what can't be written for them is left out as before."""
    unwritten = np.isin(before["reason"], BY_CONTENT)
    unwritten &= (said.action == Action.SEND) | (said.action == Action.HOLD)
    after[unwritten] = before[unwritten]


def _different(before: Rows, after: Rows) -> Mask:
    """Which devices are treated differently: sent or not, why, when, how loud."""
    found = np.zeros(len(before), np.bool_)
    for name in ("action", "reason"):
        found |= before[name] != after[name]
    going = (after["action"] != Action.SKIP) & ~found
    found |= going & (before["send_us"] != after["send_us"])
    found |= going & (before["flags"] != after["flags"])
    return found


def _add(
    found: Replayed,
    rows: tuple[Rows, Rows],
    of: tuple[Decided, Policy, Policy],
    samples: int,
) -> None:
    before, after = rows
    key = _key(before) << 24 | _key(after)
    for one, first, count in zip(
        *np.unique(key, return_index=True, return_counts=True), strict=True
    ):
        pair = _verdict(before[first]), _verdict(after[first])
        told = found.counts[pair]
        found.counts[pair] += int(count)
        wanted = min(samples - len(found.samples), _SAMPLES_OF_MOVE - told)
        for row in np.flatnonzero(key == one)[: max(wanted, 0)].tolist():
            found.samples.append(_sample((before[row], after[row]), pair, of))


def _key(rows: Rows) -> npt.NDArray[np.int64]:
    found: npt.NDArray[np.int64] = rows["action"].astype(np.int64) << 16 | rows["reason"]
    return found


def _verdict(row: np.void) -> Verdict:
    return Verdict(action=Action(int(row["action"])), reason=Reason(int(row["reason"])))


def _sample(
    rows: tuple[np.void, np.void],
    pair: tuple[Verdict, Verdict],
    of: tuple[Decided, Policy, Policy],
) -> Sample:
    piece, old, new = of
    return Sample(
        user=int(rows[0]["user"]),
        device=int(rows[0]["device"]),
        before=pair[0],
        after=pair[1],
        told_before=explain(rows[0], old, piece.zones, piece.persons),
        told_after=explain(rows[1], new, piece.zones, piece.persons),
    )
