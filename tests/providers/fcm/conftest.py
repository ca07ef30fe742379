"""Client and simulator face to face: a transport that hands each request of a batch to a judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from clarion.domain.content import Content, Message
from clarion.domain.handoffs import Answers, Recipients
from clarion.domain.ids import AppId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network, TokenKind
from clarion.ports.provider import Credential, Provider, SendRequest, SharedTokens
from clarion.ports.simulator import SimulatedRequest
from clarion.ports.transport import HttpAnswer, Origin, TransportError
from clarion.providers.fcm.client import FcmHosts, FcmProvider
from clarion.providers.fcm.simulator import FcmAccount, FcmFaults, FcmSimulator
from clarion.wire.http2 import Answer, Batch, Failure

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
TOKEN_URL = "https://fcm.test/token"
EMAIL = "sender@demo.iam.gserviceaccount.com"


@dataclass
class ManualClock:
    """A clock that moves when told."""

    at: datetime = NOW

    def now(self) -> datetime:
        """The set instant."""
        return self.at

    def monotonic(self) -> float:
        """Seconds since the test's noon."""
        return (self.at - NOW).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.at += timedelta(seconds=seconds)


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
    """Runs batches and single requests against one simulator."""

    judge: FcmSimulator
    clock: ManualClock
    seen: list[SimulatedRequest] = field(default_factory=list)
    ahead: timedelta = timedelta(0)
    """By how much the judge's clock is ahead of ours."""
    down: bool = False
    _connection: int = 1

    def _request(
        self, stream: int, path: str, headers: Sequence[tuple[bytes, bytes]], body: bytes
    ) -> SimulatedRequest:
        return SimulatedRequest(
            connection=self._connection,
            stream=stream,
            method="POST",
            path=path,
            authority="fcm.test",
            headers=headers,
            body=body,
            peer_certificate=None,
            now=self.clock.at + self.ahead,
        )

    async def send(self, origin: Origin, batch: Batch, *, urgent: bool) -> None:
        """Answer every request of the batch."""
        assert (origin.host, batch.headers.method, urgent) == ("fcm.test", b"POST", urgent)
        for index, path in enumerate(batch.paths):
            whole = (batch.headers.path_prefix + path).decode()
            body = batch.body_of(index)
            request = self._request(2 * index + 1, whole, batch.headers.headers, body)
            self.seen.append(request)
            said = self.judge.answer(request)
            if said.silent or said.drop_connection:
                lost = Failure.DEADLINE if said.silent else Failure.CONNECTION_LOST
                batch.failures[index] = lost
            else:
                batch.statuses[index] = said.status
                if said.status != 200 or batch.keep_bodies:
                    batch.answers[index] = Answer(said.status, tuple(said.headers), said.body)
            if said.goaway is not None or said.drop_connection:
                self.judge.closed(self._connection)
                self._connection += 1

    async def request(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]], body: bytes
    ) -> HttpAnswer:
        """The token endpoint."""
        if self.down:
            raise TransportError("connection refused")
        assert (method, url) == ("POST", TOKEN_URL)
        own = [(name.encode(), value.encode()) for name, value in headers]
        said = self.judge.answer(self._request(0, "/token", own, body))
        date = (self.clock.at + self.ahead).strftime("%a, %d %b %Y %H:%M:%S GMT").encode()
        return HttpAnswer(
            status=said.status, headers=[*said.headers, (b"date", date)], body=said.body
        )

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True)
class KeyPair:
    """A service account's key as both sides hold it."""

    private_pem: str
    public_pem: str


def make_key() -> KeyPair:
    """A fresh RSA key."""
    key = rsa.generate_private_key(65537, 2048)
    return KeyPair(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
    )


KEY = make_key()
MESSAGE = Message(
    id=MessageId("019aa5f0-0000-7000-8000-000000000001"),
    app=AppId(1),
    lane=Lane.CAMPAIGN,
    content=Content(title="Hello", body="World", data={"n": 7}),
)


@dataclass
class Stage:
    """A provider, FCM, and the clock that both read."""

    judge: FcmSimulator
    key: KeyPair = KEY
    clock: ManualClock = field(default_factory=ManualClock)
    shelf: TokenShelf = field(default_factory=TokenShelf)
    shared: SharedTokens | None = None
    """Another place for shared tokens than the shelf."""
    message: Message = MESSAGE

    def __post_init__(self) -> None:
        self.transport = FacingTransport(self.judge, self.clock)
        self.provider: Provider = self.another_process()
        account = {
            "client_email": EMAIL,
            "private_key": self.key.private_pem,
            "private_key_id": "k1",
            "project_id": "demo",
            "token_uri": "https://oauth2.googleapis.com/token",
        }
        self.credential = Credential(
            id=CredentialId(1),
            app=AppId(1),
            network=Network.FCM,
            version=1,
            public={},
            secret={"service_account": orjson.dumps(account).decode()},
        )

    def another_process(self) -> FcmProvider:
        """A second client with the same shared tokens."""
        hosts = FcmHosts(base="https://fcm.test", token=TOKEN_URL)
        return FcmProvider(
            transport=self.transport,
            tokens=self.shared or self.shelf,
            clock=self.clock,
            hosts=hosts,
        )

    async def send(
        self,
        tokens: Sequence[bytes],
        *,
        kinds: Sequence[TokenKind] | None = None,
        messages: Sequence[Message] | None = None,
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
            environment=np.array(kinds or [TokenKind.TOKEN] * rows, np.uint8),
            tokens=list(tokens),
            message=None if message is None else np.array(message, np.uint16),
            merge=merge,
        )
        return await (process or self.provider).send(
            SendRequest(
                credential=self.credential,
                messages=messages or [self.message],
                recipients=recipients,
                urgent=urgent,
                now=self.clock.now(),
            )
        )


class MakeStage(Protocol):
    """How a test asks for its stage."""

    def __call__(
        self,
        faults: FcmFaults | None = None,
        *,
        tokens: Mapping[str, str] | None = None,
        key: KeyPair = KEY,
        token_url: str = TOKEN_URL,
    ) -> Stage:
        """Without `tokens`, every token exists in every project."""
        ...


@pytest.fixture
def make_stage() -> MakeStage:
    """Stages whose service account is registered with KEY."""

    def make(
        faults: FcmFaults | None = None,
        *,
        tokens: Mapping[str, str] | None = None,
        key: KeyPair = KEY,
        token_url: str = TOKEN_URL,
    ) -> Stage:
        account = FcmAccount(email=EMAIL, public_pem=KEY.public_pem, projects=frozenset({"demo"}))
        judge = FcmSimulator(
            accounts=[account],
            tokens=tokens,
            token_url=token_url,
            any_token=tokens is None,
            faults=faults,
            record=True,
        )
        return Stage(judge, key=key)

    return make


@pytest.fixture(scope="session")
def other_key() -> KeyPair:
    """A key that Google does not know."""
    return make_key()
