"""A push service in memory: our transport port played straight into the simulator."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
from typing_extensions import override

from clarion.adapters.system import SystemChance
from clarion.domain.content import Content, Message
from clarion.domain.handoffs import Answers, Recipients
from clarion.domain.ids import AppId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.ports.provider import Credential, Provider, SendRequest
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest
from clarion.ports.system import Clock
from clarion.ports.transport import (
    EgressForbiddenError,
    HttpAnswer,
    Origin,
    Transport,
    TransportError,
)
from clarion.providers.webpush.client import (
    WebPushProvider,
    WebPushSettings,
)
from clarion.providers.webpush.credential import make_vapid_credential
from clarion.providers.webpush.simulator import Subscription
from clarion.wire.endpoint import AllowList
from clarion.wire.http2 import Answer, Batch, Failure

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORIGIN = "https://127.0.0.1:8443"
ALLOW = AllowList.parse(["127.0.0.1", "push.example.org"])
PUBLIC, SECRET = make_vapid_credential("mailto:ops@example.org")


class ManualClock(Clock):
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    @override
    def now(self) -> datetime:
        return self.at

    @override
    def monotonic(self) -> float:
        return (self.at - START).total_seconds()

    @override
    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        await asyncio.sleep(0)


class InMemoryTransport(Transport):
    """Answers each batch on the spot from whatever judges requests."""

    def __init__(
        self, judge: Callable[[SimulatedRequest], SimulatedAnswer], clock: ManualClock
    ) -> None:
        self.judge = judge
        self.clock = clock
        self.batches: list[tuple[Origin, Batch]] = []
        self.forbidden: set[str] = set()

    @override
    async def send(self, origin: Origin, batch: Batch, *, urgent: bool) -> None:
        if origin.host in self.forbidden:
            raise EgressForbiddenError(f"{origin.host} resolves to a private address")
        self.batches.append((origin, batch))
        await asyncio.sleep(0)
        for at, path in enumerate(batch.paths):
            said = self.judge(
                SimulatedRequest(
                    connection=1,
                    stream=2 * at + 1,
                    method=batch.headers.method.decode(),
                    path=(batch.headers.path_prefix + path).decode(),
                    authority=origin.authority,
                    headers=batch.headers.headers,
                    body=batch.body_of(at),
                    peer_certificate=None,
                    now=self.clock.now(),
                )
            )
            if said.silent or said.drop_connection:
                batch.failures[at] = Failure.DEADLINE if said.silent else Failure.CONNECTION_LOST
                continue
            batch.statuses[at] = said.status
            if batch.keep_bodies or not 200 <= said.status < 300:
                batch.answers[at] = Answer(said.status, tuple(said.headers), said.body)

    @override
    async def request(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]], body: bytes
    ) -> HttpAnswer:
        raise TransportError("Web Push makes no single requests")

    @override
    async def close(self) -> None:
        return


@dataclass(kw_only=True)
class LocalService:
    """A provider wired to a judge, and what a test needs to use both."""

    judge: Callable[[SimulatedRequest], SimulatedAnswer]
    settings: WebPushSettings = field(default_factory=lambda: WebPushSettings(allow=ALLOW))
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.transport = InMemoryTransport(self.judge, self.clock)
        self.provider: Provider = WebPushProvider(
            self.transport, self.clock, SystemChance(), self.settings
        )

    async def send(
        self,
        recipients: Recipients,
        messages: Sequence[Message],
        *,
        credential: Credential | None = None,
        urgent: bool = False,
    ) -> Answers:
        """Send with the given credential, or the usual one."""
        return await self.provider.send(
            SendRequest(
                credential=make_credential() if credential is None else credential,
                messages=messages,
                recipients=recipients,
                urgent=urgent,
                now=self.clock.now(),
            )
        )


def make_credential(
    *,
    public: Mapping[str, str] | None = None,
    secret: Mapping[str, str] | None = None,
    version: int = 1,
) -> Credential:
    """The usual credential, or one with other parts."""
    return Credential(
        id=CredentialId(7),
        app=AppId(1),
        network=Network.WEBPUSH,
        version=version,
        public=PUBLIC if public is None else public,
        secret=SECRET if secret is None else secret,
    )


def make_message(content: Content | None = None, *, number: int = 1) -> Message:
    """A plain message; the number makes its id."""
    return Message(
        id=MessageId(f"0192aaaa-0000-7000-8000-{number:012d}"),
        app=AppId(1),
        lane=Lane.CAMPAIGN,
        content=Content(title="Parcel", body="Locker 12") if content is None else content,
    )


def recipients_of(
    tokens: Sequence[str],
    keys: Sequence[bytes] | None,
    message: Sequence[int] | None = None,
) -> Recipients:
    """Columns around endpoints and keys."""
    rows = len(tokens)
    return Recipients(
        device=np.arange(rows, dtype=np.int64),
        user=np.arange(rows, dtype=np.int64),
        registered_us=np.zeros(rows, np.int64),
        environment=np.zeros(rows, np.uint8),
        tokens=[token.encode() for token in tokens],
        keys=keys,
        message=None if message is None else np.array(message, np.uint16),
    )


def recipients_from(
    subscriptions: Sequence[Subscription], message: Sequence[int] | None = None
) -> Recipients:
    """Columns around simulated subscriptions."""
    return recipients_of(
        [one.endpoint for one in subscriptions], [one.keys for one in subscriptions], message
    )
