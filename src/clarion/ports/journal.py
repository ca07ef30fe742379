"""The urgent path's store: look up a group of messages, then journal them in one commit."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clarion.domain.app_rules import AppRules
from clarion.domain.decided import Decided
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import BatchSent, BatchToSend, Int64s, UInt8s
from clarion.domain.ids import AppId, BatchId, CredentialId
from clarion.domain.network import Network
from clarion.domain.suppression import NotThere
from clarion.ports.messages import (
    Acceptance,
    InFlight,
    KeyReused,
    NewMessage,
    Replayed,
)
from clarion.ports.store import StoreUnavailableError


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownCredential:
    """A credential that an app has for a network."""

    id: CredentialId
    active: bool
    """False: in quarantine, what is sent over it must queue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedRows:
    """Devices of named people, as columns of n rows; a person without a device has device 0."""

    ix: Int64s
    """Index of the message that the row is for."""
    device: Int64s
    user: Int64s
    network: UInt8s
    environment: UInt8s
    registered_us: Int64s
    dead: npt.NDArray[np.bool_]
    device_opted_out: npt.NDArray[np.bool_]
    user_opted_out: npt.NDArray[np.bool_]
    tokens: Sequence[bytes | None]
    """None where the device is dead."""
    keys: Sequence[bytes | None]
    language: Sequence[str | None]
    """What follows is as in `clarion.ports.audience.AUDIENCE_SCHEMA`."""
    time_zone: Sequence[str | None]
    zone_source: UInt8s
    country: Sequence[str | None]
    granted: Int64s
    denied: Int64s
    daily: Int64s
    weekly: Int64s
    paused_until_us: Int64s
    quiet_hours: Sequence[str | None]
    suppressed: npt.NDArray[np.bool_]
    permission: UInt8s

    def __len__(self) -> int:
        return len(self.device)


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What the store knows about a group of new messages."""

    xid: int
    rows: NamedRows
    unknown: Sequence[Sequence[NotThere]]
    """Per message, the names that are not there."""
    seen: Mapping[int, Replayed | KeyReused]
    """Messages whose idempotency key was used before."""
    credentials: Mapping[tuple[AppId, Network], KnownCredential]
    rules: Mapping[AppId, AppRules]


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """A group of messages with what became of their recipients so far."""

    news: Sequence[NewMessage]
    batches: Sequence[BatchToSend]
    leased: Sequence[bool]
    """Per batch: being sent by this process (True), or left for whoever takes it."""
    skipped: Sequence[BatchSent]
    decided: Sequence[Decided]
    sent: Mapping[AppId, Ledger]
    """What caps of an app count; an app without caps is not in it."""
    owner: str
    lease_s: float


class Journal(Protocol):
    """Makes accepted messages durable."""

    def keys_held(
        self, news: Sequence[NewMessage], now: datetime
    ) -> AbstractAsyncContextManager[Mapping[int, Replayed | KeyReused | InFlight]]:
        """Keep the group's idempotency keys from everybody else for as long as it lasts.

        Yields what is to be said of messages whose key somebody else holds, by index: they work on
        the first request with that key, or have just committed it and hold the key for a moment
        more. Nothing is asked for a group without keys.
        """
        ...

    async def look(self, news: Sequence[NewMessage], now: datetime) -> Looked:
        """Resolve the group's targets and check its idempotency keys."""
        ...

    async def batch_ids(self, count: int) -> Sequence[BatchId]:
        """Ids for new batches."""
        ...

    async def write(self, entry: JournalEntry, now: datetime) -> None:
        """Commit the group, whose keys are held.

        Raises:
            CredentialGoneError: nothing was committed; some credentials are no longer there.
            KeyRaceError: nothing was committed; a key was taken by somebody who did not hold it.
        """
        ...

    async def accept(self, new: NewMessage, now: datetime, *, held: bool = False) -> Acceptance:
        """Accept one message that planning will take up when its time comes.

        Args:
            new: the message.
            now: the present instant.
            held: its key is held by the caller; otherwise it is held meanwhile, or in flight.

        Raises:
            MaybeSentError: the commit had no answer.
        """
        ...


class KeyRaceError(StoreUnavailableError):
    """An idempotency key was taken although this process held it.

    The hold was lost with its connection. Nothing of the group is accepted; who asks again gets
    the stored answer.
    """


class CredentialGoneError(Exception):
    """Credentials were deleted between the look and the commit."""

    def __init__(self, credentials: Collection[CredentialId]) -> None:
        super().__init__(f"deleted meanwhile: credentials {sorted(credentials)}")
        self.credentials = credentials
