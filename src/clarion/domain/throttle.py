"""How fast: run times under the rates of campaigns and of the app, shared fairly.

Time is cut into slots of ten seconds, each with a whole number of sendings such that every minute
has exactly its rate. In each slot the app's rate goes to the campaigns with something due in equal
shares (max-min): what one can't use, because of its own rate or because it is done, goes to others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from clarion.domain.handoffs import Int64s
from clarion.domain.zones import MINUTE_US, SECOND_US

SLOT_US: Final = 10 * SECOND_US
_SLOTS_PER_MINUTE: Final = MINUTE_US // SLOT_US

Taken = Mapping[int, int]
"""Slot number -> how many sendings it has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What one campaign wants to send."""

    campaign: str
    due_us: Int64s
    """When each of its n recipients may be sent to, in any order."""
    per_minute: int | None = None
    """The campaign's own rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paced:
    """The slots that are given away already."""

    app: Taken = field(default_factory=dict)
    campaigns: Mapping[str, Taken] = field(default_factory=dict)


def allowance(per_minute: int, slot: int) -> int:
    """How many a slot has room for; any six slots side by side have room for `per_minute`."""
    share = per_minute
    return (slot + 1) * share // _SLOTS_PER_MINUTE - slot * share // _SLOTS_PER_MINUTE


def assign(
    demands: Sequence[Demand], *, per_minute: int | None, state: Paced, now_us: int
) -> tuple[list[Int64s], Paced]:
    """The run time of each recipient of each campaign, and the slots given away afterwards.

    Campaigns named in one call share alike. To be fair to one that comes later, take back what has
    not run yet (`released`) and ask for all of them together.

    Args:
        demands: one per campaign.
        per_minute: the app's rate; None for no limit.
        state: what earlier calls gave away.
        now_us: nothing runs earlier.
    """
    if any(
        rate is not None and rate < 1 for rate in (per_minute, *(d.per_minute for d in demands))
    ):
        raise ValueError("a rate is at least one a minute")
    queues = [_Queue(demand, state, now_us) for demand in demands]
    app = dict(state.app)
    slot = now_us // SLOT_US
    while any(queue.left for queue in queues):
        slot = max(slot, min(queue.next_slot for queue in queues if queue.left))
        wants = [queue.want(slot) for queue in queues]
        room = sum(wants)
        if per_minute is not None:
            room = max(min(room, allowance(per_minute, slot) - app.get(slot, 0)), 0)
        for queue, count in zip(queues, shares(wants, room, turn=slot), strict=True):
            queue.grant(slot, count)
            if count:
                app[slot] = app.get(slot, 0) + count
        slot += 1
    campaigns = {**state.campaigns, **{q.demand.campaign: q.taken for q in queues}}
    return [queue.run_us for queue in queues], Paced(app=app, campaigns=campaigns)


def released(state: Paced, now_us: int) -> Paced:
    """The state without the slots that have not begun; who had them asks anew."""
    last = now_us // SLOT_US

    def begun(taken: Taken) -> Taken:
        return {slot: count for slot, count in taken.items() if slot <= last}

    return Paced(
        app=begun(state.app),
        campaigns={name: begun(taken) for name, taken in state.campaigns.items()},
    )


def shares(wants: Sequence[int], room: int, *, turn: int = 0) -> list[int]:
    """`room` divided among those who want, max-min fair; odd ones go round by `turn`."""
    result = [0] * len(wants)
    some = [index for index, want in enumerate(wants) if want]
    order = sorted(some, key=lambda index: (wants[index], (index + turn) % len(wants)))
    for place, index in enumerate(order):
        result[index] = min(wants[index], room // (len(order) - place))
        room -= result[index]
    return result


class _Queue:
    """What is left of one demand."""

    def __init__(self, demand: Demand, state: Paced, now_us: int) -> None:
        self.demand = demand
        due = np.maximum(demand.due_us, now_us)
        self._order = np.argsort(due, kind="stable")
        self._due = due[self._order]
        self._slots = self._due // SLOT_US
        self._done = 0
        self.taken = dict(state.campaigns.get(demand.campaign, {}))
        self.run_us = due.copy()

    @property
    def left(self) -> int:
        return len(self._due) - self._done

    @property
    def next_slot(self) -> int:
        """When the first of those left is due."""
        return int(self._slots[self._done])

    def want(self, slot: int) -> int:
        """How many are due by the end of a slot, as far as the campaign's own rate goes."""
        waiting = int(np.searchsorted(self._slots, slot, "right")) - self._done
        if self.demand.per_minute is None:
            return waiting
        free = allowance(self.demand.per_minute, slot) - self.taken.get(slot, 0)
        return max(min(waiting, free), 0)

    def grant(self, slot: int, count: int) -> None:
        """Give the next few run times spread over the slot, none before it is due."""
        if not count:
            return
        chosen = slice(self._done, self._done + count)
        spread = slot * SLOT_US + np.arange(count, dtype=np.int64) * SLOT_US // count
        self.run_us[self._order[chosen]] = np.maximum(self._due[chosen], spread)
        self.taken[slot] = self.taken.get(slot, 0) + count
        self._done += count
