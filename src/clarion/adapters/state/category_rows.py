"""Rows of categories and of apps' rules as the domain's values: read in one way everywhere."""

from collections.abc import Mapping
from typing import Final

import asyncpg
import orjson

from clarion.domain.category import Category, DefaultState, Kind
from clarion.domain.digest import DigestClock
from clarion.domain.frequency import Cap, cap_from
from clarion.domain.policy import UnknownZone
from clarion.domain.quiet_windows import QuietHours, quiet_hours_from

UNKNOWN_ZONES: Final[Mapping[int, UnknownZone]] = {
    1: UnknownZone.FAIL_CLOSED,
    2: UnknownZone.APP_ZONE,
    3: UnknownZone.SKIP,
}


def category_of(row: asyncpg.Record) -> Category:
    """A row of `category` with all columns that rules are made of."""
    return Category(
        slug=row["slug"],
        kind=Kind(row["kind"]),
        slot=row["slot"],
        can_opt_out=row["can_opt_out"],
        default_state=DefaultState(row["default_state"]),
        caps_apply=row["caps_apply"],
        quiet_applies=row["quiet_applies"],
        urgent=row["urgent"],
        priority=row["priority"],
        quiet_hours=quiet_of(row["quiet_hours"]),
        caps=caps_of(row["caps"]),
    )


def quiet_of(held: bytes | str | None) -> QuietHours | None:
    """Quiet hours as they are held: JSON, or nothing."""
    value = None if held is None else orjson.loads(held)
    return None if value is None else quiet_hours_from(value)


def caps_of(held: bytes | str | None) -> tuple[Cap, ...]:
    """Caps as they are held: JSON, or nothing."""
    return () if held is None else tuple(map(cap_from, orjson.loads(held) or ()))


def clock_of(held: bytes | str | None) -> DigestClock | None:
    """When digests are sent; what is not said is as by default. None: nothing is held."""
    value = None if held is None else orjson.loads(held)
    return None if value is None else DigestClock(**value)
