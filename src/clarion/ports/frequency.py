"""What people were sent and what is held for them, as caps count it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import AppId, MessageId

RANGE_BUCKETS = 32
"""Whoever plans for people of one range of buckets finds out about each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """The ledger of some people at one version."""

    ledger: Ledger
    of: Int64s
    """Per entry, an index into `messages`; -1 for entries that nothing can take away."""
    messages: Sequence[MessageId]
    versions: Mapping[int, int] = field(default_factory=dict)
    """Range -> the version that was read: a commit finds another one when it was overtaken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Eviction:
    """People whose held part of a message gave way to the one that is planned."""

    message: MessageId
    people: Int64s


class FrequencyBook(Protocol):
    """The ledger that caps are asked with."""

    async def read(self, app: AppId, buckets: tuple[int, int], since: datetime) -> Usage:
        """Entries since an instant of the users of buckets low <= b < high.

        Withdrawn messages' entries later than the withdrawal, and those that gave way, are left
        out.
        """
        ...

    async def sort_in(self, now: datetime, *, at_once: int) -> int:
        """Put loose entries where the ranges of their people are looked up; how many rows.

        What is too old for any cap to count is dropped.
        """
        ...
