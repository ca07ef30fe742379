"""The keys of Web Push message encryption, RFC 8291: the user agent's and the sender's."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

POINT_OCTETS = 65
"""An uncompressed point on P-256: 0x04, X, Y."""
UNCOMPRESSED = 0x04
AUTH_OCTETS = 16
CURVE = ec.SECP256R1()


class WebPushError(ValueError):
    """A key, a body or a plaintext cannot be used; the message says why.

    Attributes:
        index: the row at fault in a batch, so that the rest can be sent; 0 outside a batch.
    """

    index: int = 0


class SubscriptionKeys:
    """What a user agent gives with its subscription (RFC 8291 section 3).

    Attributes:
        p256dh: the user agent's public key, 65 octets.
        auth: the authentication secret, 16 octets.
    """

    __slots__ = ("_point", "auth", "p256dh")

    def __init__(self, p256dh: bytes, auth: bytes) -> None:
        check_point_form(p256dh, "p256dh")
        check_auth(auth)
        self.p256dh = p256dh
        self.auth = auth
        self._point: ec.EllipticCurvePublicKey | None = None

    @classmethod
    def parse(cls, p256dh: str | bytes, auth: str | bytes) -> Self:
        """Read both from base64url, with or without padding; plain base64 is tolerated.

        The point is proven to be on the curve here (RFC 8291 section 7).

        Raises:
            WebPushError: if a value is not base64, has a wrong length, or is not on the curve.
        """
        keys = cls(_decode(p256dh, "p256dh"), _decode(auth, "auth"))
        keys.prove()
        return keys

    @classmethod
    def from_columns(cls, p256dh: bytes, auth: bytes) -> list[Self]:
        """Read n subscriptions from contiguous columns of 65·n and 16·n octets.

        The points are proven to be on the curve when used, and not kept: a batch is used once,
        and thousands of live points cost more in cache misses than they save.

        Raises:
            WebPushError: if the columns do not hold the same whole number of entries.
        """
        count, rest = divmod(len(p256dh), POINT_OCTETS)
        if rest or len(auth) != count * AUTH_OCTETS:
            raise WebPushError(
                f"key columns of {len(p256dh)} and {len(auth)} octets do not hold whole rows of "
                f"{POINT_OCTETS} and {AUTH_OCTETS}"
            )
        return [
            cls(
                p256dh[row * POINT_OCTETS : (row + 1) * POINT_OCTETS],
                auth[row * AUTH_OCTETS : (row + 1) * AUTH_OCTETS],
            )
            for row in range(count)
        ]

    def prove(self) -> None:
        """Prove that the public key is on P-256, and keep the point for what is encrypted next.

        Raises:
            WebPushError: if it is not on the curve.
        """
        self._point = self.point

    @property
    def point(self) -> ec.EllipticCurvePublicKey:
        """The public key as a point proven to be on P-256; kept only once `prove` was asked.

        Raises:
            WebPushError: if it is not on the curve.
        """
        return self._point or load_point(self.p256dh, "p256dh")


@dataclass(frozen=True, slots=True)
class SenderKey:
    """An application server's ECDH key pair, meant for one message.

    Attributes:
        private: the P-256 private key.
        public: the public point, 65 octets; goes into the body as key id.
    """

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    public: bytes

    @classmethod
    def generate(cls) -> Self:
        """Make a new key pair."""
        return cls.from_private(ec.generate_private_key(CURVE))

    @classmethod
    def from_private(cls, private: ec.EllipticCurvePrivateKey) -> Self:
        """Take an existing private key, as a test vector gives it."""
        return cls(private, _point_octets(private))


@dataclass(frozen=True, slots=True)
class ReceiverKey:
    """A user agent's side of a subscription: for simulators, tests and end-to-end checks.

    Attributes:
        private: the P-256 private key.
        public: the public point, 65 octets.
        auth: the authentication secret, 16 octets.
    """

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    public: bytes
    auth: bytes = field(repr=False)

    def __post_init__(self) -> None:
        check_auth(self.auth)

    @classmethod
    def generate(cls, auth: bytes) -> Self:
        """Make a new key pair around 16 random octets of authentication secret."""
        return cls.from_private(ec.generate_private_key(CURVE), auth)

    @classmethod
    def from_private(cls, private: ec.EllipticCurvePrivateKey, auth: bytes) -> Self:
        """Take an existing private key."""
        return cls(private, _point_octets(private), auth)

    @property
    def subscription(self) -> SubscriptionKeys:
        """What the application server is told."""
        return SubscriptionKeys(self.public, self.auth)


def check_auth(auth: bytes) -> None:
    """Refuse an authentication secret that has not 16 octets (RFC 8291 section 3.2).

    Raises:
        WebPushError: if it has another length.
    """
    if len(auth) != AUTH_OCTETS:
        raise WebPushError(f"auth has {len(auth)} octets; it needs {AUTH_OCTETS}")


def check_point_form(octets: bytes, name: str) -> None:
    """Refuse what is not 65 octets starting with 0x04 (X9.62 uncompressed form).

    Raises:
        WebPushError: if it has another form; `name` says what it was.
    """
    if len(octets) != POINT_OCTETS or octets[0] != UNCOMPRESSED:
        raise WebPushError(
            f"{name} has {len(octets)} octets; an uncompressed P-256 point has {POINT_OCTETS} "
            "and starts with 0x04"
        )


def load_point(octets: bytes, name: str) -> ec.EllipticCurvePublicKey:
    """Read an uncompressed point and prove that it is on P-256 (RFC 8291 section 7).

    Args:
        octets: 65 octets that start with 0x04.
        name: what to call it in the error.

    Raises:
        WebPushError: if it has another form or is not on the curve.
    """
    check_point_form(octets, name)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, octets)
    except ValueError as error:
        raise WebPushError(f"{name} is not a point on P-256") from error


def _point_octets(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _decode(text: str | bytes, name: str) -> bytes:
    """Decode base64url or base64, padded or not: browsers, SDKs and databases differ."""
    try:
        octets = text.encode("ascii") if isinstance(text, str) else text
        octets = octets.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        return base64.b64decode(octets + b"=" * (-len(octets) % 4), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise WebPushError(f"{name} is not base64url") from error
