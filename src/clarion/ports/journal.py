"""The urgent path's store: look up a group of messages, then journal them in one commit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import BatchSent, BatchToSend, Int64s, UInt8s
from clarion.domain.ids import AppId, BatchId, CredentialId
from clarion.domain.network import Network
from clarion.ports.messages import Acceptance, KeyReused, NewMessage, Replayed


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

    def __len__(self) -> int:
        return len(self.device)


@dataclass(frozen=True, kw_only=True, slots=True)
class Looked:
    """What the store knows about a group of new messages."""

    xid: int
    rows: NamedRows
    unknown: Sequence[Sequence[str]]
    """Per message, the names that are not there."""
    seen: Mapping[int, Replayed | KeyReused]
    """Messages whose idempotency key was used before."""
    credentials: Mapping[tuple[AppId, Network], KnownCredential]


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalEntry:
    """A group of messages with what became of their recipients so far."""

    news: Sequence[NewMessage]
    batches: Sequence[BatchToSend]
    leased: Sequence[bool]
    """Per batch: being sent by this process (True), or left for whoever takes it."""
    skipped: Sequence[BatchSent]
    owner: str
    lease_s: float


class Journal(Protocol):
    """Makes accepted messages durable."""

    async def look(self, news: Sequence[NewMessage], now: datetime) -> Looked:
        """Resolve the group's targets and check its idempotency keys."""
        ...

    async def batch_ids(self, count: int) -> Sequence[BatchId]:
        """Ids for new batches."""
        ...

    async def write(self, entry: JournalEntry, now: datetime) -> None:
        """Commit the group. Raises `KeyRaceError` when another process took one of its keys."""
        ...

    async def accept(self, new: NewMessage, now: datetime) -> Acceptance:
        """Accept one message that planning will take up when its time comes."""
        ...


class KeyRaceError(Exception):
    """Another process accepted a message with one of the group's idempotency keys meanwhile."""
