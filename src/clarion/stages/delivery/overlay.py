"""What changed since the plan: an opt-out newer than the scan wins at dispatch."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from clarion.domain.category import Category
from clarion.domain.consent import bit, sendable
from clarion.domain.handoffs import Int64s, Recipients, UInt16s
from clarion.domain.outcome import Reason
from clarion.ports.line import RegistryChanges, SendLine

KEPT_CHANGES = 50_000

Mask = npt.NDArray[np.bool_]


@dataclass(kw_only=True, slots=True)
class _Known:
    """The changes since `floor`, complete up to `xid`."""

    floor: int
    xid: int
    pieces: list[RegistryChanges] = field(default_factory=list)

    def size(self) -> int:
        return sum(len(piece.device) + len(piece.merged_from) for piece in self.pieces)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asking:
    """What is about to be sent."""

    categories: Sequence[Category | None]
    """Of each message of the batch; None where the app has no such any more."""
    now_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """A look at the registry under way."""

    since_xid: int
    number: int


class Overlay:
    """Registry changes, fetched as they come and shared by the batches of a process."""

    def __init__(self, line: SendLine) -> None:
        self._line = line
        self._known: _Known | None = None
        self._turn = asyncio.Lock()
        """Looks are taken one after another: an older answer must never follow a newer one."""
        self._looks = 0
        """Beginnings and ends of looks so far: whoever counts the same twice was alone between."""

    async def reasons(
        self,
        recipients: Recipients,
        planned_xid: int,
        *,
        looked: bool = False,
        asking: Asking | None = None,
    ) -> UInt16s:
        """Why each recipient may no longer be sent to; 0 where it may.

        `asking` is what for: then what people said to the category counts too.

        Asks the registry: what was committed before the call binds. With `looked`, what `learn`
        has just taken in binds instead.
        """
        reasons = np.zeros(len(recipients), np.uint16)
        known = self._known
        if looked and known is not None and planned_xid >= known.floor:
            pieces = known.pieces
        else:
            async with self._turn:
                self._looks += 1
                pieces = await self._changes(recipients, planned_xid)
                self._looks += 1
        now_user = _who_they_are(pieces, recipients.user)
        for changes in pieces:
            if len(changes.device):
                _apply(changes, recipients, now_user, reasons, asking)
        return reasons

    def look(self) -> Look | None:
        """Begin a look that somebody else's question to the store brings along; see `learn`.

        None while nothing is known yet, or too much: `reasons` begins anew then.
        """
        known = self._known
        if known is None or known.size() > KEPT_CHANGES:
            return None
        self._looks += 1
        return Look(since_xid=known.xid, number=self._looks)

    def learn(self, look: Look | None, fresh: RegistryChanges | None) -> bool:
        """Take in what a look brought; whether `reasons` may go by it.

        Looks that overlap tell nothing of which is newer: then it is left, and `reasons` asks.
        """
        alone = look is not None and look.number == self._looks and not self._turn.locked()
        self._looks += 1
        known = self._known
        if not alone or fresh is None or known is None:
            return False
        self._add(known, fresh)
        return True

    @staticmethod
    def _add(known: _Known, fresh: RegistryChanges) -> None:
        known.xid = max(known.xid, fresh.xid)
        if len(fresh.device) or len(fresh.merged_from):
            known.pieces.append(fresh)

    async def _changes(self, recipients: Recipients, planned_xid: int) -> list[RegistryChanges]:
        known = self._known
        if known is None or planned_xid < known.floor or known.size() > KEPT_CHANGES:
            known = _Known(floor=planned_xid, xid=planned_xid)
        fresh = await self._line.changes(known.xid)
        if fresh is None:  # an import is running: ask for these devices only
            self._known = None
            return [await self._line.changes_among(recipients.device, planned_xid)]
        self._add(known, fresh)
        self._known = known
        return list(known.pieces)


def _who_they_are(pieces: Sequence[RegistryChanges], user: Int64s) -> Int64s:
    """People by the number that they have since they logged in: nobody turns twice."""
    merged = [piece for piece in pieces if len(piece.merged_from)]
    if not merged:
        return user
    before = np.concatenate([piece.merged_from for piece in merged])
    order = np.argsort(before)
    before = before[order]
    into = np.concatenate([piece.merged_into for piece in merged])[order]
    at = np.minimum(np.searchsorted(before, user), len(before) - 1)
    return np.where(before[at] == user, into[at], user)


def _apply(
    changes: RegistryChanges,
    recipients: Recipients,
    now_user: Int64s,
    reasons: UInt16s,
    asking: Asking | None,
) -> None:
    """Later pieces overrule earlier ones: a device may have opted out and in again."""
    order = np.argsort(changes.device, kind="stable")
    sorted_ids = changes.device[order]
    at = np.searchsorted(sorted_ids, recipients.device, side="right") - 1
    hit = (at >= 0) & (sorted_ids[np.maximum(at, 0)] == recipients.device)
    rows = order[at[hit]]
    moved = changes.user[rows] != now_user[hit]
    gone = (changes.reason[rows] == 0) & moved
    found = np.where(gone, np.uint16(Reason.DEVICE_MOVED), changes.reason[rows])
    if asking is not None:
        _consent(changes, rows, found, asking, recipients.message, hit)
    reasons[hit] = found


def _consent(
    changes: RegistryChanges,
    rows: Int64s,
    found: UInt16s,
    asking: Asking,
    message: UInt16s | None,
    hit: Mask,
) -> None:
    """What people say to the categories now, where nothing else forbids sending."""
    index = np.zeros(len(rows), np.uint16) if message is None else message[hit]
    for place, category in enumerate(asking.categories):
        mine = (index == place) & (found == 0)
        if category is None or not mine.any():
            continue
        denied = bit(changes.denied[rows], category.slot)
        willing = sendable(
            category.kind,
            category.default_state,
            can_opt_out=category.can_opt_out,
            granted=bit(changes.granted[rows], category.slot),
            denied=denied,
        )
        refusing = denied & category.can_opt_out
        found[mine & ~willing & refusing] = Reason.CATEGORY_OPTED_OUT
        found[mine & ~willing & ~refusing] = Reason.CONSENT_MISSING
        if category.gathers:
            paused = changes.paused_until_us[rows] > asking.now_us
            found[mine & willing & paused] = Reason.PAUSED_BY_PERSON
