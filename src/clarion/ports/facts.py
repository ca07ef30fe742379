"""What was recorded about every recipient, for reports and for the trace of one person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clarion.domain.decided import Decided
from clarion.domain.ids import AppId, DeviceId, MessageId, UserId
from clarion.domain.network import Network
from clarion.domain.outcome import Outcome, Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class OutcomeCount:
    """How many recipients ended this way."""

    network: Network | None
    """None for users who have no device."""
    outcome: Outcome
    reason: Reason
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageCounts:
    """The recorded outcomes of one message."""

    outcomes: Sequence[OutcomeCount]
    retried: Mapping[Network, int]
    """Recipients that needed more than one attempt, per network that had any."""
    answered_at: Mapping[int, datetime]
    """Percentile (50, 90, 95, 99) -> when so many of the recipients that were sent to had the
    network's last answer; empty before the first."""
    first_at: datetime | None
    last_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFact:
    """One attempt, or the decision not to send, for one device of one person."""

    device: DeviceId | None
    network: Network | None
    at: datetime
    attempt: int
    outcome: Outcome | None
    """None: not final, it was tried again."""
    reason: Reason
    status: int
    note: str | None
    """The network's own words."""
    provider_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalFact:
    """What came back of a message after a network had taken it."""

    device: DeviceId | None
    """None where the app named the person in another way."""
    what: str
    """As in `clarion.domain.event.ENGAGEMENTS`, without the prefix: `received`, `opened`, ..."""
    at: datetime


class Facts(Protocol):
    """Reads what was recorded; asked over a local socket of its owner process."""

    async def counts(self, app: AppId, message: MessageId, *, at_least_xid: int) -> MessageCounts:
        """Outcomes by network and reason, once everything below `at_least_xid` is in."""
        ...

    async def trace(
        self, app: AppId, message: MessageId, user: UserId, *, at_least_xid: int
    ) -> Sequence[AttemptFact]:
        """Everything that was recorded of one person's part in a message, in order of time."""
        ...

    async def signals(self, app: AppId, message: MessageId, user: UserId) -> Sequence[SignalFact]:
        """What is known so far of what one person's devices told, in order of time."""
        ...

    async def decisions(
        self, app: AppId, message: MessageId, user: UserId, *, at_least_xid: int
    ) -> Sequence[Decided]:
        """What was decided about each device of one person, and all that it was decided on."""
        ...

    async def rate(self, app: AppId, message: MessageId) -> Sequence[tuple[datetime, int]]:
        """Final outcomes per second of sending, for progress and for reports."""
        ...


class FactsUnavailableError(Exception):
    """The owner of the facts does not answer, or lags too far behind; the sentence says which."""
