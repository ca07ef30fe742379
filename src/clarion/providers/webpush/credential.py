"""A Web Push credential: what it must be, its VAPID signatures, and a kept sender key."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeVar

from clarion.domain.ids import CredentialId
from clarion.ports.provider import Credential, CredentialProblem
from clarion.providers.webpush.payload import MAX_SITE, is_web_address
from clarion.wire.vapid import (
    DEFAULT_LIFETIME,
    VapidError,
    VapidHeader,
    VapidKey,
    authorize,
    check_subject,
)
from clarion.wire.webpush import KeptSenderKey, SenderKey

VAPID_SETTLED: Final = timedelta(hours=1)
"""A younger signature is not renewed after a refusal: Apple wants them kept for an hour."""

MAX_ORIGINS: Final = 1024
_MAX_CREDENTIALS: Final = 256
_MAX_KEPT: Final = 4  # credentials whose sender key is kept: the secrets of one may take 60 MB

_SITE: Final = re.compile(r"https?://[!#-\[\]-~]+", re.ASCII)
"""Visible ASCII that JSON need not escape."""

K = TypeVar("K")
V = TypeVar("V")


def problems(
    public: Mapping[str, str], secret: Mapping[str, str], subject: str | None
) -> list[CredentialProblem]:
    """What is wrong with a key pair, its contact and the site it sends for; empty when fine.

    Args:
        public: `subject`, and optionally `public_key` (checked against the private key), `site`.
        secret: `private_key`, in PEM or as base64url of the 32-octet scalar.
        subject: The contact of credentials that name none.
    """
    found: list[tuple[str, str, str]] = []
    try:
        key = VapidKey.parse(secret.get("private_key", ""))
        if public.get("public_key", key.public).rstrip("=") != key.public:
            detail = "The public key does not belong to the private key."
            found.append(("/public/public_key", "combination_invalid", detail))
    except VapidError as error:
        found.append(("/secret/private_key", "field_invalid", f"{error}."))
    try:
        check_subject(public.get("subject") or subject or "")
    except VapidError as error:
        found.append(("/public/subject", "field_invalid", f"{error}."))
    site = public.get("site", "")
    if site and not (len(site) <= MAX_SITE and _SITE.fullmatch(site) and is_web_address(site)):
        detail = (
            f"The site is an absolute http or https address of at most {MAX_SITE} plain characters."
        )
        found.append(("/public/site", "field_invalid", detail))
    return [CredentialProblem(path=path, code=code, detail=why) for path, code, why in found]


@dataclass(slots=True)
class Identity:
    """What is kept for one version of a credential.

    Attributes:
        key: signs for it.
        subject: whom push services may contact (RFC 8292 section 2.1).
        site: the web site that links are relative to, where it has one.
    """

    key: VapidKey
    subject: str
    site: str | None
    _signed: dict[bytes, VapidHeader] = field(default_factory=dict)

    def signed(self, origin: bytes, now: datetime) -> VapidHeader:
        """The origin's Authorization field, made anew at half its life."""
        signed = self._signed.get(origin)
        if signed is None or signed.expires_at - now < DEFAULT_LIFETIME / 2:
            make_room(self._signed, MAX_ORIGINS)
            signed = authorize(origin.decode(), self.key, subject=self.subject, now=now)
            self._signed[origin] = signed
        return signed

    def outworn(self, origin: bytes, now: datetime) -> bool:
        """Whether a refused signature may just be old: it is made anew for the next attempt."""
        signed = self._signed.get(origin)
        if signed is None:
            return True  # another answer of this batch has just seen to it
        if now - (signed.expires_at - DEFAULT_LIFETIME) < VAPID_SETTLED:
            return False
        del self._signed[origin]
        return True


class Identities:
    """The identities in use, and the sender keys that the settings let a process keep.

    Args:
        subject: the contact of credentials that name none.
        key_lifetime: how long a sender key serves; zero keeps none.
    """

    def __init__(self, subject: str | None, key_lifetime: timedelta) -> None:
        self._subject = subject
        self._key_lifetime = key_lifetime
        self._known: dict[tuple[CredentialId, int], Identity] = {}
        self._kept: dict[str, KeptSenderKey] = {}

    def of(self, credential: Credential) -> Identity:
        """The credential's, made when it is first used or has a new version.

        Raises:
            VapidError: key or contact can't be used.
        """
        name = credential.id, credential.version
        known = self._known.get(name)
        if known is None:
            key = VapidKey.parse(credential.secret.get("private_key", ""))
            contact = credential.public.get("subject") or self._subject or ""
            make_room(self._known, _MAX_CREDENTIALS)
            known = Identity(key, check_subject(contact), credential.public.get("site"))
            self._known[name] = known
        return known

    def kept_key(self, identity: Identity, now: datetime) -> KeptSenderKey | None:
        """The kept sender key, where the settings allow one."""
        if not self._key_lifetime:
            return None
        kept = self._kept.pop(identity.key.public, None)
        if kept is None or not kept.is_current(now):
            make_room(self._kept, _MAX_KEPT)
            kept = KeptSenderKey(SenderKey.generate(), made_at=now, lifetime=self._key_lifetime)
        self._kept[identity.key.public] = kept  # the last one is the most recently used
        return kept


def make_vapid_credential(subject: str | None = None) -> tuple[dict[str, str], dict[str, str]]:
    """A new VAPID key pair as a credential's public and secret mappings.

    `public["public_key"]` is the `applicationServerKey` of `PushManager.subscribe` (base64url,
    87 characters): whoever subscribes with it can be sent to with this credential only.
    """
    key = VapidKey.generate()
    public = {"public_key": key.public}
    if subject is not None:
        public["subject"] = check_subject(subject)
    return public, {"private_key": key.to_pem()}


def make_room(cache: dict[K, V], limit: int) -> None:
    """Forget the oldest entry of a full cache."""
    if len(cache) >= limit:
        del cache[next(iter(cache))]
