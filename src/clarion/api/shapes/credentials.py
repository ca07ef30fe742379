"""Credentials, as JSON."""

from datetime import datetime
from typing import Annotated, Literal

import msgspec

from clarion.api.shapes.text import Line, Name, Pem

Texts = dict[Name, Pem]
PerMinute = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]


class CredentialBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an app sends with over one network.

    APNs: public `topic`, and either public `key_id`, `team_id` and secret `private_key` (.p8), or
    secret `certificate` and `certificate_key`. FCM: secret `service_account` (the JSON as text).
    Web Push: public `subject`, secret `private_key`; or let the server make the pair.
    """

    public: Texts = {}
    secret: Texts = {}
    per_minute: PerMinute | None = None
    """Pushes per minute over all senders; left out: the network's default."""


class VapidBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A VAPID key pair to be made by the server."""

    subject: Line
    """`mailto:` or `https:` address of whom push services may contact (RFC 8292 section 2.1)."""
    site: Line | None = None
    per_minute: PerMinute | None = None


class CredentialView(msgspec.Struct, frozen=True):
    """A credential without its secret."""

    network: str
    version: int
    public: dict[str, str]
    state: Literal["active", "quarantined"]
    state_reason: str | None
    state_at: datetime
    expires_at: datetime | None
    per_minute: int | None
    created_at: datetime


class CredentialList(msgspec.Struct, frozen=True):
    """The credentials of an app."""

    items: list[CredentialView]
