"""What a request for a push message resource must be (RFC 8030 section 5, RFC 8292 section 4).

Sans-I/O: a request's fields and body in, a message or a refusal out.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from clarion.domain.recent import Recent
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
_ALWAYS: Final = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_MODERN: Final = PushCoding.AES128GCM
_ABSENT: Final = vapid.VapidFault.MISSING
_UNREADABLE: Final = frozenset(
    {vapid.VapidFault.MALFORMED, vapid.VapidFault.SCHEME, vapid.VapidFault.PUBLIC_KEY}
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request's fields ask for, whatever the push resource and the body.

    Attributes:
        key: the sender's VAPID key, 65 octets, if it identified itself.
        key_hash: SHA-256 of its key.
        since, until: while its token is good; any time without one.
        ttl: seconds that are granted.
        lifetime: the same.
        simple: the coding is aes128gcm, and no field is there that must not be.
        receipt: it wants to know.
        reader: the receipt subscription that it names.
    """

    key: bytes | None
    key_hash: bytes | None
    since: datetime
    until: datetime
    ttl: int
    lifetime: timedelta
    urgency: PushUrgency
    topic: str | None
    simple: bool
    receipt: bool
    reader: str | None


class Identities:
    """Who senders are. A token is verified once: senders use one for hours (RFC 8292 section 5)."""

    __slots__ = ("_known", "_origin")

    def __init__(self, origin: str) -> None:
        """`origin`: of the push resources, as `vapid.audience` writes it."""
        self._origin = origin
        self._known: Recent[tuple[str, str | None], vapid.VapidIdentity] = Recent(MAX_IDENTITIES)

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
        known = self._known.known(key)
        if known is not None:
            since, until = _good(known)
            if since <= now <= until:
                return known
        try:
            credentials = vapid.parse_authorization(authorization, crypto_key)
            identity = vapid.verify(credentials, audience_origin=self._origin, now=now)
        except vapid.VapidError as error:
            unreadable = error.fault in _UNREADABLE or error.fault is _ABSENT
            refusal = Refusal.VAPID_UNREADABLE if unreadable else Refusal.VAPID_INVALID
            raise RefusedError(refusal, str(error)) from error
        self._known.learn(key, identity)
        return identity


def _good(identity: vapid.VapidIdentity) -> tuple[datetime, datetime]:
    """From when to when a token is taken: it must not live for more than a day from now."""
    return identity.expires_at - vapid.MAX_LIFETIME, identity.expires_at


def read_fields(
    fields: Mapping[str, str],
    endpoint: Endpoint,
    identities: Identities,
    *,
    now: datetime,
    max_ttl_s: int,
) -> Asked:
    """Check a push message request's fields.

    Args:
        fields: names in lower case, repeated ones joined with a comma.
        endpoint: which push resource was asked.
        identities: who senders are.
        now: aware time.
        max_ttl_s: what a longer TTL is cut to.

    Raises:
        RefusedError: the request breaks a rule.
    """
    crypto_key = fields.get("crypto-key")
    identity = identities.identify(fields.get("authorization"), crypto_key, now)
    key = None if identity is None else identity.public_key
    key_hash = None if key is None else hashlib.sha256(key).digest()
    since, until = _ALWAYS if identity is None else _good(identity)
    check_restriction(endpoint, key_hash)
    try:
        asked = PushFields.parse(fields)
    except PushHeaderError as error:
        raise RefusedError(OF_FIELD[error.field], str(error)) from error
    ttl = min(asked.ttl, max_ttl_s)
    named = fields.get("content-encoding", "").strip().lower()
    return Asked(
        key=key,
        key_hash=key_hash,
        since=since,
        until=until,
        ttl=ttl,
        lifetime=timedelta(seconds=ttl),
        urgency=URGENCIES[asked.urgency],
        topic=asked.topic,
        simple=named == "aes128gcm" and fields.keys().isdisjoint({"encryption", "crypto-key"}),
        receipt=asked.respond_async,
        reader=receipt_subscription(fields.get("link")),
    )


def check_restriction(endpoint: Endpoint, key_hash: bytes | None) -> None:
    """A restricted push resource takes the messages of one key alone (RFC 8292 section 4).

    Raises:
        RefusedError: the sender has another key, or none.
    """
    if endpoint.key_hash is None:
        return
    if key_hash is None:
        raise RefusedError(Refusal.VAPID_MISSING)
    if key_hash != endpoint.key_hash:
        # The words that senders look for: a subscription of another key is not a broken credential.
        sentence = (
            "the VAPID credentials in the authorization header do not correspond to the "
            "credentials used to create the subscriptions"
        )
        raise RefusedError(Refusal.VAPID_INVALID, sentence)


def coding_of(asked: Asked, fields: Mapping[str, str], body: bytes) -> PushCoding:
    """How the body is encrypted: exactly one coding, with the fields that belong to it.

    Raises:
        RefusedError: it is not, or the sender signs and encrypts with one key.
    """
    if not body:  # a push without content is legal
        return PushCoding.NONE
    key = asked.key
    if asked.simple:
        if key is not None and body[KEY_AT] == key:
            raise RefusedError(Refusal.SAME_KEY)
        return _MODERN
    return _coding(fields, body, key)


def _coding(fields: Mapping[str, str], body: bytes, key: bytes | None) -> PushCoding:
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


def receipts_of(key: bytes) -> bytes:
    """The receipt subscription of a sender that identifies itself: always the same one."""
    return hashlib.sha256(b"receipts of " + key).digest()[:16]
