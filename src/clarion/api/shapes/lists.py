"""Lists and topics, as JSON."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from clarion.api.shapes.events import AliasBody
from clarion.api.shapes.imports import BadRowView
from clarion.api.shapes.text import Id, Line, Name, Token


class ListBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of a list."""

    description: Line = ""


class ListView(msgspec.Struct, frozen=True):
    """A list."""

    name: str
    description: str
    members: int
    created_at: datetime


class ListPage(msgspec.Struct, frozen=True):
    """Lists in order of their names."""

    items: list[ListView]
    next: str | None
    """Cursor of what follows; null at the end."""


class TopicView(msgspec.Struct, frozen=True):
    """A topic that somebody is subscribed to."""

    name: str
    members: int


class TopicPage(msgspec.Struct, frozen=True):
    """Topics in order of their names."""

    items: list[TopicView]
    next: str | None
    """Cursor of what follows; null at the end."""


class TopicNames(msgspec.Struct, frozen=True):
    """What a person is subscribed to, in order of the names."""

    topics: list[str]
    next: str | None
    """Cursor of what follows; null at the end."""


class MemberRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person, named in one way."""

    external_id: Name | None = None
    alias: AliasBody | None = None
    user: Id | None = None


class MemberBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who joins or leaves."""

    members: Annotated[list[MemberRow], msgspec.Meta(min_length=1, max_length=5_000)]


class MemberQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to these people."""

    action: Literal["add", "remove"] = "add"
    unknown_users: Literal["create", "refuse"] = "refuse"
    """What becomes of external ids that nobody has."""


class MembersView(msgspec.Struct, frozen=True):
    """What became of the rows."""

    rows_read: int
    changed: int
    """People who were not what they are now."""
    rows_bad: int
    bad: list[BadRowView]
    """The first 1,000; `line` is the place in `members`, counted from 1."""


class SubscriptionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The person using a device subscribes or unsubscribes; the token proves who asks."""

    network: Literal["apns", "fcm", "webpush"]
    token: Token
    topic: Name
