"""What a delivery network offers us: payload checks, and sending a batch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from clarion.domain.content import Message
from clarion.domain.handoffs import Answers, Recipients
from clarion.domain.ids import AppId, CredentialId
from clarion.domain.network import Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """What lets an app send over one network.

    `public` holds what may be shown (key id, team id, project id, topics, subject, endpoints);
    `secret` holds what may not (PEM keys, service-account JSON). Never log a credential.
    """

    id: CredentialId
    app: AppId
    network: Network
    version: int
    """Rises whenever the credential is replaced: clients are cached by (id, version)."""
    public: Mapping[str, str]
    secret: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadProblem:
    """Why a network would refuse this content, and which field to change."""

    path: str
    """JSON pointer into the message as the API takes it, e.g. `/body`."""
    code: str
    """`payload_too_large`, `field_invalid`, `combination_invalid`."""
    detail: str
    """A sentence that says what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """What a network counts of a message, with the content's merge markers in it."""

    payloads: Sequence[bytes]
    """JSON texts; each must fit on its own. A marker at level 0 (`wire.merge`) counts unescaped."""
    limit: int
    """Octets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SendRequest:
    """Some recipients over one credential; `recipients.message` picks each one's message."""

    credential: Credential
    messages: Sequence[Message]
    recipients: Recipients
    urgent: bool
    now: datetime
    on_wire: Callable[[], None] | None = None
    """Called each time the bytes of some of the requests are handed to a connection's socket."""
    batch: Recipients | None = None
    """The batch of which `recipients` are the rows from `low` on. Its other rows are likely to be
    asked for next: what is dear by the call can be made ready for all of them at once. None where
    there is none to speak of."""
    low: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class CredentialProblem:
    """What is wrong with a credential; `path` points into the credential as the API takes it."""

    path: str
    code: str
    detail: str


class SharedTokens(Protocol):
    """Bearer tokens minted once for all processes (an APNs JWT per key, an OAuth token)."""

    async def get(self, name: str, not_older_than: datetime) -> str | None:
        """The newest stored token of that name minted at or after the instant, or None."""
        ...

    async def mint(self, name: str, *, older_than: datetime, value: str, now: datetime) -> str:
        """Store `value` unless somebody stored a newer token meanwhile; the one that counts."""
        ...


class Provider(Protocol):
    """One delivery network. Implementations live in `providers/<network>/client.py`."""

    @property
    def network(self) -> Network:
        """Which network this is."""
        ...

    def check_message(self, message: Message, now: datetime) -> Sequence[PayloadProblem]:
        """What the network would refuse about the message for any recipient; empty when fine."""
        ...

    def outline(self, message: Message, now: datetime) -> Outline:
        """What counts against the network's limit; `wire.merge.sizes` counts it per recipient.

        The message is one that `check_message` finds nothing wrong with.
        """
        ...

    def check_credential(
        self, public: Mapping[str, str], secret: Mapping[str, str]
    ) -> Sequence[CredentialProblem]:
        """What is wrong with a credential, found without asking the network."""
        ...

    def check_token(self, token: str, keys: bytes | None) -> str | None:
        """Why a device token can't be one of this network's, or None when it may be."""
        ...

    async def send(self, request: SendRequest) -> Answers:
        """Send, and return what the network said, in the order of the recipients.

        Never raises for what one recipient or the network does: that is a verdict. A lost
        connection is `Verdict.RETRY` with `Reason.CONNECTION_LOST`.
        """
        ...

    async def close(self) -> None:
        """Finish what is under way and close every connection."""
        ...
