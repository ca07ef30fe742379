"""What people decide for themselves, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from clarion.api.shapes.people import Network
from clarion.api.shapes.text import Instant, Line, Name, Text, Token

Frequency = Literal["all", "daily", "weekly", "off"]
Windows = Annotated[list[dict[str, Any]], msgspec.Meta(max_length=50)]
"""`[{"days": ["mon"], "from": "22:00", "to": "07:00"}]`; without `days` every day."""


class ShownBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the person was shown."""

    text: Text
    language: Line = ""
    text_version: Line = ""


class PreferencesBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is absent stays, null clears."""

    categories: Annotated[dict[Name, Frequency], msgspec.Meta(max_length=63)] = {}
    """Category's slug -> how often."""
    confirm: Annotated[list[Name], msgspec.Meta(max_length=63)] = []
    """Categories whose provisional consent is confirmed."""
    language: Name | UnsetType | None = UNSET
    time_zone: Name | UnsetType | None = UNSET
    """IANA, as `Europe/Paris`. A device that tells its own goes by that one."""
    opted_out: bool | UnsetType = UNSET
    paused_until: Instant | UnsetType | None = UNSET
    quiet_hours: Windows | UnsetType = UNSET
    """The person's own; they hold messages. An empty list: none."""
    shown: ShownBody | None = None


class DevicePreferencesBody(PreferencesBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The preferences of whoever uses this device; with no more than the token, they are read."""

    network: Network
    token: Token


class CategoryPreferenceView(msgspec.Struct, frozen=True, kw_only=True):
    """One category, and what the person gets of it."""

    slug: str
    kind: str
    name: str
    description: str
    frequency: Frequency
    provisional: bool
    """The person said yes and has yet to confirm it."""
    offered: list[Frequency]


class PreferencesView(msgspec.Struct, frozen=True, kw_only=True):
    """All that a person decided."""

    user: int
    external_id: str | None
    language: str | None
    time_zone: str | None
    opted_out: bool
    paused_until: datetime | None
    quiet_hours: Windows
    categories: list[CategoryPreferenceView]


class LinkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the link is good."""

    days: Annotated[int, msgspec.Meta(ge=1, le=400)] = 90


class LinkView(msgspec.Struct, frozen=True):
    """A person's own page. Whoever has the link can change the person's choices."""

    path: str
    stop_path: str
    """A POST to it stops everything at once (RFC 8058)."""
    expires_at: datetime


class RotateLinksBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of links that were made before."""

    revoke: bool = False
    """True: none of them opens any more. Else those of the key before the last do."""
