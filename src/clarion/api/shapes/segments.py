"""Segments, as JSON."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from clarion.api.shapes.categories import Slug
from clarion.api.shapes.text import Line

Expression = str | dict[str, Any]
"""The text form, `country in (FR, BE) and tag.plan = "pro"`, or the JSON form."""
Version = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]


class SegmentBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a segment is to be."""

    expression: Expression
    description: Line = ""
    version: Version | None = None
    """The version that is replaced, 0 where there must be none; left out: any."""


class SegmentView(msgspec.Struct, frozen=True, kw_only=True):
    """A segment in both forms."""

    name: str
    description: str
    text: str
    expression: dict[str, Any]
    version: int
    """Each change adds 1."""
    created_at: datetime
    updated_at: datetime


class SegmentList(msgspec.Struct, frozen=True):
    """All segments, by name."""

    items: list[SegmentView]


class SegmentVersionView(msgspec.Struct, frozen=True, kw_only=True):
    """What a segment said from some moment on."""

    version: int
    text: str
    expression: dict[str, Any]
    created_at: datetime


class SegmentVersionList(msgspec.Struct, frozen=True):
    """Everything that was said under a name, the newest first."""

    items: list[SegmentVersionView]


class SegmentUsedView(msgspec.Struct, frozen=True, kw_only=True):
    """A segment by which people were chosen, as it was then."""

    name: str
    version: int
    text: str | None
    """null: it was replaced before its versions were kept."""


class CountBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whom to count."""

    segment: Expression | None = None
    """The name of a segment, or an expression in either form; left out: everybody."""
    category: Slug | None = None
    """Count consent to this category too; left out: only whether people can be reached."""


class CountRow(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices of a network end in one way."""

    network: str | None
    """null: people without a device, each of them once."""
    reason: str
    """`accepted`: could be sent to."""
    count: int


class CountView(msgspec.Struct, frozen=True, kw_only=True):
    """Who is in a segment now."""

    people: int
    people_reachable: int
    """With at least one device that could be sent to."""
    devices: int
    devices_reachable: int
    rows: list[CountRow]
    by_network: dict[str, int]
    """Network -> devices that could be sent to."""
    by_reason: dict[str, int]
    """Why the others could not."""
    counted_at: datetime
    """What ages count from."""


class CheckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An expression to look at."""

    expression: Expression


class MistakeView(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with an expression, and where."""

    detail: str
    expected: str | None
    """What would be right there."""
    suggestion: str | None
    """What was most likely meant."""
    offset: int | None
    """Text: characters before it."""
    length: int | None
    line: int | None
    """From 1."""
    column: int | None
    """From 1."""
    pointer: str | None
    """JSON: where it is (RFC 6901), within the expression."""


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """What an expression means, or what is wrong with it."""

    valid: bool
    text: str | None
    """Its normal form, in both spellings; null where it is not valid."""
    expression: dict[str, Any] | None
    mistake: MistakeView | None
    segments: list[str]
    """What it names."""
    lists: list[str]
    topics: list[str]
