"""Messages that wait for a person's digest, and the digests that take them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from clarion.domain.handoffs import Int64s
from clarion.domain.ids import MessageId


@dataclass(frozen=True, kw_only=True, slots=True)
class Gathered:
    """People whose part of a message waits for a digest."""

    due_us: int
    """When the window of these people closes."""
    people: Int64s


class DigestDesk(Protocol):
    """What waits for digests."""

    async def open_due(self, now: datetime, *, at_once: int) -> int:
        """Make one message for each category and instant whose window has closed; how many."""
        ...

    async def items(self, digest: MessageId, buckets: tuple[int, int]) -> pl.DataFrame:
        """What a digest has for the users of buckets low <= b < high.

        One row a person and message: `user`, `due_us`, `at_us`, `number`, `title`.
        """
        ...
