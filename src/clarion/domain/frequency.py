"""How often a person may be disturbed: caps, and what has been sent or is held already.

One disturbance is one message to one person at one instant, over however many of their devices.
A rolling cap of N in W holds for every stretch of length W: a new sending is measured against
those before it and against those that are held for later.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import Int64s, UInt8s
from clarion.domain.intervals import bisect, pointers
from clarion.domain.periods import Period, bounds
from clarion.domain.row_of import RowOf, placed
from clarion.domain.zones import DAY_US, HOUR_US, MINUTE_US, ZoneTable

Mask = npt.NDArray[np.bool_]

EXEMPT_PRIORITY: Final = 255
"""Of entries that no cap could have stopped (calls, transactional); they never give way."""
MAX_CAPS: Final = 4
MAX_COUNT: Final = 254
MAX_ROLLING_US: Final = 31 * DAY_US
_AT_ONCE: Final = 1 << 15
"""So many entries are counted at a time: what is reckoned of them stays in a cache."""


class CapError(ValueError):
    """A cap that can't be. `field` is the one of its fields that is wrong, empty for the whole."""

    def __init__(self, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.field = field


class Scope(StrEnum):
    """What a cap counts."""

    ALL = "all"
    CATEGORY = "category"
    """Messages of the same category."""
    NETWORK = "network"
    """Messages over the same network: each network has the count to itself."""


class CapAction(StrEnum):
    """What becomes of a message that a cap does not permit."""

    DROP = "drop"
    DEFER = "defer"
    """It waits for the first instant at which the cap permits it."""
    DIGEST = "digest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cap:
    """At most `count` disturbances within a rolling window or a period of the calendar."""

    count: int
    window: int | Period
    """Microseconds of a rolling window, or a period in the person's zone."""
    scope: Scope = Scope.ALL
    action: CapAction = CapAction.DROP
    counts_exempt: bool = True
    """Whether messages that no cap stops count against this one."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise CapError(f"`count` is 1 to {MAX_COUNT}", "count")
        if not isinstance(self.window, Period) and not MINUTE_US <= self.window <= MAX_ROLLING_US:
            raise CapError("a rolling window is a minute to 31 days", "per")


_UNITS: Final = {"m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_LONGEST_WINDOW: Final = 10
_FIELDS: Final = frozenset({"count", "per", "scope", "action", "counts_exempt"})


def cap_from(value: object) -> Cap:
    """A cap from decoded JSON: `{"count": 3, "per": "7d", "scope": "all", "action": "defer"}`.

    `per` is a rolling window (`90m`, `24h`, `7d`) or `day`, `week`, `month`. Raises `CapError`.
    """
    if not isinstance(value, dict):
        raise CapError("expected an object with `count` and `per`")
    unknown = sorted(str(key) for key in value if key not in _FIELDS)
    if unknown:
        raise CapError("there is no such field", unknown[0])
    count, exempt = value.get("count"), value.get("counts_exempt", True)
    if not isinstance(count, int) or isinstance(count, bool):
        raise CapError("`count` is a whole number", "count")
    if not isinstance(exempt, bool):
        raise CapError("`counts_exempt` is true or false", "counts_exempt")
    scope, action = value.get("scope", Scope.ALL), value.get("action", CapAction.DROP)
    if scope not in list(Scope):
        raise CapError(f"`scope` is one of {', '.join(Scope)}", "scope")
    if action not in list(CapAction):
        raise CapError(f"`action` is one of {', '.join(CapAction)}", "action")
    return Cap(
        count=count,
        window=_window(value.get("per")),
        scope=Scope(scope),
        action=CapAction(action),
        counts_exempt=exempt,
    )


def _window(value: object) -> int | Period:
    if isinstance(value, str) and len(value) <= _LONGEST_WINDOW:
        if value in set(Period):
            return Period(value)
        if value[:-1].isdecimal() and value[:-1].isascii() and value[-1] in _UNITS:
            return int(value[:-1]) * _UNITS[value[-1]]
    raise CapError("`per` is day, week, month or a length such as 24h", "per")


def per(window: int | Period) -> str:
    """A window as `cap_from` reads it."""
    if isinstance(window, Period):
        return window.value
    unit = next(name for name in ("d", "h", "m") if window % _UNITS[name] == 0 or name == "m")
    return f"{window // _UNITS[unit]}{unit}"


def cap_json(cap: Cap) -> dict[str, int | str | bool]:
    """The JSON value that `cap_from` reads."""
    return {
        "count": cap.count,
        "per": per(cap.window),
        "scope": cap.scope.value,
        "action": cap.action.value,
        "counts_exempt": cap.counts_exempt,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Disturbances as columns of equal length, past ones and held ones, in any order."""

    user: Int64s
    at_us: Int64s
    networks: UInt8s
    """Bit n is set when it went (or will go) over `Network` n."""
    category: UInt8s
    """Slot of the message's category."""
    priority: UInt8s
    """`EXEMPT_PRIORITY` where no cap applies to the message."""
    index: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    """Place in the columns that the caller gave; empty means 0, 1, 2 and so on."""

    @classmethod
    def empty(cls) -> "Ledger":
        """Nothing was ever sent."""
        none = np.zeros(0, np.int64)
        byte = np.zeros(0, np.uint8)
        return cls(user=none, at_us=none, networks=byte, category=byte, priority=byte)

    def __len__(self) -> int:
        return len(self.user)

    def places(self) -> Int64s:
        """Place of each entry in the caller's columns; -1 for those added here."""
        return self.index if len(self.index) else np.arange(len(self), dtype=np.int64)

    def take(self, chosen: Mask | Int64s) -> "Ledger":
        """The entries chosen, which keep their places."""
        return Ledger(
            user=self.user[chosen],
            at_us=self.at_us[chosen],
            networks=self.networks[chosen],
            category=self.category[chosen],
            priority=self.priority[chosen],
            index=self._kept(chosen),
        )

    def _kept(self, chosen: Mask | Int64s) -> Int64s:
        if len(self.index):
            return self.index[chosen]
        return np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)

    def plus(self, other: "Ledger") -> "Ledger":
        """These entries and new ones, whose place is -1."""
        return Ledger(
            user=np.concatenate((self.user, other.user)),
            at_us=np.concatenate((self.at_us, other.at_us)),
            networks=np.concatenate((self.networks, other.networks)),
            category=np.concatenate((self.category, other.category)),
            priority=np.concatenate((self.priority, other.priority)),
            index=np.concatenate((self.places(), np.full(len(other), -1, np.int64))),
        )

    def of(self, users: Int64s) -> "Ledger":
        """The entries of some people."""
        if not len(users):
            return Ledger.empty()
        return self.take(placed(users, self.user) >= 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Rows that ask for a place under the caps; all rows of one person at one instant."""

    user: Int64s
    at_us: Int64s
    network: UInt8s
    zone: Int64s
    """Code of a known zone: whose calendar counts."""
    category: int
    """Slot of the message's category."""
    people: RowOf | None = None
    """Of `user`, where it is known already."""

    @property
    def row_of(self) -> RowOf:
        """The row that stands for a person."""
        return RowOf(self.user) if self.people is None else self.people


def loads(
    caps: Sequence[Cap], ledger: Ledger, asked: Asked, zones: ZoneTable
) -> npt.NDArray[np.int64]:
    """What each cap counts against each row: (caps, n). A cap permits while it is below `count`.

    For a rolling cap it is the fullest window that the new sending would be in.
    """
    n = len(asked.user)
    result = np.zeros((len(caps), n), np.int64)
    if not caps or not len(ledger) or not n:
        return result
    ledger = _recent(caps, ledger, asked)
    row_of = asked.row_of
    group = row_of(ledger.user)
    theirs: Mask | None = group >= 0
    if theirs is not None and theirs.all():
        theirs = None
    for place, cap in enumerate(caps):
        for networks, rows in scopes(cap, asked.network):
            entries = counted(cap, ledger, asked.category, networks)
            if theirs is not None:
                entries = theirs if entries is None else entries & theirs
            found = _loads(cap, ledger.at_us, group, entries, (asked, zones))
            result[place] = np.where(rows, found[row_of.lead], result[place])
    return result


def _recent(caps: Sequence[Cap], ledger: Ledger, asked: Asked) -> Ledger:
    """The ledger without what lies before every window: most of it, where windows are short."""
    windows = [cap.window for cap in caps if not isinstance(cap.window, Period)]
    if len(windows) < len(caps):
        return ledger
    recent = ledger.at_us > asked.at_us.min() - max(windows)
    return ledger if recent.all() else ledger.take(recent)


def scopes(cap: Cap, network: UInt8s) -> list[tuple[int, Mask | np.bool_]]:
    """(bits of the networks that count, the rows that they count for)."""
    if cap.scope is not Scope.NETWORK:
        return [(0xFF, np.True_)]
    present = np.flatnonzero(np.bincount(network, minlength=8))
    return [(1 << int(one), network == one) for one in present]


def counted(cap: Cap, ledger: Ledger, category: int, networks: int) -> Mask | None:
    """Which entries a cap counts; None means all of them."""
    entries: Mask | None = None
    if cap.scope is Scope.CATEGORY:
        entries = ledger.category == category
    elif cap.scope is Scope.NETWORK:
        entries = ledger.networks & np.uint8(networks) != 0
    if not cap.counts_exempt:
        plain = ledger.priority != EXEMPT_PRIORITY
        entries = plain if entries is None else entries & plain
    return entries


def _loads(
    cap: Cap, at_us: Int64s, group: Int64s, entries: Mask | None, where: tuple[Asked, ZoneTable]
) -> Int64s:
    """The load of each person, at the row that stands for them."""
    asked, zones = where
    n = len(asked.user)
    if entries is not None:
        at_us, group = at_us[entries], group[entries]
    if isinstance(cap.window, Period):
        start, end = bounds(zones, cap.window, asked.zone, asked.at_us)
        inside = (at_us >= start[group]) & (at_us < end[group])
        return np.bincount(group[inside], minlength=n)
    load, later = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    first, last = int(asked.at_us.min()), int(asked.at_us.max())
    for low in range(0, len(group), _AT_ONCE):
        part = group[low : low + _AT_ONCE]
        when = at_us[low : low + _AT_ONCE]
        oldest, newest = int(when.min()), int(when.max())
        if oldest > last - cap.window and newest <= first:  # counts, whoever it is about
            load += np.bincount(part, minlength=n)
            continue
        away = when - asked.at_us[part]
        before = away > -cap.window
        after = away > 0
        if after.any():
            before &= ~after
            later[part[after & (away < cap.window)]] = True
        load += np.bincount(part if before.all() else part[before], minlength=n)
    if later.any():
        theirs = np.flatnonzero(later[group])
        away = at_us[theirs] - asked.at_us[group[theirs]]
        inside = (away > -cap.window) & (away < cap.window)
        near = theirs[inside]
        people, most = _fullest(cap.window, group[near], at_us[near], away[inside] > 0)
        load[people] = np.maximum(load[people], most)
    return load


def _fullest(window: int, group: Int64s, at_us: Int64s, after: Mask) -> tuple[Int64s, Int64s]:
    """People with held entries, and the most entries in a window that ends at one of those."""
    order = np.lexsort((at_us, group))
    group, at_us, after = group[order], at_us[order], after[order]
    first = pointers(group, int(group[-1]) + 1)
    ends = np.flatnonzero(after)
    begin = bisect(at_us, first[group[ends]], ends, at_us[ends] - window)
    people = group[ends]
    fresh = np.flatnonzero(np.concatenate(([True], people[1:] != people[:-1])))
    return people[fresh], np.maximum.reduceat(ends - begin + 1, fresh)
