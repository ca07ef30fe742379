"""The inbox of what people do: each event is in it once, until the columns have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from clarion.domain.conditions import Row
from clarion.domain.ids import AppId


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedEvents:
    """What became of the rows of one call."""

    recorded: int
    """Events that were not there before."""
    repeated: int
    """Events whose id was there already, or came earlier in the same rows."""
    unknown: Sequence[int]
    """Rows that name nobody whom the app knows: nothing of them was recorded."""
    xid: int
    """Transaction that recorded them; 0 when none did."""


class Events(Protocol):
    """Takes events in, exactly once by id."""

    async def record(
        self, app: AppId, rows: pl.DataFrame | Sequence[Row], *, create_people: bool, now: datetime
    ) -> RecordedEvents:
        """Record checked rows in one unit of work; committed when it returns.

        Args:
            app: whose events.
            rows: columns of `clarion.domain.event.COLUMNS`, by `clarion.domain.event.check`; or
                rows of such cells, where absent is null: a few of them cost less so.
            create_people: whether an external id that nobody has becomes a person; people who are
                named in any other way are never made.
            now: when people who are made were made.

        Raises:
            StoreUnavailableError: nothing was recorded, or nobody knows; the ids make a second try
                harmless.
        """
        ...
