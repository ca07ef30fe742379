"""API keys: made once, shown once, stored as a hash."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from clarion.domain.ids import AppId, KeyId


class Scope(StrEnum):
    """What a key allows."""

    ADMIN = "admin"
    """Everything of its app."""
    SEND = "send"
    """Messages, people and devices."""
    DEVICE = "device"
    """Only what a client may do: register its device, log in and out, report events. Safe to ship
    inside an app, because it reads nothing and sends nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRecord:
    """What may be known about a key."""

    id: KeyId
    app: AppId
    scope: Scope
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """To the minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewKey:
    """A key at the only moment when its text is known."""

    record: KeyRecord
    text: str = field(repr=False)
    """`clarion_<scope>_<id>_<secret>`, ASCII."""


class KeyRefusal(StrEnum):
    """Why a key opens nothing."""

    MALFORMED = "malformed"
    UNKNOWN = "unknown"
    """No such id, or another secret."""
    REVOKED = "revoked"
    EXPIRED = "expired"


class Keys(Protocol):
    """API keys of apps."""

    async def create(
        self, app: AppId, scope: Scope, name: str, *, expires_at: datetime | None, now: datetime
    ) -> NewKey:
        """Make a key."""
        ...

    async def check(self, text: str, now: datetime) -> KeyRecord | KeyRefusal:
        """Whose key this is, or why it opens nothing.

        Answers come from this process's memory for a few seconds, so a revocation in another
        process binds within that time.
        """
        ...

    def recall(self, text: str, now: datetime) -> KeyRecord | None:
        """The same at once, for a key that is good by what this process remembers.

        None: `check` has to tell.
        """
        ...

    async def rotate(
        self, app: AppId, key: KeyId, *, grace: timedelta, now: datetime
    ) -> NewKey | None:
        """A new key with the same scope, name and lifetime; the old one expires after `grace`.

        None when the app has no such living key.
        """
        ...

    async def revoke(self, app: AppId, key: KeyId, now: datetime) -> bool:
        """End a key now; False when the app has no such living key."""
        ...

    async def all(self, app: AppId) -> Sequence[KeyRecord]:
        """The keys of an app, newest first, dead ones included."""
        ...
