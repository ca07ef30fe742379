"""What a request for a push message resource must be (RFC 8030 section 5, RFC 8292 section 4).

Sans-I/O: a request's fields and body in, a message or a refusal out.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from clarion.ports.pushservice import PushCoding, PushUrgency
from clarion.pushservice.capabilities import Endpoint
from clarion.pushservice.refusals import OF_FIELD, Refusal, RefusedError
from clarion.wire import vapid
from clarion.wire.jose import JoseError, base64url_decode
from clarion.wire.push_headers import PushFields, PushHeaderError, Urgency, receipt_subscription

URGENCIES: Final[Mapping[Urgency, PushUrgency]] = {
    Urgency.VERY_LOW: PushUrgency.VERY_LOW,
    Urgency.LOW: PushUrgency.LOW,
    Urgency.NORMAL: PushUrgency.NORMAL,
    Urgency.HIGH: PushUrgency.HIGH,
}
KEY_AT: Final = slice(21, 86)
"""Where an aes128gcm body of Web Push holds its sender's key (RFC 8188 section 2.1)."""
MAX_IDENTITIES: Final = 4096
_MAX_LEGACY_CHARS: Final = 1024
_ABSENT: Final = vapid.VapidFault.MISSING
_UNREADABLE: Final = frozenset(
    {vapid.VapidFault.MALFORMED, vapid.VapidFault.SCHEME, vapid.VapidFault.PUBLIC_KEY}
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a sender asks for.

    Attributes:
        ttl: seconds that are granted.
        key: the sender's VAPID key, 65 octets, if it identified itself.
        receipt: it wants to know; `reader` is the URL that it gave for that.
    """

    ttl: int
    urgency: PushUrgency
    topic: str | None
    coding: PushCoding
    encryption: str | None
    crypto_key: str | None
    key: bytes | None
    receipt: bool
    reader: str | None


class Identities:
    """Who senders are. A token is verified once: senders use one for hours (RFC 8292 section 5)."""

    __slots__ = ("_known", "_origin")

    def __init__(self, origin: str) -> None:
        """`origin`: of the push resources, as `vapid.audience` writes it."""
        self._origin = origin
        self._known: dict[tuple[str, str | None], vapid.VapidIdentity] = {}

    def identify(
        self, authorization: str | None, crypto_key: str | None, now: datetime
    ) -> vapid.VapidIdentity | None:
        """The sender, None for one that does not say who it is.

        Raises:
            RefusedError: what it says can't be read or is not valid.
        """
        if authorization is None:
            return None
        key = authorization, crypto_key
        known = self._known.get(key)
        if known is not None and now <= known.expires_at <= now + vapid.MAX_LIFETIME:
            return known
        try:
            credentials = vapid.parse_authorization(authorization, crypto_key)
            identity = vapid.verify(credentials, audience_origin=self._origin, now=now)
        except vapid.VapidError as error:
            unreadable = error.fault in _UNREADABLE or error.fault is _ABSENT
            refusal = Refusal.VAPID_UNREADABLE if unreadable else Refusal.VAPID_INVALID
            raise RefusedError(refusal, str(error)) from error
        if len(self._known) >= MAX_IDENTITIES:
            self._known.clear()
        self._known[key] = identity
        return identity


def read_push(
    endpoint: Endpoint,
    fields: Mapping[str, str],
    body: bytes,
    identities: Identities,
    *,
    now: datetime,
    max_ttl_s: int,
) -> Wanted:
    """Check a push message request.

    Args:
        endpoint: which push resource was asked.
        fields: names in lower case, repeated ones joined with a comma.
        body: already bounded.
        identities: who senders are.
        now: aware time.
        max_ttl_s: what a longer TTL is cut to.

    Raises:
        RefusedError: the request breaks a rule.
    """
    crypto_key = fields.get("crypto-key")
    identity = identities.identify(fields.get("authorization"), crypto_key, now)
    key = None if identity is None else identity.public_key
    _check_restriction(endpoint, key)
    try:
        asked = PushFields.parse(fields)
    except PushHeaderError as error:
        raise RefusedError(OF_FIELD[error.field], str(error)) from error
    coding = _coding(fields, body, key)
    legacy = coding is PushCoding.AESGCM
    return Wanted(
        ttl=min(asked.ttl, max_ttl_s),
        urgency=URGENCIES[asked.urgency],
        topic=asked.topic,
        coding=coding,
        encryption=fields.get("encryption") if legacy else None,
        crypto_key=crypto_key if legacy else None,
        key=key,
        receipt=asked.respond_async,
        reader=receipt_subscription(fields.get("link")) if asked.respond_async else None,
    )


def _check_restriction(endpoint: Endpoint, key: bytes | None) -> None:
    if endpoint.key_hash is None:
        return
    if key is None:
        raise RefusedError(Refusal.VAPID_MISSING)
    if hashlib.sha256(key).digest() != endpoint.key_hash:
        # The words that senders look for: a subscription of another key is not a broken credential.
        sentence = (
            "the VAPID credentials in the authorization header do not correspond to the "
            "credentials used to create the subscriptions"
        )
        raise RefusedError(Refusal.VAPID_INVALID, sentence)


def _coding(fields: Mapping[str, str], body: bytes, key: bytes | None) -> PushCoding:
    """How the body is encrypted: exactly one coding, with the fields that belong to it."""
    if not body:  # a push without content is legal
        return PushCoding.NONE
    named = fields.get("content-encoding", "").strip().lower()
    encryption, crypto_key = fields.get("encryption"), fields.get("crypto-key")
    sender = _parameter(crypto_key, "dh")
    if named == "aes128gcm":
        # RFC 8291 section 4: everything is in the body, and nothing of it in fields.
        if encryption is not None or sender is not None:
            raise RefusedError(Refusal.ENCODING, "aes128gcm has no Encryption and no dh key field")
        if key is not None and body[KEY_AT] == key:
            raise RefusedError(Refusal.SAME_KEY)
        return PushCoding.AES128GCM
    if named != "aesgcm":
        detail = f"Content-Encoding is {named or 'missing'}, not aes128gcm"
        raise RefusedError(Refusal.ENCODING, detail)
    if len(encryption or "") + len(crypto_key or "") > _MAX_LEGACY_CHARS:
        raise RefusedError(Refusal.ENCODING, "Encryption and Crypto-Key are too long")
    if _parameter(encryption, "salt") is None or sender is None:
        raise RefusedError(Refusal.ENCODING, "aesgcm needs Encryption: salt= and Crypto-Key: dh=")
    if key is not None and _octets(sender) == key:
        raise RefusedError(Refusal.SAME_KEY)
    return PushCoding.AESGCM


def _parameter(field: str | None, name: str) -> str | None:
    """A parameter of the drafts' fields: pairs between semicolons and commas."""
    for part in (field or "").replace(",", ";").split(";"):
        left, equals, right = part.partition("=")
        if equals and left.strip().lower() == name:
            return right.strip().strip('"')
    return None


def _octets(text: str) -> bytes:
    try:
        return base64url_decode(text.rstrip("="))
    except JoseError:
        return b""  # not a key at all: the device will say that it can't decrypt


def granted(wanted: Wanted, now: datetime) -> datetime:
    """Until when a message is kept."""
    return now + timedelta(seconds=wanted.ttl)


def receipts_of(key: bytes) -> bytes:
    """The receipt subscription of a sender that identifies itself: always the same one."""
    return hashlib.sha256(b"receipts of " + key).digest()[:16]
