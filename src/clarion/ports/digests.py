"""Messages that wait for a person's digest, and the digests that take them."""

from collections.abc import Sequence
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


@dataclass(frozen=True, kw_only=True, slots=True)
class DigestParts:
    """How a message and digests belong together, for one person."""

    due_at: datetime | None
    """When the digest is due that the person's part waits for, or was; None: none."""
    digest: MessageId | None
    """The message that took it; None: it waits."""
    items: Sequence[MessageId]
    """What is in this message, if it is a digest."""


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
