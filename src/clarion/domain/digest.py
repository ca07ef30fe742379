"""Messages gathered per person over a window, and sent as one."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import polars as pl

from clarion.domain.handoffs import Int64s
from clarion.domain.zones import DAY_US, MINUTE_US, ZoneTable

_EPOCH_WEEKDAY: Final = 3
"""1 January 1970 was a Thursday."""
MAX_LISTED: Final = 20
"""How many messages a digest names; the count tells of all."""


class Rhythm(IntEnum):
    """How often a digest is sent."""

    DAILY = 1
    WEEKLY = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestClock:
    """When digests are due, by each person's clock."""

    minute: int = 18 * 60
    """Minutes since midnight."""
    weekday: int = 0
    """Of weekly ones; 0 is Monday."""

    def __post_init__(self) -> None:
        if not 0 <= self.minute < 24 * 60 or not 0 <= self.weekday < 7:  # noqa: PLR2004  a week
            raise ValueError("a digest is due at 00:00 to 23:59 on day 0 to 6")


def due(
    clock: DigestClock, rhythm: Rhythm, zones: ZoneTable, zone: Int64s, at_us: Int64s
) -> Int64s:
    """The first instant after each row's at which its digest is due: the end of its window.

    A window is the stretch from one due instant to the next, so every message is in exactly one.

    Args:
        clock: when digests are due.
        rhythm: daily or weekly.
        zones: a table from a day before the first instant to nine days past the last.
        zone: codes of known zones, n rows.
        at_us: when each message would have been sent.
    """
    step = 1 if rhythm is Rhythm.DAILY else 7
    day = zones.to_local(zone, at_us) // DAY_US
    if rhythm is Rhythm.WEEKLY:
        day = day - (day + _EPOCH_WEEKDAY - clock.weekday) % 7
    result = at_us.copy()
    for turn in range(3):  # today's may be over; so may tomorrow's, where a day was skipped
        wall = (day + turn * step) * DAY_US + clock.minute * MINUTE_US
        result = np.where(result > at_us, result, zones.to_utc(zone, wall))
    return result


def gather(messages: pl.DataFrame) -> pl.DataFrame:
    """One row per person and window, from one row per message that waits.

    Args:
        messages: `user`, `due_us` (from `due`), `at_us`, `number` (breaks ties) and `title`.

    Returns:
        `user`, `due_us`, `count`, `titles` (the latest `MAX_LISTED`, newest first), `latest`
        (the newest title), in the order of `due_us` and `user`.
    """
    newest = messages.sort(["at_us", "number"], descending=True)
    return (
        newest.group_by("due_us", "user", maintain_order=True)
        .agg(
            pl.len().alias("count"),
            pl.col("title").head(MAX_LISTED).alias("titles"),
            pl.col("title").first().alias("latest"),
        )
        .sort(["due_us", "user"])
        .select("user", "due_us", "count", "titles", "latest")
    )
