"""Clocks and quiet hours for one person, quarter by quarter of an hour, as one would say it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from clarion.domain.quiet_windows import QuietAction, QuietHours, Window
from clarion.domain.zones import INHABITED_OFFSETS_MIN

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE_US = 60_000_000
STEP_US = 15 * MINUTE_US
"""Windows and changes of clocks are at quarters of an hour in these tests."""


def shown(name: str, at_us: int) -> datetime:
    """What a clock shows, without its zone."""
    at = EPOCH + timedelta(microseconds=at_us)
    return at.astimezone(ZoneInfo(name)).replace(tzinfo=None)


def clocks(zone: str | None, at_us: int) -> list[datetime]:
    """The clocks that count: the zone's own, or everybody's when it is not known."""
    if zone is not None:
        return [shown(zone, at_us)]
    plain = (EPOCH + timedelta(microseconds=at_us)).replace(tzinfo=None)
    return [plain + timedelta(minutes=offset) for offset in INHABITED_OFFSETS_MIN]


def within(window: Window, clock: datetime) -> bool:
    """Whether a clock shows a time in a window that began today or yesterday."""
    midnight = clock.replace(hour=0, minute=0, second=0, microsecond=0)
    for start_day in (midnight, midnight - timedelta(days=1)):
        if window.days >> start_day.weekday() & 1:
            start = start_day + timedelta(minutes=window.start_min)
            if start <= clock < start + timedelta(minutes=window.minutes):
                return True
    return False


def quiet(windows: Sequence[Window], zone: str | None, at_us: int) -> bool:
    """Whether it is quiet at an instant."""
    return any(within(w, clock) for clock in clocks(zone, at_us) for w in windows)


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """What quiet hours say of one person."""

    send_us: int | None
    """None: it is dropped, or never opens."""
    held: bool
    silent: bool
    dropped: bool


def decide_one(
    owners: Sequence[QuietHours],
    own: Sequence[Window],
    zone: str | None,
    at_us: int,
    *,
    days: int = 16,
) -> Quiet:
    """Look at the clock; while a window holds it, look again at the next quarter of an hour."""
    drop, hold, silent = (
        [w for owner in owners if owner.action is action for w in owner.windows]
        for action in (QuietAction.DROP, QuietAction.HOLD, QuietAction.SILENT)
    )
    if quiet(drop, zone, at_us):
        return Quiet(send_us=None, held=False, silent=False, dropped=True)
    send = at_us
    while quiet([*hold, *own], zone, send):
        send = send - send % STEP_US + STEP_US
        if send >= at_us + days * 1440 * MINUTE_US:
            return Quiet(send_us=None, held=True, silent=False, dropped=False)
    if quiet(drop, zone, send):
        return Quiet(send_us=None, held=False, silent=False, dropped=True)
    return Quiet(send_us=send, held=send > at_us, silent=quiet(silent, zone, send), dropped=False)
