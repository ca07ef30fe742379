"""Events, as JSON."""

from typing import Annotated, Any, Literal

import msgspec

from clarion.api.shapes.imports import BadRowView
from clarion.api.shapes.text import Id, IdentityToken, Instant, Name, Token


class AliasBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another name of a person."""

    label: Name
    value: Name


class EventRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person did. The person is named in one way.

    By `external_id`, by `alias`, by `user` (an id), by `device` (an id), or by `network` and
    `token`. A `device` key names the person by `external_id` or by `network` and `token` only.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    """`purchase`; names that begin with `clarion.` are kept for what people do with messages:
    `clarion.received`, `clarion.displayed`, `clarion.opened`, `clarion.clicked`,
    `clarion.dismissed`."""
    id: str | None = None
    """A UUID, best of version 7: the event counts once however often it is sent. Without one a
    repeat is not recognised."""
    at: Instant | None = None
    """When it happened; the instant in an id of version 7, or now, when left out."""
    external_id: Name | None = None
    alias: AliasBody | None = None
    user: Id | None = None
    device: Id | None = None
    network: Literal["apns", "fcm", "webpush"] | None = None
    token: Token | None = None
    value: float | None = None
    """What it is worth."""
    properties: dict[str, Any] | None = None
    """Name -> text, number, truth, `{"time": RFC 3339}` or a list of plain values."""
    message: str | None = None
    """The message that a reserved event is about."""


class EventBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event or many."""

    events: Annotated[list[EventRow], msgspec.Meta(min_length=1, max_length=5_000)]
    identity_token: IdentityToken | None = None
    """JWT (HS256) of the app's server with `sub` = the events' `external_id`; needed with a
    `device` key where the app demands it."""


class EventQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of external ids that nobody has."""

    unknown_users: Literal["create", "refuse"] = "create"


class EventsView(msgspec.Struct, frozen=True):
    """What became of events."""

    rows_read: int
    rows_in: int
    """Events that are new."""
    rows_repeated: int
    """Events whose id had come before."""
    rows_bad: int
    bad: list[BadRowView]
    """The first 1,000; `line` is the place in `events`, counted from 1."""
