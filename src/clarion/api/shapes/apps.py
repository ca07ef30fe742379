"""Apps and keys, as JSON."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from clarion.api.shapes.text import Instant, Name
from clarion.ports.keys import Scope


class AppBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new app (tenant)."""

    name: Name
    time_zone: Name = "UTC"
    language: Name = "en"


class AppView(msgspec.Struct, frozen=True):
    """An app."""

    id: int
    name: str
    time_zone: str
    language: str
    created_at: datetime


class AppList(msgspec.Struct, frozen=True):
    """All apps of the server."""

    items: list[AppView]


class KeyBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new key."""

    scope: Scope
    name: Name
    expires_at: Instant | None = None
    app: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | UnsetType = UNSET
    """Another app than the caller's own: the server's operator only."""


class RotateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the old key goes on opening."""

    grace_s: Annotated[int, msgspec.Meta(ge=0, le=30 * 86_400)] = 86_400


class KeyView(msgspec.Struct, frozen=True):
    """A key without its secret."""

    id: str
    scope: Scope
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    state: Literal["active", "expired", "revoked"]


class KeyList(msgspec.Struct, frozen=True):
    """The keys of an app, newest first."""

    items: list[KeyView]


class NewKeyView(msgspec.Struct, frozen=True):
    """A key at the only moment when its text is shown."""

    id: str
    scope: Scope
    name: str
    created_at: datetime
    expires_at: datetime | None
    key: str
    """Shown once; we keep a hash."""
