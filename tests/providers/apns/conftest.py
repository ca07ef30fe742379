"""Client and simulator face to face: a transport that hands each request of a batch to a judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hpack import Decoder

from clarion.domain.content import Content, Message
from clarion.domain.handoffs import Answers, Recipients
from clarion.domain.ids import AppId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Environment, Network
from clarion.ports.provider import Credential, Provider, SendRequest, SharedTokens
from clarion.ports.simulator import SimulatedRequest, Simulator
from clarion.ports.transport import HttpAnswer, Origin
from clarion.providers.apns.client import ApnsHosts, ApnsProvider
from clarion.providers.apns.simulator import ApnsFaults, ApnsKey, ApnsSimulator
from clarion.wire.http2 import Answer, Batch, Failure
from clarion.wire.jose import Json, build_jwt, load_es256_key

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass
class ManualClock:
    """A clock that moves when told."""

    at: datetime = NOW

    def now(self) -> datetime:
        """The set instant."""
        return self.at

    def monotonic(self) -> float:
        """Seconds since the test's midnight."""
        return (self.at - NOW).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.at += timedelta(seconds=seconds)


class NoChance:
    """Always the middle of the range."""

    def token(self, octets: int) -> bytes:
        """The same octets each time."""
        return bytes(octets)

    def uuid7(self, now: datetime) -> str:
        """An id of that instant."""
        return f"{int(now.timestamp() * 1000):012x}"

    def fraction(self) -> float:
        """One half."""
        return 0.5


@dataclass
class TokenShelf:
    """Shared tokens of one process, with the rule that the newest stored one counts."""

    stored: dict[str, tuple[datetime, str]] = field(default_factory=dict)
    minted: int = 0

    async def get(self, name: str, not_older_than: datetime) -> str | None:
        """The token, when it is new enough."""
        at, value = self.stored.get(name, (not_older_than - timedelta(1), ""))
        return value if at >= not_older_than else None

    async def mint(self, name: str, *, older_than: datetime, value: str, now: datetime) -> str:
        """Store it unless one is there that is not older."""
        at, present = self.stored.get(name, (older_than - timedelta(1), ""))
        if at >= older_than:
            return present
        self.minted += 1
        self.stored[name] = (now, value)
        return value


@dataclass
class FacingTransport:
    """Runs batches against simulators by host name; one connection per origin until it ends."""

    judges: dict[str, Simulator]
    clock: ManualClock
    origins: list[Origin] = field(default_factory=list)
    seen: list[SimulatedRequest] = field(default_factory=list)
    certificate: bytes | None = None
    ahead: timedelta = timedelta(0)
    """By how much the judges' clock is ahead of ours."""
    _connections: dict[Origin, int] = field(default_factory=dict)
    _opened: int = 0

    async def send(self, origin: Origin, batch: Batch, *, urgent: bool) -> None:
        """Answer every request of the batch."""
        del urgent
        self.origins.append(origin)
        judge = self.judges[origin.host]
        for index, path in enumerate(batch.paths):
            connection = self._connections.get(origin)
            if connection is None:
                self._opened += 1
                connection = self._connections[origin] = self._opened
            extra = batch.extra[index] if batch.extra is not None else b""
            own = Decoder().decode(extra, raw=True)
            request = SimulatedRequest(
                connection=connection,
                stream=2 * index + 1,
                method=batch.headers.method.decode(),
                path=(batch.headers.path_prefix + path).decode("latin-1"),
                authority=origin.authority,
                headers=[*batch.headers.headers, *((bytes(n), bytes(v)) for n, v in own)],
                body=batch.body_of(index),
                peer_certificate=self.certificate if origin.certificate else None,
                now=self.clock.at + self.ahead,
            )
            self.seen.append(request)
            self._take(judge, origin, batch, index, request)

    def _take(
        self, judge: Simulator, origin: Origin, batch: Batch, index: int, request: SimulatedRequest
    ) -> None:
        said = judge.answer(request)
        if said.silent or said.drop_connection or said.reset is not None:
            batch.failures[index] = Failure.DEADLINE if said.silent else Failure.CONNECTION_LOST
        else:
            batch.statuses[index] = said.status
            if said.status // 100 != 2 or batch.keep_bodies:
                batch.answers[index] = Answer(said.status, tuple(said.headers), said.body)
        if said.drop_connection or said.goaway is not None:
            judge.closed(self._connections.pop(origin))

    async def request(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]], body: bytes
    ) -> HttpAnswer:
        """APNs needs no single requests."""
        raise AssertionError((method, url, headers, body))

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class KeyPair:
    """A provider token key as both sides hold it."""

    private_pem: str
    public_pem: str


def make_key() -> KeyPair:
    """A fresh P-256 key."""
    key = ec.generate_private_key(ec.SECP256R1())
    return KeyPair(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


KEY = make_key()
OTHER_KEY = make_key()
MESSAGE = Message(
    id=MessageId("019aa5f0-0000-7000-8000-000000000001"),
    app=AppId(1),
    lane=Lane.CAMPAIGN,
    content=Content(title="Hello", body="World"),
)


@dataclass
class Stage:
    """A provider, Apple's two environments, and the clock that all of them read."""

    production: ApnsSimulator
    sandbox: ApnsSimulator
    clock: ManualClock = field(default_factory=ManualClock)
    shelf: TokenShelf = field(default_factory=TokenShelf)
    shared: SharedTokens | None = None
    """Another place for shared tokens than the shelf."""
    key: KeyPair = KEY

    def __post_init__(self) -> None:
        judges = {"production.test": self.production, "sandbox.test": self.sandbox}
        self.transport = FacingTransport(dict(judges), self.clock)
        self.provider: Provider = self.another_process()
        self.credential = Credential(
            id=CredentialId(1),
            app=AppId(1),
            network=Network.APNS,
            version=1,
            public={"key_id": "KEY0000001", "team_id": "TEAM000001", "topic": "com.example"},
            secret={"private_key": self.key.private_pem},
        )

        self.message = MESSAGE

    async def adopt_a_newer_token(self) -> None:
        """What happens when another process has minted too early."""
        ((name, _),) = self.shelf.stored.items()
        claims: dict[str, Json] = {"iss": "TEAM000001", "iat": int(self.clock.now().timestamp())}
        text = build_jwt(claims, load_es256_key(self.key.private_pem), key_id="KEY0000001")
        self.shelf.stored[name] = (self.clock.now(), text)
        assert isinstance(self.provider, ApnsProvider)
        session = self.provider._sessions[self.credential.id]
        session.refresh_at = self.clock.now()

    def certificate(self, days: int) -> tuple[str, str]:
        """A self-signed client certificate that ends in so many days, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "com.example")])
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(NOW - timedelta(days=400))
            .not_valid_after(NOW + timedelta(days=days))
            .sign(key, SHA256())
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return built.public_bytes(Encoding.PEM).decode(), pem.decode()

    def use_certificate(self, chain: str, key: str, topics: set[str]) -> None:
        """Send with mutual TLS from now on; Apple knows these topics for the certificate."""
        der = x509.load_pem_x509_certificate(chain.encode()).public_bytes(Encoding.DER)
        self.production.certificates[der] = frozenset(topics)
        self.transport.certificate = der
        self.credential = replace(
            self.credential,
            version=self.credential.version + 1,
            public={"topic": "com.example"},
            secret={"certificate": chain, "certificate_key": key},
        )

    def another_process(self) -> ApnsProvider:
        """A second client with the same shared tokens."""
        return ApnsProvider(
            transport=self.transport,
            tokens=self.shared or self.shelf,
            clock=self.clock,
            chance=NoChance(),
            hosts=ApnsHosts(production="https://production.test", sandbox="https://sandbox.test"),
        )

    async def send(
        self,
        tokens: Sequence[bytes],
        *,
        environment: Environment = Environment.PRODUCTION,
        messages: Sequence[Message] = (MESSAGE,),
        message: Sequence[int] | None = None,
        urgent: bool = False,
        process: Provider | None = None,
        merge: Sequence[Sequence[str]] | None = None,
    ) -> Answers:
        """Send to some tokens; devices are numbered from 1."""
        rows = len(tokens)
        recipients = Recipients(
            device=np.arange(1, rows + 1),
            user=np.arange(1, rows + 1),
            registered_us=np.zeros(rows, np.int64),
            environment=np.full(rows, environment, np.uint8),
            tokens=list(tokens),
            message=None if message is None else np.array(message, np.uint16),
            merge=merge,
        )
        return await (process or self.provider).send(
            SendRequest(
                credential=self.credential,
                messages=messages,
                recipients=recipients,
                urgent=urgent,
                now=self.clock.now(),
            )
        )


class MakeStage(Protocol):
    """How a test asks for its stage."""

    def __call__(
        self,
        faults: ApnsFaults | None = None,
        sandbox_faults: ApnsFaults | None = None,
        *,
        tokens: Mapping[str, frozenset[str]] | None = None,
        key: KeyPair = KEY,
        key_environment: Environment = Environment.UNKNOWN,
        sandbox_any: bool = False,
    ) -> Stage:
        """Without `tokens`, every token exists in production and none in the sandbox."""
        ...


@pytest.fixture
def make_stage() -> MakeStage:
    """Stages with the key KEY registered in both environments."""

    def make(
        faults: ApnsFaults | None = None,
        sandbox_faults: ApnsFaults | None = None,
        *,
        tokens: Mapping[str, frozenset[str]] | None = None,
        key: KeyPair = KEY,
        key_environment: Environment = Environment.UNKNOWN,
        sandbox_any: bool = False,
    ) -> Stage:
        known = [
            ApnsKey(
                key_id=key_id,
                team_id="TEAM000001",
                public_pem=KEY.public_pem,
                environment=key_environment,
            )
            for key_id in ("KEY0000001", "KEY0000002")
        ]
        production = ApnsSimulator(
            keys=known, tokens=tokens, any_token=tokens is None, faults=faults, record=True
        )
        sandbox = ApnsSimulator(
            keys=known,
            tokens={},
            any_token=sandbox_any,
            environment=Environment.SANDBOX,
            faults=sandbox_faults,
            record=True,
        )
        return Stage(production, sandbox, key=key)

    return make


@pytest.fixture
def other_key() -> KeyPair:
    """A key that Apple does not know."""
    return OTHER_KEY
