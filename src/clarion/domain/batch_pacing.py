"""When batches run under the rates of their campaigns and of the app.

Campaigns with something due take turns by what they have sent: none gets ahead of another by more
than a batch, however much it has to send.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A batch that has not begun to run."""

    id: int
    campaign: str
    size: int
    due_us: int
    """It does not run before."""
    per_minute: int | None
    """The campaign's own rate."""


def spread(
    waiting: Sequence[Waiting],
    *,
    per_minute: int | None,
    taken_us: int,
    campaigns_us: dict[str, int],
    now_us: int,
) -> dict[int, int]:
    """The run time of each batch, by its id.

    Args:
        waiting: all batches of the app that wait, in the order of their ids.
        per_minute: the app's rate; None: only campaigns have one.
        taken_us: up to here the app's rate is used up by what runs or ran.
        campaigns_us: the same of campaigns.
        now_us: nothing runs earlier.
    """
    queues: dict[str, list[Waiting]] = {}
    for batch in sorted(waiting, key=lambda one: (one.due_us, one.id)):
        queues.setdefault(batch.campaign, []).append(batch)
    free_us, own = max(taken_us, now_us), dict(campaigns_us)
    sent = dict.fromkeys(queues, 0)
    places = dict.fromkeys(queues, 0)
    ready: list[tuple[int, int, str]] = []  # sent so far, ready since, campaign
    later = [(_from_us(queue[0], own, now_us), name) for name, queue in queues.items()]
    heapq.heapify(later)
    run: dict[int, int] = {}
    while ready or later:
        if not ready:
            free_us = max(free_us, later[0][0])
        while later and later[0][0] <= free_us:
            since, name = heapq.heappop(later)
            heapq.heappush(ready, (sent[name], since, name))
        _, since, name = heapq.heappop(ready)
        batch = queues[name][places[name]]
        at_us = max(free_us, since) if per_minute is not None else since
        run[batch.id] = at_us
        sent[name] += batch.size
        if per_minute is not None:
            free_us = at_us + batch.size * _MINUTE_US // per_minute
        if batch.per_minute is not None:
            own[name] = at_us + batch.size * _MINUTE_US // batch.per_minute
        places[name] += 1
        if places[name] < len(queues[name]):
            following = queues[name][places[name]]
            heapq.heappush(later, (_from_us(following, own, now_us), name))
    return run


def _from_us(batch: Waiting, own: dict[str, int], now_us: int) -> int:
    return max(batch.due_us, own.get(batch.campaign, now_us), now_us)
