"""People and devices, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from clarion.api.shapes.text import Id, IdentityToken, Instant, Name, Token

Network = Literal["apns", "fcm", "webpush"]
Platform = Literal["phone", "tablet", "desktop", "wearable", "browser"]
Permission = Literal["unknown", "not_asked", "denied", "provisional", "granted", "blocked"]
AttributeChanges = dict[str, Any]
"""Name -> text, number, truth, `{"time": RFC 3339}` or a list of plain values; null removes."""
AttributesView = Annotated[msgspec.Raw, msgspec.Meta(extra_json_schema={"type": "object"})]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]


class PersonBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to write over what is known of a person; what is absent stays, null clears."""

    attributes: AttributeChanges = {}
    aliases: dict[Name, Name | None] = {}
    language: Name | UnsetType | None = UNSET
    time_zone: Name | UnsetType | None = UNSET
    country: Name | UnsetType | None = UNSET
    opted_out: bool | UnsetType = UNSET


class PersonRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One person of a batch; what is absent or null stays as it is."""

    external_id: Name
    attributes: AttributeChanges = {}
    aliases: dict[Name, Name | None] = {}
    """Label -> value; null takes the alias away."""
    language: Name | None = None
    time_zone: Name | None = None
    country: Name | None = None
    opted_out: bool | None = None


class PersonBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many people."""

    users: Annotated[list[PersonRow], msgspec.Meta(min_length=1, max_length=5_000)]


class PersonView(msgspec.Struct, frozen=True):
    """A person."""

    id: int
    external_id: str | None
    aliases: dict[str, str]
    attributes: AttributesView
    language: str | None
    time_zone: str | None
    country: str | None
    opted_out: bool
    created_at: datetime
    updated_at: datetime


class PersonPage(msgspec.Struct, frozen=True):
    """Some people, and the cursor of the next page."""

    items: list[PersonView]
    next: str | None


class WebPushKeys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys of a push subscription, base64url (as `PushSubscription.toJSON()` gives them)."""

    p256dh: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    auth: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class LocationBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a device is, in degrees."""

    latitude: Latitude
    longitude: Longitude


class DeviceRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device that registers; what is absent or null stays as it is.

    Without `external_id` and `user` a known device stays with its person, and a new one gets a
    new anonymous person. A known token that comes with another person moves to that person.
    """

    network: Network
    token: Token
    """APNs token (hex), FCM token or installation id, or Web Push endpoint."""
    keys: WebPushKeys | None = None
    """Web Push only."""
    environment: Literal["production", "sandbox", "unknown", "token", "fid"] | None = None
    """APNs: `production` or `sandbox`, unknown when left out. FCM: `token` (the default) or `fid`
    (an installation id)."""
    external_id: Name | None = None
    user: Id | None = None
    identity_token: IdentityToken | None = None
    """JWT (HS256) of the app's server with `sub` = `external_id` and `exp`; needed with a `device`
    key where the app demands it."""
    opted_out: bool | None = None
    platform: Platform | None = None
    os: Name | None = None
    os_version: Name | None = None
    model: Name | None = None
    app_version: Name | None = None
    language: Name | None = None
    time_zone: Name | None = None
    country: Name | None = None
    location: LocationBody | None = None
    attributes: AttributeChanges = {}
    aliases: dict[Name, Name | None] = {}
    """Of the person of `external_id`: label -> value; null takes the alias away. A `device` key
    gives none."""
    last_active_at: Instant | None = None
    permission: Permission | None = None
    """What the system lets the app show on this device."""


class DeviceBody(DeviceRow, frozen=True, forbid_unknown_fields=True):
    """A device that registers for itself."""

    replaces: Token | None = None
    """The token that it had before, which proves that it is the same device: it keeps its id, its
    person, what that person consented to, and its steps of asking, also where nobody knows who
    the person is. Where the app demands identity tokens, one of that person has to be given too,
    with a `device` key: else the device is a new one, as with a token that nobody has."""


class DeviceBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many devices."""

    devices: Annotated[list[DeviceRow], msgspec.Meta(min_length=1, max_length=5_000)]


class RegisteredView(msgspec.Struct, frozen=True):
    """What became of a registration."""

    id: int
    user: int
    created: bool


class RefusedRow(msgspec.Struct, frozen=True):
    """What is wrong with one row; it was not stored (or, where so said, all but its attributes)."""

    index: int
    path: str
    code: str
    detail: str


class RegisteredList(msgspec.Struct, frozen=True):
    """What became of each row, in order.

    `id` is 0 for a row that described a person only, both are 0 for a row that was refused.
    """

    items: list[RegisteredView]
    refused: list[RefusedRow]


class DevicePatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to write over what is known of a device; what is absent stays, null clears."""

    user: Id | UnsetType = UNSET
    opted_out: bool | UnsetType = UNSET
    platform: Platform | UnsetType | None = UNSET
    os: Name | UnsetType | None = UNSET
    os_version: Name | UnsetType | None = UNSET
    model: Name | UnsetType | None = UNSET
    app_version: Name | UnsetType | None = UNSET
    language: Name | UnsetType | None = UNSET
    time_zone: Name | UnsetType | None = UNSET
    country: Name | UnsetType | None = UNSET
    location: LocationBody | UnsetType | None = UNSET
    attributes: AttributeChanges = {}
    last_active_at: Instant | UnsetType | None = UNSET


class DeviceView(msgspec.Struct, frozen=True, kw_only=True):
    """A device."""

    id: int
    user: int
    network: str
    token: str | None
    """Shown to `admin` keys only."""
    environment: str | None
    """APNs: `production`, `sandbox` or `unknown`; FCM: `token` or `fid`; else null."""
    state: Literal["active", "dead"]
    state_reason: str | None
    opted_out: bool
    platform: str | None
    os: str | None
    os_version: str | None
    model: str | None
    app_version: str | None
    language: str | None
    time_zone: str | None
    country: str | None
    location: LocationBody | None
    attributes: AttributesView
    permission: str
    permission_at: datetime | None
    last_active_at: datetime | None
    registered_at: datetime
    created_at: datetime
    updated_at: datetime


class DevicePage(msgspec.Struct, frozen=True):
    """Some devices, and the cursor of the next page."""

    items: list[DeviceView]
    next: str | None


class DeviceList(msgspec.Struct, frozen=True):
    """All devices of a person, dead ones included."""

    items: list[DeviceView]


class LoginBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The person using a device turns out to be `external_id`.

    With a `device` key the device's own token proves that the caller is that device.
    """

    network: Network
    token: Token
    external_id: Name
    identity_token: IdentityToken | None = None


class MergeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The anonymous person `user` turns out to be `external_id`."""

    user: Id
    external_id: Name


class DeviceToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device, named by what it alone knows."""

    network: Network
    token: Token


class PageQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of a list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100
    cursor: str | None = None


class UserQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the path names the person."""

    by: Literal["external_id", "id"] = "external_id"
