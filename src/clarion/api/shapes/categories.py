"""Categories and an app's own rules, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from clarion.api.shapes.text import SLUG, TIME_OF_DAY, Line, Name

Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=SLUG)]
"""Lower-case letters, digits, `-` and `_`."""
Kind = Literal["call", "transactional", "marketing", "system"]
DefaultState = Literal["in", "out", "double_opt_in"]
QuietHours = dict[str, Any]
"""`{"windows": [{"days": ["mon"], "from": "22:00", "to": "07:00"}], "action": "hold"}`; without
`days` every day; `action` is `hold`, `drop` or `silent`."""
Caps = Annotated[list[dict[str, Any]], msgspec.Meta(max_length=4)]
"""`{"count": 3, "per": "7d", "scope": "all", "action": "drop", "counts_exempt": true}`; `per` is a
rolling window (`90m`, `24h`, `7d`) or `day`, `week`, `month` in the person's zone."""
Priority = Annotated[int, msgspec.Meta(ge=0, le=254)]
PerMinute = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
TimeOfDay = Annotated[str, msgspec.Meta(pattern=TIME_OF_DAY, max_length=5)]


class LocalNameBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people who read one language see."""

    name: Name
    description: Line = ""


class DigestBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When digests of the category are due, by each person's clock."""

    at: TimeOfDay = "18:00"
    weekday: Weekday = "mon"
    """Of weekly ones."""


class CategoryBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new category. What is left out follows from its kind."""

    slug: Slug
    kind: Kind
    name: Name
    description: Line = ""
    names: Annotated[dict[Name, LocalNameBody], msgspec.Meta(max_length=100)] = {}
    """Language tag -> name and description in that language."""
    can_opt_out: bool | UnsetType = UNSET
    default_state: DefaultState | UnsetType = UNSET
    caps_apply: bool | UnsetType = UNSET
    quiet_applies: bool | UnsetType = UNSET
    urgent: bool | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    quiet_hours: QuietHours | None = None
    caps: Caps = []
    digest: DigestBody | None = None


class CategoryPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a category; what is absent stays. Its slug and kind are for good."""

    name: Name | UnsetType = UNSET
    description: Line | UnsetType = UNSET
    names: Annotated[dict[Name, LocalNameBody], msgspec.Meta(max_length=100)] | UnsetType = UNSET
    can_opt_out: bool | UnsetType = UNSET
    default_state: DefaultState | UnsetType = UNSET
    caps_apply: bool | UnsetType = UNSET
    quiet_applies: bool | UnsetType = UNSET
    urgent: bool | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    quiet_hours: QuietHours | UnsetType | None = UNSET
    caps: Caps | UnsetType = UNSET
    digest: DigestBody | UnsetType | None = UNSET


class CategoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A category."""

    slug: str
    kind: Kind
    name: str
    description: str
    names: dict[str, LocalNameBody]
    can_opt_out: bool
    default_state: DefaultState
    caps_apply: bool
    quiet_applies: bool
    urgent: bool
    priority: int
    quiet_hours: QuietHours | None
    caps: Caps
    digest: DigestBody | None
    created_at: datetime
    archived_at: datetime | None


class CategoryList(msgspec.Struct, frozen=True):
    """All categories of the app, archived ones included."""

    items: list[CategoryView]


class AppPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of the app's own rules; what is absent stays, null clears."""

    time_zone: Name | UnsetType = UNSET
    language: Name | UnsetType = UNSET
    default_category: Slug | UnsetType = UNSET
    quiet_hours: QuietHours | UnsetType | None = UNSET
    caps: Caps | UnsetType = UNSET
    throttle_per_minute: PerMinute | UnsetType | None = UNSET
    unknown_zone: Literal["fail_closed", "app_zone", "skip"] | UnsetType = UNSET


class AppSettingsView(msgspec.Struct, frozen=True, kw_only=True):
    """The app's own rules."""

    time_zone: str
    language: str
    default_category: str
    quiet_hours: QuietHours | None
    caps: Caps
    throttle_per_minute: int | None
    unknown_zone: Literal["fail_closed", "app_zone", "skip"]
