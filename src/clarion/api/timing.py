"""When a message is sent: from the request's fields to a moment."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from clarion.api.decoding import MAX_YEAR, MIN_YEAR
from clarion.api.problems import invalid
from clarion.api.shapes.messages import LocalTimeBody, MessageBody
from clarion.domain.app_rules import Moment, QuietWish
from clarion.domain.send_time import AtLocal, IfPassed

EARLIEST_CLOCK: Final = timedelta(hours=14)
"""How far ahead of UTC the earliest clocks are."""
AHEAD: Final = timedelta(minutes=15)
"""People are chosen this long before the first of their clocks shows the time."""


def moment_of(body: MessageBody) -> Moment:
    """What the sender asked for; raises `ProblemError` for a date that is none."""
    return Moment(
        local=None if body.local_time is None else _local(body.local_time),
        importance=body.importance,
        quiet_hours=QuietWish(body.quiet_hours),
        throttle_per_minute=body.throttle_per_minute,
    )


def begins_at(moment: Moment, now: datetime) -> datetime:
    """When people are chosen, where the sender names no instant."""
    local = moment.local
    if local is None or local.day is None:
        return now
    first = datetime.combine(local.day, local.clock, UTC) - EARLIEST_CLOCK - AHEAD
    return max(first, now)


def _local(given: LocalTimeBody) -> AtLocal:
    try:
        day = None if given.date is None else date.fromisoformat(given.date)
    except ValueError:
        raise invalid("/local_time/date", "There is no such day.") from None
    if day is not None and not MIN_YEAR < day.year < MAX_YEAR:
        detail = f"The year must be after {MIN_YEAR} and before {MAX_YEAR}."
        raise invalid("/local_time/date", detail)
    return AtLocal(
        clock=time.fromisoformat(given.time),
        day=day,
        if_passed=IfPassed(given.if_passed),
        grace_us=given.grace_s * 1_000_000,
    )
