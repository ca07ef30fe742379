"""The named segments of an app, and expressions made whole with them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clarion.domain.ids import AppId, MessageId
from clarion.domain.segments.checking import SegmentAt
from clarion.domain.segments.expression import Expression, InList, InSegment, InTopic

Reference = InList | InTopic | InSegment


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentDraft:
    """What an operator says about a segment."""

    name: str
    expression: Expression
    """As read: it may name other segments."""
    description: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentRecord:
    """A segment as stored."""

    draft: SegmentDraft
    version: int
    """1 for a new one; each change of the expression or the description adds 1."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentVersion:
    """What a segment said from some moment on."""

    version: int
    expression: Expression
    created_at: datetime


class Segments(Protocol):
    """The segments of an app. No two stored ones name one another in a circle."""

    async def all(self, app: AppId) -> Sequence[SegmentRecord]:
        """Every segment, by name."""
        ...

    async def get(self, app: AppId, name: str) -> SegmentRecord | None:
        """One segment."""
        ...

    async def put(
        self, app: AppId, draft: SegmentDraft, now: datetime, *, version: int | None = None
    ) -> SegmentRecord:
        """Make a segment, or replace it; saying the same again changes nothing.

        Args:
            app: whose.
            draft: what it is to be.
            now: when.
            version: the version that is replaced, 0 where there must be none; None: any.

        Raises:
            SegmentReferenceError: a list or segment that it names does not exist, or names lead in
                a circle, or it or a segment that names it would be too large.
            SegmentChangedError: there is another version.
            TooManySegmentsError: the app has as many as it may.
        """
        ...

    async def remove(self, app: AppId, name: str) -> bool:
        """Remove a segment; False when there is none.

        Raises:
            SegmentInUseError: other segments, or messages that are yet to be planned, name it.
        """
        ...

    async def resolve(self, app: AppId, wanted: Expression | str, now: datetime) -> SegmentAt:
        """An expression, or the segment of a name, with all segments that it names in place.

        Args:
            app: whose segments and lists are meant.
            wanted: the expression, or a name.
            now: what ages count from.

        Raises:
            SegmentReferenceError: it names what does not exist, or is too large.
        """
        ...

    async def versions(self, app: AppId, name: str) -> Sequence[SegmentVersion]:
        """Everything that was ever said under a name, the newest first; removed or not."""
        ...

    async def naming(self, app: AppId, reference: Reference) -> Sequence[str]:
        """The names of the segments that name a list, a topic or a segment, by name."""
        ...

    async def awaiting(self, app: AppId, reference: Reference) -> Sequence[MessageId]:
        """The messages that are yet to be planned and whose own expression names it."""
        ...


class SegmentChangedError(Exception):
    """The segment has another version than the one that was to be replaced."""

    def __init__(self, name: str, version: int) -> None:
        there = f"has version {version}" if version else "does not exist"
        super().__init__(f"segment {name!r} {there}")
        self.version = version
        """The one there is; 0 for none."""


class SegmentInUseError(Exception):
    """The segment is named elsewhere; the sentence says where."""


class TooManySegmentsError(Exception):
    """The app has as many segments as it may."""
