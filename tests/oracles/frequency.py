"""Caps for one person, by counting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from tests.oracles.quiet_hours import shown

from clarion.domain.frequency import EXEMPT_PRIORITY, Cap, Scope
from clarion.domain.periods import Period


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One disturbance of one person."""

    at_us: int
    networks: frozenset[int]
    category: int
    priority: int
    place: int = -1


def period_of(zone: str, period: Period, at_us: int) -> tuple[int, ...]:
    """What the clock's calendar says."""
    day = shown(zone, at_us).date()
    if period is Period.DAY:
        return (day.toordinal(),)
    if period is Period.WEEK:
        return ((day - timedelta(days=day.weekday())).toordinal(),)
    return (day.year, day.month)


def counts_for(cap: Cap, sent: Sent, network: int, category: int) -> bool:
    """Whether a cap counts a disturbance."""
    if not cap.counts_exempt and sent.priority == EXEMPT_PRIORITY:
        return False
    if cap.scope is Scope.CATEGORY:
        return sent.category == category
    return cap.scope is not Scope.NETWORK or network in sent.networks


def load(
    cap: Cap, ledger: Sequence[Sent], at_us: int, network: int, category: int, zone: str
) -> int:
    """The most that is in one window together with a new sending at an instant."""
    times = [s.at_us for s in ledger if counts_for(cap, s, network, category)]
    if isinstance(cap.window, Period):
        mine = period_of(zone, cap.window, at_us)
        return sum(period_of(zone, cap.window, at) == mine for at in times)
    ends = [at_us, *(at for at in times if at_us < at < at_us + cap.window)]
    return max(sum(end - cap.window < at <= end for at in times) for end in ends)


def exceeded(
    cap: Cap, ledger: Sequence[Sent], networks: Sequence[int], category: int, zone: str
) -> bool:
    """Whether some window holds more than the cap permits."""
    for network in networks:
        times = sorted(s.at_us for s in ledger if counts_for(cap, s, network, category))
        if isinstance(cap.window, Period):
            of = [period_of(zone, cap.window, at) for at in times]
            if any(of.count(one) > cap.count for one in of):
                return True
        elif any(
            later - first < cap.window
            for first, later in zip(times, times[cap.count :], strict=False)
        ):
            return True
    return False


def without(ledger: Sequence[Sent], places: set[int]) -> list[Sent]:
    """The ledger after some gave way."""
    return [s for s in ledger if s.place not in places]


def numbered(ledger: Sequence[Sent]) -> list[Sent]:
    """Entries that know their place."""
    return [replace(sent, place=place) for place, sent in enumerate(ledger)]
