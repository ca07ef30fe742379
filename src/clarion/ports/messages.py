"""Accepting messages, reading them back, and steering them while they are sent."""

from asyncio import Future
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from clarion.domain.app_rules import Moment
from clarion.domain.campaign import MessageInput, MessageState
from clarion.domain.content import Json, Message
from clarion.domain.ids import AppId, DeviceId, KeyId, MessageId, UserId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.ports.digests import DigestParts
from clarion.ports.store import StoreUnavailableError


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Whom a message is for: everybody, or some users and devices (a device is reached once)."""

    everybody: bool = False
    users: Sequence[str] = ()
    """External ids."""
    aliases: Sequence[tuple[str, str]] = ()
    """(label, value) pairs."""
    devices: Sequence[DeviceId] = ()
    networks: Sequence[Network] = ()
    """Only devices of these networks; empty: all."""
    segment: Mapping[str, Json] | None = None
    """The JSON form of an expression over people: whoever is in it when the time has come."""

    @property
    def scanned(self) -> bool:
        """Whether people are found in the columns, not by their names."""
        return self.everybody or self.segment is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class IdempotencyKey:
    """What the client sent to make a retry harmless, and the hash of the body it came with."""

    key: str
    body_hash: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class NewMessage:
    """A checked message, ready to be accepted."""

    message: Message
    target: Target
    send_at: datetime
    request: bytes
    """The request's JSON as accepted (UTF-8): kept, and shown when the message is read back."""
    key: KeyId
    idempotency: IdempotencyKey | None
    answer_status: int
    answer: bytes
    """What the API will answer; stored with the idempotency key so that a replay is the same."""
    moment: Moment = field(default_factory=Moment)


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """The message is durable (and, in an urgent lane, already on the wire)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """The same request was accepted before: answer as then."""

    status: int
    answer: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyReused:
    """The idempotency key came with another body: 422."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InFlight:
    """The first request with this key is still being worked on: 409."""


Acceptance = Accepted | Replayed | KeyReused | InFlight


class MaybeSentError(StoreUnavailableError):
    """Nobody knows whether the message goes out.

    Its commit had no answer; or it failed when the message was already with its networks.
    """


class Acceptor(Protocol):
    """Takes messages in. Urgent ones are journalled and sent by the same process."""

    async def accept(self, new: NewMessage, now: datetime) -> Acceptance:
        """Make the message durable; returns after the commit.

        Raises `StoreUnavailableError` when the state store can't be reached; nothing is
        accepted then. A `MaybeSentError` is one after which devices may get the message.
        """
        ...


class UrgentQueue(Protocol):
    """The same for urgent messages, for who has no task that could wait."""

    def enter(self, new: NewMessage) -> Future[Acceptance]:
        """What `Acceptor.accept` returns or raises, later.

        The message is in an urgent lane, for at most ten named recipients, and due now.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageRecord:
    """A message as it stands."""

    id: MessageId
    app: AppId
    lane: Lane
    state: MessageState
    request: bytes
    send_at: datetime
    expires_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    canceled_at: datetime | None
    paused_at: datetime | None
    recipients: int
    """Rows planned so far, suppressed ones included."""
    xid: int
    """Facts that contain everything below this transaction id are complete for the state."""
    trouble: str | None = None
    """Why it waits for somebody, where it does; lists of messages do not say."""


class Messages(Protocol):
    """Messages in the state store."""

    async def get(self, app: AppId, message: MessageId) -> MessageRecord | None:
        """The message, or None when the app has none of that id."""
        ...

    async def page(
        self, app: AppId, *, before: tuple[datetime, MessageId] | None, limit: int
    ) -> Sequence[MessageRecord]:
        """Newest first, those older than `before`."""
        ...

    async def digest_parts(self, message: MessageId, user: UserId) -> DigestParts:
        """Which digest one person's part of a message is in, and what is in it if it is one.

        It is known for as long as the digest's own message is kept.
        """
        ...

    async def steer(
        self, app: AppId, message: MessageId, what: MessageInput, now: datetime
    ) -> MessageState | None:
        """Pause, resume or cancel. The state after it; None when there is no such message.

        Raises `TransitionRefusedError` when the state's table has no such transition.
        """
        ...


class TransitionRefusedError(Exception):
    """The message's state does not allow that (a finished message can't be paused)."""

    def __init__(self, state: MessageState, what: MessageInput) -> None:
        super().__init__(f"a message that is {state.name.lower()} can't take {what.value!r}")
        self.state = state
        self.what = what
