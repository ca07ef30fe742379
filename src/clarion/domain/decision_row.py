"""What a decision reads, what it says, and the row in which both are kept for years."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.domain.consent import bit
from clarion.domain.handoffs import Int64s, UInt8s, UInt16s
from clarion.domain.network import Network
from clarion.domain.policy import Policy
from clarion.domain.zone_rows import encoded, resolve

Mask = npt.NDArray[np.bool_]
UInt32s = npt.NDArray[np.uint32]
Column = Int64s | UInt32s | UInt16s | UInt8s

NO_WINDOWS: Final = 65535
"""`quiet` of people without windows of their own."""


class Action(IntEnum):
    """What is done about one recipient. The number is stored: never reuse one."""

    SEND = 1
    HOLD = 2
    SKIP = 3
    DIGEST = 4

    @property
    def label(self) -> str:
        """The action as the API spells it."""
        return self.name.lower()


class Flag(IntFlag):
    """Bits of `flags`. The numbers are stored: never reuse one."""

    USER_OPTED_OUT = 1 << 0
    SUPPRESSED = 1 << 1
    DEAD = 1 << 2
    DEVICE_OPTED_OUT = 1 << 3
    WANTED = 1 << 4
    """The message is for the device's network."""
    ABLE = 1 << 5
    """The app has a credential for it."""
    GRANTED = 1 << 6
    DENIED = 1 << 7
    DAILY = 1 << 8
    WEEKLY = 1 << 9
    SILENT = 1 << 12
    """Decided: delivered silently."""
    CAPPED_LATER = 1 << 13
    """Decided: dropped by a cap, at an instant that it had been held to."""
    DIGESTED_LATER = 1 << 14
    """The same, into a digest."""


PERMISSION_SHIFT: Final = 16
"""`flags` has the device's `Permission` in the three bits from here on."""

DECISION_ROW: Final = np.dtype(
    [
        ("user", "<i8"),
        ("device", "<i8"),
        ("decided_us", "<i8"),
        ("send_us", "<i8"),
        ("open_until_us", "<i8"),
        ("paused_until_us", "<i8"),
        ("permitted_us", "<i8"),
        ("flags", "<u4"),
        ("counters", "u1", (4,)),
        ("zone", "<u2"),
        ("quiet", "<u2"),
        ("variant", "<u2"),
        ("language", "<u2"),
        ("reason", "<u2"),
        ("zone_source", "u1"),
        ("action", "u1"),
        ("network", "u1"),
    ]
)
"""One decision about one device: all that `decide` read, and what it said.

`zone` and `quiet` index the chunk's zone names and people's windows (65535: none); `language`
indexes its languages. `counters` is what each binding cap had counted when it was first asked;
`permitted_us` the instant to which caps deferred last, 0 for never.
"""


_KINDS: Final[Mapping[str, np.dtype[np.int64]]] = {
    name: DECISION_ROW[name].base for name in DECISION_ROW.names or ()
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What `decide` reads of n rows."""

    user: Int64s
    device: Int64s
    network: UInt8s
    flags: UInt32s
    """The input bits of `Flag`, and the permission."""
    paused_until_us: Int64s
    """0 where nothing is paused."""
    zone: UInt16s
    zone_source: UInt8s
    quiet: UInt16s
    """Index into `persons`, or `NO_WINDOWS`."""
    zone_names: tuple[str, ...]
    persons: tuple[str, ...]
    """Distinct texts of people's own windows."""

    def __len__(self) -> int:
        return len(self.user)

    def has(self, flag: Flag) -> Mask:
        """The rows on which a bit is set."""
        found: Mask = (self.flags & np.uint32(flag)) != 0
        return found

    @property
    def permission(self) -> UInt8s:
        """`Permission` of each row's device."""
        return (self.flags >> np.uint32(PERMISSION_SHIFT) & np.uint32(7)).astype(np.uint8)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What an earlier decision read of the ledger, which is all that is left of it."""

    counters: UInt8s
    """(n, 4)"""
    permitted_us: Int64s
    capped_later: Mask
    digested_later: Mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Decisions:
    """What is done about n rows, and why."""

    action: UInt8s
    reason: UInt16s
    send_us: Int64s
    silent: Mask
    open_until_us: Int64s
    """When quiet hours close what is open at `send_us`; `intervals.NEVER` if they do not."""
    recorded: Recorded
    evicted: Int64s
    """Places in the ledger's columns of the entries that gave way."""


def inputs(
    rows: pl.DataFrame,
    policy: Policy,
    *,
    targeted: Collection[Network],
    able: Collection[Network],
    of_country: Mapping[str, str],
) -> Inputs:
    """The inputs of rows of a scan.

    Args:
        rows: columns of `clarion.ports.audience.AUDIENCE_SCHEMA`.
        policy: whose category's bits are read.
        targeted: networks that the message is for; empty means all.
        able: networks for which the app has a credential.
        of_country: country -> zone, for people of whom no zone is known.
    """
    network = rows["network"].to_numpy()
    slot = policy.category.slot
    bits: list[tuple[Flag, Mask]] = [
        (Flag.USER_OPTED_OUT, rows["user_opted_out"].to_numpy()),
        (Flag.SUPPRESSED, rows["suppressed"].to_numpy()),
        (Flag.DEAD, rows["dead"].to_numpy()),
        (Flag.DEVICE_OPTED_OUT, rows["device_opted_out"].to_numpy()),
        (Flag.WANTED, _among(network, targeted or tuple(Network))),
        (Flag.ABLE, _among(network, able)),
        *(
            (flag, bit(states, slot))
            for flag, column in (
                (Flag.GRANTED, "granted"),
                (Flag.DENIED, "denied"),
                (Flag.DAILY, "daily"),
                (Flag.WEEKLY, "weekly"),
            )
            if (states := _numbers(rows[column])).any()  # most columns say nothing
        ),
    ]
    permission = _numbers(rows["permission"]).astype(np.uint32)
    flags: UInt32s = np.left_shift(permission, np.uint32(PERMISSION_SHIFT))
    for flag, mask in bits:
        if mask.any():
            flags |= mask * np.uint32(flag)
    zones = resolve(
        rows["time_zone"],
        rows["zone_source"].to_numpy(),
        rows["country"],
        of_country=of_country,
    )
    persons, quiet = encoded(rows["quiet_hours"])
    return Inputs(
        user=rows["user"].to_numpy(),
        device=rows["device"].to_numpy(),
        network=network,
        flags=flags,
        paused_until_us=_numbers(rows["paused_until_us"]),
        zone=zones.zone,
        zone_source=zones.source,
        quiet=np.where(quiet == len(persons), NO_WINDOWS, quiet).astype(np.uint16),
        zone_names=zones.names,
        persons=tuple(persons),
    )


def _numbers(column: pl.Series) -> Int64s:
    """The column with 0 for null, which there seldom is: filling copies."""
    numbers: Int64s = (column.fill_null(0) if column.null_count() else column).to_numpy()
    return numbers


def _among(network: UInt8s, networks: Collection[Network]) -> Mask:
    table = np.zeros(256, np.bool_)
    table[[int(one) for one in networks]] = True
    return table[network]


_DECIDED: Final = np.uint32(
    ~int(Flag.SILENT | Flag.CAPPED_LATER | Flag.DIGESTED_LATER) & 0xFFFFFFFF
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionColumns:
    """n `DECISION_ROW`s column by column: what looks through a column does not step over rows.

    What is the same on every row is one value, shown n times (its stride is 0).
    """

    count: int
    columns: Mapping[str, Column]
    """Every field of `DECISION_ROW`, of its type."""

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def part(self, low: int, high: int) -> "DecisionColumns":
        """Rows `low` <= i < `high`, of those that there are."""
        low, high = min(low, self.count), min(high, self.count)
        parts = {name: column[low:high] for name, column in self.columns.items()}
        return DecisionColumns(count=high - low, columns=parts)

    def rows(self) -> npt.NDArray[np.void]:
        """The same as a structured array."""
        rows = np.zeros(self.count, DECISION_ROW)
        for name, column in self.columns.items():
            rows[name] = column
        return rows


def record(
    read: Inputs,
    said: Decisions,
    now_us: int,
    variant: UInt16s | int = 0,
    language: UInt16s | int = 0,
    *,
    only: Int64s | None = None,
) -> npt.NDArray[np.void]:
    """`DECISION_ROW`s of decisions: `recorded` as a structured array."""
    return recorded(read, said, now_us, variant, language, only=only).rows()


def recorded(
    read: Inputs,
    said: Decisions,
    now_us: int,
    variant: UInt16s | int = 0,
    language: UInt16s | int = 0,
    *,
    only: Int64s | None = None,
) -> DecisionColumns:
    """Decisions as they are kept. The chunk's meta has the policy and the names.

    Args:
        read: n rows.
        said: what was decided about them.
        now_us: the instant of the decision.
        variant: of each recorded row.
        language: of each recorded row.
        only: the rows to record; None: all of them.
    """
    at = slice(None) if only is None else only
    n = len(read) if only is None else len(only)
    found: dict[str, Column | Mask | int] = {
        "decided_us": now_us,
        "variant": variant,
        "language": language,
        "counters": said.recorded.counters[at],
        "permitted_us": said.recorded.permitted_us[at],
        "flags": _flags(read, said, at),
    }
    for name in ("user", "device", "network", "paused_until_us", "zone", "zone_source", "quiet"):
        found[name] = getattr(read, name)[at]
    for name in ("action", "reason", "send_us", "open_until_us"):
        found[name] = getattr(said, name)[at]
    return DecisionColumns(
        count=n,
        columns={name: _spread(found[name], name, n) for name in _KINDS},
    )


def _spread(value: Column | Mask | int, name: str, n: int) -> Column:
    if isinstance(value, int):
        return np.broadcast_to(np.full(1, value, _KINDS[name]), n)
    return cast("Int64s", value).astype(_KINDS[name], copy=False)


def _flags(read: Inputs, said: Decisions, at: "slice[None, None, None] | Int64s") -> UInt32s:
    flags: UInt32s = read.flags[at] & _DECIDED
    for flag, mask in (
        (Flag.SILENT, said.silent[at]),
        (Flag.CAPPED_LATER, said.recorded.capped_later[at]),
        (Flag.DIGESTED_LATER, said.recorded.digested_later[at]),
    ):
        if mask.any():
            flags |= mask * np.uint32(flag)
    return flags


def inputs_of(
    rows: npt.NDArray[np.void], zone_names: tuple[str, ...], persons: tuple[str, ...]
) -> tuple[Inputs, Recorded]:
    """What recorded decisions were made on, so that `decide` can decide again.

    Args:
        rows: `DECISION_ROW`s of one chunk; `decided_us` is the same on all of them.
        zone_names: of the chunk's meta.
        persons: the texts of people's windows, of the chunk's meta.
    """
    flags: UInt32s = rows["flags"]
    read = Inputs(
        user=rows["user"],
        device=rows["device"],
        network=rows["network"],
        flags=(flags & _DECIDED).astype(np.uint32),
        paused_until_us=rows["paused_until_us"],
        zone=rows["zone"],
        zone_source=rows["zone_source"],
        quiet=rows["quiet"],
        zone_names=zone_names,
        persons=persons,
    )
    return read, Recorded(
        counters=rows["counters"],
        permitted_us=rows["permitted_us"],
        capped_later=flags & np.uint32(Flag.CAPPED_LATER) != 0,
        digested_later=flags & np.uint32(Flag.DIGESTED_LATER) != 0,
    )
