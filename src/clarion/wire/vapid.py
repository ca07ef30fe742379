"""VAPID, voluntary application server identification for Web Push, RFC 8292.

Building and checking the `Authorization` header. A header depends only on the push service's
origin, so a sender builds one per origin and reuses it until shortly before it expires
(section 5; Apple asks for no more than one an hour).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from clarion.wire.endpoint import parse_url
from clarion.wire.jose import (
    COORDINATE_OCTETS,
    JoseError,
    base64url_decode,
    base64url_encode,
    build_jwt,
    load_es256_key,
    verify_jwt,
)
from clarion.wire.webpush_keys import CURVE, WebPushError, load_point

MAX_LIFETIME = timedelta(hours=24)
"""RFC 8292 section 2: exp MUST NOT be more than 24 hours from the time of the request."""
DEFAULT_LIFETIME = timedelta(hours=12)
"""Half of what is allowed, so that a skewed clock on either side does no harm."""

_CONTACT = re.compile(r"mailto:[^@\s<>]+@[^@\s<>]+|https://[^\s/@<>]+[^\s<>]*", re.ASCII)
_SINGLE = frozenset({"t", "k", "p256ecdsa"})
_SCHEME = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) +(.+)", re.ASCII)
_PARAMETER = re.compile(
    r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^\s,;"]*)[ \t]*""",
    re.ASCII,
)


class VapidFault(StrEnum):
    """What is wrong with a request's identification, for the status that a service answers."""

    MISSING = "missing"
    MALFORMED = "malformed"
    SCHEME = "scheme"
    PUBLIC_KEY = "public_key"
    SIGNATURE = "signature"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    EXPIRY_TOO_FAR = "expiry_too_far"
    SUBJECT = "subject"
    KEY_MISMATCH = "key_mismatch"


class VapidError(ValueError):
    """A key, a claim or a header breaks RFC 8292; the message says how.

    Attributes:
        fault: the same for a program.
    """

    def __init__(self, fault: VapidFault, sentence: str) -> None:
        self.fault = fault
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class VapidKey:
    """An application server's signing key pair on P-256, its identity to push services.

    It must never be used for message encryption (section 3.2). A new key needs new
    subscriptions, since browsers bind a subscription to it.

    Attributes:
        private: the P-256 private key.
        public: base64url of the uncompressed point, 87 characters: the `applicationServerKey`.
    """

    private: ec.EllipticCurvePrivateKey = field(repr=False)
    public: str

    @classmethod
    def generate(cls) -> Self:
        """Make a new key pair."""
        return cls.from_private(ec.generate_private_key(CURVE))

    @classmethod
    def from_private(cls, private: ec.EllipticCurvePrivateKey) -> Self:
        """Take an existing P-256 private key."""
        point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return cls(private, base64url_encode(point))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a private key: PEM, or base64url of the 32-octet scalar as other tools print it.

        Raises:
            VapidError: if it is neither.
        """
        try:
            if "-----BEGIN" in text:
                return cls.from_private(load_es256_key(text))
            scalar = base64url_decode(text.strip().rstrip("="))
        except JoseError as error:
            raise VapidError(VapidFault.MALFORMED, f"the VAPID key: {error}") from error
        if len(scalar) != COORDINATE_OCTETS:
            raise VapidError(
                VapidFault.MALFORMED,
                f"the VAPID private key has {len(scalar)} octets; it needs {COORDINATE_OCTETS}",
            )
        try:
            return cls.from_private(ec.derive_private_key(int.from_bytes(scalar, "big"), CURVE))
        except ValueError as error:  # zero, or not below the order of the curve
            raise VapidError(
                VapidFault.MALFORMED, "the VAPID private key is not a scalar of P-256"
            ) from error

    def to_pem(self) -> str:
        """PKCS#8 PEM of the private key, for storing it."""
        pem = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem.decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class VapidHeader:
    """An `Authorization` header for one push service.

    Attributes:
        value: the header's value.
        origin: whose endpoints it is good for.
        expires_at: the `exp` claim.
    """

    value: str = field(repr=False)
    origin: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VapidCredentials:
    """What a request carries, before anything is verified.

    Attributes:
        token: the JWT.
        public_key: 65 octets.
    """

    token: str
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VapidIdentity:
    """A verified application server.

    Attributes:
        public_key: 65 octets, its stable name.
        subject: the contact URI, if it gave one; proven by nobody (section 5).
        expires_at: when the token expires.
    """

    public_key: bytes
    subject: str | None
    expires_at: datetime


def audience(endpoint: str) -> str:
    """The origin of a push resource in its Unicode serialisation (RFC 6454 section 6.1).

    Raises:
        EndpointError: if the endpoint is not a URL.
    """
    url = parse_url(endpoint)
    return f"{url.scheme}://{'.'.join(map(_unicode_label, url.authority.split('.')))}"


def _unicode_label(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    name, colon, port = label.partition(":")
    try:
        return name[4:].encode("ascii").decode("punycode") + colon + port
    except UnicodeError:
        return label


def check_subject(subject: str) -> str:
    """Return a contact URI that push services accept, or say what is wrong with it.

    Section 2.1 has it optional, but Apple and others refuse tokens without one.

    Raises:
        VapidError: if it is neither `mailto:` with an address nor an `https:` URL.
    """
    if not _CONTACT.fullmatch(subject):
        raise VapidError(
            VapidFault.SUBJECT, "the VAPID subject must be mailto:someone@host or https://host/…"
        )
    return subject


def authorize(
    endpoint: str,
    key: VapidKey,
    *,
    subject: str,
    now: datetime,
    lifetime: timedelta = DEFAULT_LIFETIME,
) -> VapidHeader:
    """Build the `Authorization` header for an endpoint's push service.

    Args:
        endpoint: any push resource URL of the service.
        key: the application server's signing key.
        subject: contact, `mailto:` or `https:`.
        now: aware time.
        lifetime: of the token; more than zero, at most 24 hours.

    Raises:
        VapidError: if the lifetime or the subject is not acceptable.
        EndpointError: if the endpoint is not a URL.
    """
    if not timedelta(0) < lifetime <= MAX_LIFETIME:
        raise VapidError(
            VapidFault.EXPIRY_TOO_FAR, "a VAPID token lives more than zero and at most 24 hours"
        )
    origin = audience(endpoint)
    expires = int((now + lifetime).timestamp())  # rounds down: never beyond 24 hours
    token = build_jwt({"aud": origin, "exp": expires, "sub": check_subject(subject)}, key.private)
    return VapidHeader(
        value=f"vapid t={token}, k={key.public}",
        origin=origin,
        expires_at=datetime.fromtimestamp(expires, UTC),
    )


def parse_authorization(
    authorization: str | None, crypto_key: str | None = None
) -> VapidCredentials:
    """Read the credentials from a request's headers.

    The scheme is matched without regard to case. `vapid` carries token and key (section 3);
    the drafts' `WebPush` and `Bearer` carry the token alone and the key in
    `Crypto-Key: p256ecdsa=…`. Unknown parameters are ignored, as section 3 demands.

    Raises:
        VapidError: if there are none, or they cannot be read.
    """
    if authorization is None:
        raise VapidError(VapidFault.MISSING, "the request has no Authorization header")
    match = _SCHEME.fullmatch(authorization.strip())
    if match is None:
        raise VapidError(VapidFault.MALFORMED, "the Authorization header has no credentials")
    scheme = match[1].lower()
    if scheme == "vapid":
        parameters = _parameters(match[2], ",")
        token, public = parameters.get("t"), parameters.get("k")
    elif scheme in {"webpush", "bearer"}:
        token = match[2]
        public = None if crypto_key is None else _parameters(crypto_key, ",;").get("p256ecdsa")
    else:
        raise VapidError(VapidFault.SCHEME, f"the authentication scheme {match[1]} is not known")
    if not token or not public:
        missing = "token (t)" if not token else "public key (k)"
        raise VapidError(VapidFault.MALFORMED, f"the VAPID credentials lack the {missing}")
    return VapidCredentials(token=token, public_key=_public_key(public))


def _public_key(text: str) -> bytes:
    try:
        point = base64url_decode(text.rstrip("="))
        load_point(point, "the VAPID public key")
    except (JoseError, WebPushError) as error:
        raise VapidError(VapidFault.PUBLIC_KEY, f"the VAPID public key: {error}") from error
    return point


def _parameters(text: str, separators: str) -> Mapping[str, str]:
    """Read `name=value` pairs, values as tokens or quoted strings (RFC 7235 section 2.1)."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            raise VapidError(VapidFault.MALFORMED, "the VAPID parameters cannot be read")
        name, value = match[1].lower(), match[2]
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        if name in found and name in _SINGLE:  # of unknown ones, repeats are ignored as well
            raise VapidError(VapidFault.MALFORMED, f"the VAPID parameter {name} is given twice")
        found[name] = value
        at = match.end()
        if at < len(text) and text[at] not in separators:
            raise VapidError(VapidFault.MALFORMED, "the VAPID parameters cannot be read")
        at += 1
    return found


def verify(
    credentials: VapidCredentials,
    *,
    audience_origin: str,
    now: datetime,
    bound_key: bytes | None = None,
) -> VapidIdentity:
    """Verify a request's credentials as a push service does (section 4.2).

    Args:
        credentials: from `parse_authorization`.
        audience_origin: the origin of the push resource, as `audience` gives it.
        now: aware time.
        bound_key: the key a restricted subscription was made with, 65 octets.

    Raises:
        VapidError: if a signature, claim or key is not right; `fault` says which.
    """
    if bound_key is not None and credentials.public_key != bound_key:
        raise VapidError(
            VapidFault.KEY_MISMATCH, "the subscription was made with another VAPID key"
        )
    try:
        jwt = verify_jwt(credentials.token, load_point(credentials.public_key, "the VAPID key"))
    except JoseError as error:
        raise VapidError(VapidFault.SIGNATURE, str(error)) from error
    aud = jwt.claims.get("aud")
    if audience_origin not in (aud if isinstance(aud, list) else [aud]):  # RFC 7519 section 4.1.3
        raise VapidError(
            VapidFault.AUDIENCE, f"the token's aud is not the origin {audience_origin}"
        )
    subject = jwt.claims.get("sub")
    if subject is not None and not isinstance(subject, str):
        raise VapidError(VapidFault.SUBJECT, "the token's sub is not a string")
    return VapidIdentity(
        public_key=credentials.public_key,
        subject=subject,
        expires_at=_expiry(jwt.claims.get("exp"), now),
    )


def _expiry(exp: object, now: datetime) -> datetime:
    if isinstance(exp, bool) or not isinstance(exp, int | float):
        raise VapidError(VapidFault.MALFORMED, "the token has no numeric exp claim")
    if exp < now.timestamp():  # compared, not subtracted: exp may be larger than any float
        raise VapidError(VapidFault.EXPIRED, "the token has expired")
    if exp > (now + MAX_LIFETIME).timestamp():
        raise VapidError(VapidFault.EXPIRY_TOO_FAR, "the token expires in more than 24 hours")
    return datetime.fromtimestamp(exp, UTC)
