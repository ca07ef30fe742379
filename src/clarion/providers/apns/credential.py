"""What an APNs credential must be, what a push certificate says, and what is known of either."""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from clarion.domain.content import Message
from clarion.domain.handoffs import Recipients
from clarion.domain.network import Environment
from clarion.ports.provider import Credential, CredentialProblem, SendRequest
from clarion.ports.transport import ClientCertificate, Origin
from clarion.providers.apns import payload
from clarion.wire.jose import load_es256_key

HEX: Final = b"0123456789abcdefABCDEF"
_FORMS: Final = {
    "topic": (r"[A-Za-z0-9.\-]{1,200}", "The app's bundle id: letters, digits, dots, dashes."),
    "key_id": (r"[A-Za-z0-9]{10}", "10 letters and digits, as Apple shows them beside the key."),
    "team_id": (r"[A-Za-z0-9]{10}", "10 letters and digits, as Apple shows them."),
    "environment": (r"|production|sandbox", "`production`, `sandbox`, or left out for both."),
}
_APPLE: Final = "1.2.840.113635.100.6.3"
_WORLDS: Final = {f"{_APPLE}.1": Environment.SANDBOX, f"{_APPLE}.2": Environment.PRODUCTION}
_TOPICS: Final = f"{_APPLE}.6"
"""A sequence of pairs: a topic as UTF8String, and a sequence that says what it is for."""
_SEQUENCE: Final = 0x30
_UTF8: Final = 0x0C
_LONG_FORM: Final = 0x80  # X.690 section 8.1.3: the length has octets of its own


@dataclass(frozen=True, kw_only=True, slots=True)
class PushCertificate:
    """What a push certificate says about itself.

    Attributes:
        expires_at: its end, UTC.
        topics: what it may send to, sorted: the list of a certificate for several topics, or the
            bundle id that is the UID of its subject. Empty where it says neither.
        environments: which of Apple's worlds it is for; empty where it does not say.
    """

    expires_at: datetime
    topics: tuple[str, ...]
    environments: frozenset[Environment]

    @property
    def environment(self) -> Environment:
        """The only world it is for, or UNKNOWN."""
        return next(iter(self.environments)) if len(self.environments) == 1 else Environment.UNKNOWN


def read_certificate(pem: str) -> PushCertificate:
    """Read the first certificate of a PEM text.

    Raises:
        ValueError: it is none, or its list of topics can't be read.
    """
    certificate = x509.load_pem_x509_certificate(pem.encode())
    try:
        values = {
            extension.oid.dotted_string: extension.value.value
            for extension in certificate.extensions
            if isinstance(extension.value, x509.UnrecognizedExtension)
        }
    except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError(str(error)) from error
    named = [str(uid.value) for uid in certificate.subject.get_attributes_for_oid(NameOID.USER_ID)]
    listed = _topics(values[_TOPICS]) if _TOPICS in values else []
    return PushCertificate(
        expires_at=certificate.not_valid_after_utc,
        topics=tuple(sorted({*named, *listed})),
        environments=frozenset(world for oid, world in _WORLDS.items() if oid in values),
    )


def problems(
    public: Mapping[str, str], secret: Mapping[str, str], now: datetime
) -> Sequence[CredentialProblem]:
    """What is wrong with a credential, found without asking Apple."""
    found = [
        _problem(f"/public/{name}", form)
        for name, (pattern, form) in _FORMS.items()
        if not re.fullmatch(pattern, public.get(name, ""))
        and ("certificate" not in secret or name not in {"key_id", "team_id"})
    ]
    if "certificate" in secret:
        return [*found, *_certificate_problems(public, secret, now)]
    try:
        load_es256_key(secret.get("private_key", ""))
    except ValueError as error:
        found.append(_problem("/secret/private_key", f"Not usable: {error}."))
    return found


def _certificate_problems(
    public: Mapping[str, str], secret: Mapping[str, str], now: datetime
) -> Iterator[CredentialProblem]:
    path = "/secret/certificate"
    try:
        said = read_certificate(secret["certificate"])
        certificate = x509.load_pem_x509_certificate(secret["certificate"].encode())
        key = load_pem_private_key(secret.get("certificate_key", "").encode(), None)
    except (ValueError, TypeError) as error:
        yield _problem(path, f"Not usable: {error}.")
        return
    if key.public_key() != certificate.public_key():
        yield _problem(path, "`certificate_key` is not this certificate's key.")
    if said.expires_at < now:
        yield _problem(path, f"The certificate expired on {said.expires_at:%Y-%m-%d}.")
    topic = public.get("topic", "")
    if said.topics and topic not in said.topics:
        listed = ", ".join(said.topics)
        yield _problem("/public/topic", f"The certificate is not for {topic} but for {listed}.")
    world = Environment[(public.get("environment") or "unknown").upper()]
    if said.environments and world and world not in said.environments:
        yield _problem(
            "/public/environment", f"The certificate is for {said.environment.name.lower()} only."
        )


def _problem(path: str, detail: str) -> CredentialProblem:
    return CredentialProblem(path=path, code="field_invalid", detail=detail)


def _topics(value: bytes) -> list[str]:
    ((outer, content),) = _elements(value)
    if outer != _SEQUENCE:
        raise ValueError("its list of topics is no sequence")
    return [text.decode() for tag, text in _elements(content) if tag == _UTF8]


def _elements(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """DER elements in order: tag and content (X.690 section 8.1)."""
    at = 0
    while at < len(octets):
        tag, length = octets[at], octets[at + 1] if at + 1 < len(octets) else 0
        at += 2
        if length & _LONG_FORM:
            more = length - _LONG_FORM
            length = int.from_bytes(octets[at : at + more], "big")
            at += more
        if at + length > len(octets):
            raise ValueError("its list of topics is cut short")
        yield tag, octets[at : at + length]
        at += length


@dataclass(frozen=True, slots=True)
class Bearer:
    """A provider token."""

    text: str
    minted_at: datetime


@dataclass(kw_only=True, slots=True)
class Session:
    """What this process knows about one version of one credential."""

    version: int
    topic: str
    environment: Environment
    key: EllipticCurvePrivateKey | None = None
    key_id: str = ""
    team: str = ""
    name: str = ""
    certificate: ClientCertificate | None = None
    generation: int = 0
    """Rises whenever only a new connection can help."""
    bearer: Bearer | None = None
    previous: Bearer | None = None
    refresh_at: datetime | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    origins: dict[tuple[int, int, bool], Origin] = field(default_factory=dict)
    """Generation, environment and whether tokens are doubtful -> where they are sent."""
    written: "Written | None" = None
    lot: "Lot | None" = None


@dataclass(frozen=True, slots=True)
class Written:
    """Messages as they were sent last: the chunks of a batch follow each other."""

    messages: Sequence[Message]
    second: int
    items: Mapping[int, payload.Prepared]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lot:
    """A batch that is sent chunk by chunk, made ready as a whole: each array call costs once."""

    batch: Recipients
    messages: Sequence[Message]
    ids: npt.NDArray[np.uint8]
    """`apns-id` as a header field, a row each."""
    tokens_fine: bool
    """Whether every token fits into a path."""


def lot_of(request: SendRequest, session: Session) -> Lot | None:
    """The batch that the recipients are a part of, as it was made ready for its first part.

    It is let go of with its last part: a sender may serve thousands of apps.
    """
    batch, messages = request.batch, request.messages
    if batch is None:
        return None
    last = session.lot
    if last is not None and last.batch is batch and last.messages is messages:
        if request.low + len(request.recipients) >= len(batch):
            session.lot = None
        return last
    message = batch.message
    if message is None:
        message = np.zeros(len(batch), np.uint16)
    session.lot = Lot(
        batch=batch,
        messages=messages,
        ids=payload.id_fields(messages, message, batch.device),
        tokens_fine=all_hex(batch.tokens),
    )
    return session.lot


def all_hex(tokens: Sequence[bytes]) -> bool:
    """Whether each is there, and made of hexadecimal digits."""
    return all(tokens) and not b"".join(tokens).translate(None, HEX)


def writable(request: SendRequest, session: Session) -> Mapping[int, payload.Prepared]:
    """The messages that have a form for Apple, as of this second."""
    second, last = int(request.now.timestamp()), session.written
    if last is not None and last.messages is request.messages and last.second == second:
        return last.items
    items: dict[int, payload.Prepared] = {}
    for at, item in enumerate(request.messages):
        with suppress(payload.UnwritableError):
            items[at] = payload.prepare(item, request.now)
    session.written = Written(request.messages, second, items)
    return items


def session_of(stored: Credential) -> Session:
    """A session with a stored credential.

    Raises:
        ValueError: the credential is unusable.
        KeyError: a part of it is missing.
    """
    public, secret = stored.public, stored.secret
    environment = Environment[(public.get("environment") or "unknown").upper()]
    session = Session(version=stored.version, topic=public["topic"], environment=environment)
    if "private_key" not in secret:
        chain, key = secret["certificate"], secret["certificate_key"]
        if not environment:  # a certificate for one world only is never tried in the other first
            session.environment = read_certificate(chain).environment
        session.certificate = ClientCertificate(chain_pem=chain, key_pem=key)
        return session
    pem = secret["private_key"]
    session.key, session.key_id = load_es256_key(pem), public["key_id"]
    session.team = public["team_id"]
    # The key's own digest is part of the name: a corrected upload must not find the old token.
    digest = hashlib.blake2b(pem.encode(), digest_size=8).hexdigest()
    session.name = f"apns:{session.team}:{session.key_id}:{digest}"
    return session
