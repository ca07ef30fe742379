"""Client and simulator face to face: a transport that hands each request of a batch to a judge."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hpack import Decoder

from clarion.ports.simulator import SimulatedRequest, Simulator
from clarion.ports.transport import HttpAnswer, Origin
from clarion.wire.http2 import Answer, Batch, Failure

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
        """Store it unless a newer one is there."""
        at, present = self.stored.get(name, (older_than, ""))
        if at > older_than:
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
                now=self.clock.at,
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


@pytest.fixture(scope="session")
def key_pair() -> KeyPair:
    """One key for the run."""
    return make_key()


@pytest.fixture(scope="session")
def other_key_pair() -> KeyPair:
    """Another key."""
    return make_key()


@pytest.fixture
def clock() -> ManualClock:
    """A clock at noon."""
    return ManualClock()


@pytest.fixture
def shelf() -> TokenShelf:
    """No token minted yet."""
    return TokenShelf()


@pytest.fixture
def chance() -> NoChance:
    """No surprises."""
    return NoChance()


@pytest.fixture
def facing(clock: ManualClock) -> FacingTransport:
    """A transport without judges; a test puts them in."""
    return FacingTransport({}, clock)
