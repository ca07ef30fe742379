"""Message encryption for Web Push, RFC 8291.

One message costs one P-256 key generation and one ECDH; everything else together is a tenth of
that. `encrypt_batch` therefore goes step by step over some messages at a time, not message by
message: a processor that does one thing many times finds the code for it in its cache. Between
the steps are columns of octets, constant headers, and one-shot hash and AEAD calls.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clarion.wire.content_encoding import (
    FIXED_HEADER_OCTETS,
    LAST,
    RECORD_OVERHEAD,
    SALT_OCTETS,
    ContentEncodingError,
    derive,
    hmac_sha256,
    parse_header,
)
from clarion.wire.content_encoding import decrypt as decrypt_records
from clarion.wire.webpush_keys import (
    CURVE,
    POINT_OCTETS,
    ReceiverKey,
    SenderKey,
    SubscriptionKeys,
    WebPushError,
    load_point,
)

__all__ = [
    "HEADER_OCTETS",
    "MAX_BODY_OCTETS",
    "MAX_PLAINTEXT_OCTETS",
    "KeptSenderKey",
    "PlaintextTooLongError",
    "ReceiverKey",
    "SenderKey",
    "SubscriptionKeys",
    "WebPushError",
    "agree",
    "decrypt",
    "encrypt",
    "encrypt_batch",
    "encrypt_batch_kept",
]

RECORD_SIZE = 4096
"""Our `rs`: greater than any plaintext, delimiter, padding and tag we allow (section 4)."""
MAX_BODY_OCTETS = 4096
"""RFC 8030 section 7.2: a push service must take bodies up to this size."""
HEADER_OCTETS = FIXED_HEADER_OCTETS + POINT_OCTETS
MAX_PLAINTEXT_OCTETS = MAX_BODY_OCTETS - HEADER_OCTETS - RECORD_OVERHEAD
"""3993, RFC 8291 section 4."""
KEY_INFO = b"WebPush: info\x00"
TOGETHER = 100
"""Messages of a batch that take each step together; so many sender keys live at a time."""
DEFAULT_CAPACITY = 200_000
"""Shared secrets a kept sender key remembers, about 60 MB when full."""

_ECDH = ec.ECDH()
_RECORD_SIZE_AND_ID_LENGTH = RECORD_SIZE.to_bytes(4, "big") + bytes((POINT_OCTETS,))


class PlaintextTooLongError(WebPushError):
    """A plaintext does not fit the 4096-octet body that every push service takes.

    Attributes:
        excess: octets by which the plaintext must be shortened.
        index: its place in the batch; 0 outside a batch.
    """

    def __init__(self, octets: int, index: int = 0) -> None:
        self.excess = octets - MAX_PLAINTEXT_OCTETS
        self.index = index
        super().__init__(
            f"the plaintext has {octets} octets, {self.excess} more than the "
            f"{MAX_PLAINTEXT_OCTETS} that fit an encrypted body of {MAX_BODY_OCTETS}"
        )


class KeptSenderKey:
    """A sender key that is kept for a stated lifetime, with the secrets agreed under it.

    RFC 8291 section 3.1 has the application server generate a new key pair when sending. Keeping
    one lets the ECDH result be remembered per subscription, about ten times faster for repeated
    sends. **The trade:** messages stay distinct and confidential, since each has its own random
    salt and so its own content key, but they share one secret. Whoever steals this process's
    memory, or the private key, can read every recorded message of the whole lifetime; with a key
    per message there is nothing left to steal. A push service can also link the messages by
    their common key id. Off unless a setting states a lifetime; keep it short.

    It is a memo of a pure function: the same keys always give the same answer.

    Attributes:
        sender: the key pair.
        expires_at: aware time from which it must not be used.
    """

    __slots__ = ("_agreed", "_capacity", "expires_at", "sender")

    def __init__(
        self,
        sender: SenderKey,
        *,
        made_at: datetime,
        lifetime: timedelta,
        capacity: int = DEFAULT_CAPACITY,
    ) -> None:
        if lifetime <= timedelta(0) or capacity < 1:
            raise WebPushError("a kept sender key needs a positive lifetime and capacity")
        self.sender = sender
        self.expires_at = made_at + lifetime
        self._capacity = capacity
        self._agreed: dict[bytes, bytes] = {}

    def is_current(self, now: datetime) -> bool:
        """Tell whether the key may still be used."""
        return now < self.expires_at

    def input_keying_material(self, keys: SubscriptionKeys) -> bytes:
        """The 32 octets agreed with one subscription, computed at most once while remembered."""
        name = keys.p256dh + keys.auth
        ikm = self._agreed.get(name)
        if ikm is None:
            ikm = agree(keys, self.sender)
            if len(self._agreed) >= self._capacity:
                del self._agreed[next(iter(self._agreed))]  # the oldest
            self._agreed[name] = ikm
        return ikm


def agree(keys: SubscriptionKeys, sender: SenderKey) -> bytes:
    """Combine ECDH and authentication secret into 32 octets of IKM (sections 3.1 to 3.3)."""
    secret = sender.private.exchange(_ECDH, keys.point)
    return _combine(secret, keys.auth, keys.p256dh, sender.public)


def _combine(secret: bytes, auth: bytes, receiver: bytes, sender: bytes) -> bytes:
    prk = hmac_sha256(auth, secret)
    return hmac_sha256(prk, b"".join((KEY_INFO, receiver, sender, b"\x01")))


def encrypt(
    plaintext: bytes,
    keys: SubscriptionKeys,
    *,
    salt: bytes,
    sender: SenderKey,
    pad_to: int = 0,
) -> bytes:
    """Encrypt one message into a complete `aes128gcm` body.

    Args:
        plaintext: at most 3993 octets.
        keys: the subscription's keys.
        salt: 16 random octets, new for every message.
        sender: a key pair, new for every message, and never the VAPID key (RFC 8292 section 3.2).
        pad_to: hides the length: shorter plaintexts are padded to this many octets.

    Returns:
        86 octets of header and one record.

    Raises:
        PlaintextTooLongError: if the plaintext does not fit; it names the excess.
        WebPushError: if the salt or the padding is out of range.
    """
    if len(salt) != SALT_OCTETS:
        raise WebPushError(f"the salt has {len(salt)} octets; it needs {SALT_OCTETS}")
    return _seal(_pad(plaintext, pad_to, 0), agree(keys, sender), salt, sender.public)


def encrypt_batch(
    plaintexts: bytes | Sequence[bytes],
    keys: Sequence[SubscriptionKeys],
    salts: bytes,
    *,
    pad_to: int = 0,
) -> list[bytes]:
    """Encrypt n messages, each with a key pair of its own that is forgotten at once.

    Args:
        plaintexts: one for all, or one per subscription.
        keys: n subscriptions.
        salts: 16·n random octets.
        pad_to: as for `encrypt`.

    Returns:
        n bodies, in order.

    Raises:
        PlaintextTooLongError: if one does not fit; it names the excess and the index.
        WebPushError: if the columns' lengths differ, or a point is not on the curve; then
            `index` names the row.
    """
    records = _records(plaintexts, keys, salts, pad_to)
    bodies: list[bytes] = []
    for low in range(0, len(keys), TOGETHER):
        receivers = keys[low : low + TOGETHER]
        publics, secrets = _agree_afresh(receivers, low)
        for padded, receiver, public, secret in zip(
            records[low : low + TOGETHER], receivers, publics, secrets, strict=True
        ):
            at = len(bodies) * SALT_OCTETS
            ikm = _combine(secret, receiver.auth, receiver.p256dh, public)
            bodies.append(_seal(padded, ikm, salts[at : at + SALT_OCTETS], public))
    return bodies


def _agree_afresh(keys: Sequence[SubscriptionKeys], low: int) -> tuple[list[bytes], list[bytes]]:
    """Public keys made for the subscriptions, one each, and the secrets agreed under them.

    `low` is the first one's row, for errors. The private keys end here.
    """
    points: list[ec.EllipticCurvePublicKey] = []
    for row, receiver in enumerate(keys, low):
        try:
            points.append(receiver.point)
        except WebPushError as error:
            error.index = row
            raise
    x962, uncompressed = Encoding.X962, PublicFormat.UncompressedPoint
    privates = [ec.generate_private_key(CURVE) for _ in points]
    publics = [private.public_key().public_bytes(x962, uncompressed) for private in privates]
    secrets = [
        private.exchange(_ECDH, point) for private, point in zip(privates, points, strict=True)
    ]
    return publics, secrets


def encrypt_batch_kept(
    plaintexts: bytes | Sequence[bytes],
    keys: Sequence[SubscriptionKeys],
    salts: bytes,
    *,
    sender: KeptSenderKey,
    now: datetime,
    pad_to: int = 0,
) -> list[bytes]:
    """Encrypt n messages under one kept sender key; read `KeptSenderKey` for what that gives up.

    Args:
        plaintexts: one for all, or one per subscription.
        keys: n subscriptions.
        salts: 16·n random octets, no two alike: with a shared secret the salt alone keeps
            the content keys apart (RFC 8188 section 4.3).
        sender: the kept key.
        now: aware time, before the key's `expires_at`.
        pad_to: as for `encrypt`.

    Raises:
        PlaintextTooLongError: if one does not fit; it names the excess and the index.
        WebPushError: if the key has expired, salts repeat, the columns' lengths differ, or a
            point is not on the curve; then `index` names the row.
    """
    if not sender.is_current(now):
        raise WebPushError("the kept sender key has expired; make a new one")
    records = _records(plaintexts, keys, salts, pad_to)
    columns = [salts[at : at + SALT_OCTETS] for at in range(0, len(salts), SALT_OCTETS)]
    if len(set(columns)) != len(columns):
        raise WebPushError("two messages of the batch have the same salt")
    public, material = sender.sender.public, sender.input_keying_material
    bodies: list[bytes] = []
    for padded, receiver, salt in zip(records, keys, columns, strict=True):
        try:
            ikm = material(receiver)
        except WebPushError as error:
            error.index = len(bodies)
            raise
        bodies.append(_seal(padded, ikm, salt, public))
    return bodies


def _records(
    plaintexts: bytes | Sequence[bytes],
    keys: Sequence[SubscriptionKeys],
    salts: bytes,
    pad_to: int,
) -> list[bytes]:
    """Check that the columns are of one length, and pad each plaintext once."""
    if len(salts) != len(keys) * SALT_OCTETS:
        raise WebPushError(
            f"{len(salts)} octets of salt for {len(keys)} messages; each needs {SALT_OCTETS}"
        )
    if isinstance(plaintexts, bytes):
        return [_pad(plaintexts, pad_to, 0)] * len(keys)
    if len(plaintexts) != len(keys):
        raise WebPushError(f"{len(plaintexts)} plaintexts for {len(keys)} subscriptions")
    return [_pad(plaintext, pad_to, row) for row, plaintext in enumerate(plaintexts)]


def _pad(plaintext: bytes, pad_to: int, index: int) -> bytes:
    if len(plaintext) > MAX_PLAINTEXT_OCTETS:
        raise PlaintextTooLongError(len(plaintext), index)
    if not 0 <= pad_to <= MAX_PLAINTEXT_OCTETS:
        raise WebPushError(f"padding to {pad_to} is not between 0 and {MAX_PLAINTEXT_OCTETS}")
    return plaintext + bytes((LAST,)) + bytes(max(0, pad_to - len(plaintext)))


def _seal(padded: bytes, ikm: bytes, salt: bytes, public: bytes) -> bytes:
    """RFC 8188 for the single record of a push message; its sequence number is zero."""
    key, nonce = derive(ikm, salt)
    record = AESGCM(key).encrypt(nonce, padded, None)
    return b"".join((salt, _RECORD_SIZE_AND_ID_LENGTH, public, record))


def decrypt(body: bytes, receiver: ReceiverKey, *, single_record: bool = True) -> bytes:
    """Decrypt a body as a user agent does.

    Args:
        body: a complete `aes128gcm` body.
        receiver: the subscription's private side.
        single_record: hold the sender to section 4: one record, and an `rs` greater than it.
            A tolerant user agent passes False.

    Raises:
        WebPushError: if the key id is not a point on P-256, the records are not authentic or
            malformed, or the sender's rule is broken.
    """
    try:
        header = parse_header(body)
        if single_record and header.record_size <= len(body) - header.octets:
            raise WebPushError(
                f"rs is {header.record_size}, not greater than the record of "
                f"{len(body) - header.octets} octets; a push message has a single record"
            )
        point = load_point(header.key_id, "the key id")
        secret = receiver.private.exchange(_ECDH, point)
        ikm = _combine(secret, receiver.auth, receiver.public, header.key_id)
        return decrypt_records(body, ikm)
    except ContentEncodingError as error:
        raise WebPushError(str(error)) from error
