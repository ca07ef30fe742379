"""When batches run under the rates of their campaigns and of the app.

Campaigns with something due take turns by what they have sent: none gets ahead of another by more
than a batch, however much it has to send. What a campaign sends again goes before what it has not
sent yet.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

_MINUTE_US: Final = 60_000_000
JITTER_US: Final = 2_000_000
"""A turn that is taken later by so little does not move those after it."""
AGAIN_US: Final = 2_000_000
"""What is sent again may take its turn earlier by this much: it comes before what is not sent yet,
because its clocks run."""
FAR_US: Final = _MINUTE_US
"""A turn that was taken further in the future than this is a clock's mistake."""


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
    again: bool = False
    """Its recipients were tried before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A rate, and the batch that was counted under it last."""

    per_minute: int
    at_us: int | None
    """When that batch took its turn; None: nothing did yet."""
    taken: int
    """Its recipients."""

    def free_us(self, now_us: int) -> int:
        """From when on the next one may go out."""
        if self.at_us is None:
            return 0
        at_us = self.at_us if self.at_us <= now_us + FAR_US else now_us
        return at_us + self.taken * _MINUTE_US // self.per_minute


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """Whether a batch may go out now."""

    go: bool
    at_us: int
    """From when on it counts; or, if it may not, when to ask again."""


def turn(rates: Sequence[Rate], *, now_us: int, again: bool) -> Turn:
    """Whether it is a batch's turn under all of its rates; `again`: its recipients were tried.

    A rate may be exceeded by no more than one batch and by what `JITTER_US` and `AGAIN_US` hold.
    """
    free_us = max((rate.free_us(now_us) for rate in rates), default=0)
    early_us = AGAIN_US if again else 0
    if free_us - early_us > now_us:
        return Turn(go=False, at_us=free_us - early_us)
    return Turn(go=True, at_us=max(free_us, now_us - JITTER_US))


@dataclass(kw_only=True, slots=True)
class _Queue:
    """What a campaign has to send; what is sent again goes first once it is due."""

    firsts: list[Waiting] = field(default_factory=list)
    retries: list[Waiting] = field(default_factory=list)
    """Both with the next one last."""

    @property
    def due_us(self) -> int:
        """When the next one is due."""
        return min(queue[-1].due_us for queue in (self.firsts, self.retries) if queue)

    def take(self, at_us: int) -> Waiting:
        """The next one at an instant at which one is due."""
        retried = self.retries and (not self.firsts or self.retries[-1].due_us <= at_us)
        return self.retries.pop() if retried else self.firsts.pop()

    def __bool__(self) -> bool:
        return bool(self.firsts or self.retries)


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
    queues = _queues(waiting)
    free_us, own = max(taken_us, now_us), dict(campaigns_us)
    sent = dict.fromkeys(queues, 0)
    ready: list[tuple[int, int, str]] = []  # sent so far, ready since, campaign
    later = [(max(q.due_us, own.get(name, now_us), now_us), name) for name, q in queues.items()]
    heapq.heapify(later)
    run: dict[int, int] = {}
    while ready or later:
        if not ready:
            free_us = max(free_us, later[0][0])
        while later and later[0][0] <= free_us:
            since, name = heapq.heappop(later)
            heapq.heappush(ready, (sent[name], since, name))
        _, since, name = heapq.heappop(ready)
        at_us = max(free_us, since) if per_minute is not None else since
        queue = queues[name]
        batch = queue.take(at_us)
        run[batch.id] = at_us
        sent[name] += batch.size
        if per_minute is not None:
            free_us = at_us + batch.size * _MINUTE_US // per_minute
        if batch.per_minute is not None:
            own[name] = at_us + batch.size * _MINUTE_US // batch.per_minute
        if queue:
            from_us = max(queue.due_us, own.get(name, now_us), now_us)
            heapq.heappush(later, (from_us, name))
    return run


def _queues(waiting: Sequence[Waiting]) -> dict[str, _Queue]:
    queues: dict[str, _Queue] = {}
    for batch in sorted(waiting, key=lambda one: (one.due_us, one.id), reverse=True):
        queue = queues.setdefault(batch.campaign, _Queue())
        (queue.retries if batch.again else queue.firsts).append(batch)
    return queues
