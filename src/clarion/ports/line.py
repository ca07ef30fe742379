"""The queue as sending sees it: batches, and what becomes of them in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clarion.domain.content import Message
from clarion.domain.handoffs import (
    BatchSent,
    BatchToSend,
    Int64s,
    Recipients,
    UInt16s,
)
from clarion.domain.ids import CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryBatch:
    """Recipients of one message that are to be tried again, together."""

    message: Message
    recipients: Recipients
    run_at: datetime
    attempt: int
    spent_s: float = 0.0
    """The patience that is spent when it is tried again (`clarion.domain.attempt`)."""
    open_until: datetime | None = None
    """When the first of their quiet hours begin; None: as it was with the batch."""
    silenced: bool = False
    """`message` is not as it was with the batch: it is kept with the new one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Burial:
    """Tokens that their network declared dead: columns of equal length."""

    device: Int64s
    reason: Sequence[int]
    registered_us: Int64s
    """As read when the batch was planned: a token registered again since then is spared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkCommit:
    """What one chunk of a batch came to."""

    batch: BatchToSend
    cursor: int
    """Rows before this one are recorded once this commit is."""
    sent: BatchSent
    retries: Sequence[RetryBatch] = ()
    burial: Burial | None = None
    new_tokens: Mapping[int, str] | None = None
    """Device -> token that replaces the one used."""
    environments: Mapping[int, int] | None = None
    """Device -> environment that turned out to be right."""
    quarantine: str | None = None
    """Put the credential into quarantine, for this reason."""
    faulty_version: int | None = None
    """The version that was sent with: one that replaced it since is spared. None: any version."""
    look_since_xid: int | None = None
    """Answer with what changed in the registry since this version too; None: not wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenWay:
    """People of a batch whose part gives way to a more important message."""

    out: Int64s
    """It has gone out to them."""
    awaited: Int64s
    """It may still go out to them. To others it did not: their part is their own again."""
    awaited_at: datetime | None = None
    """When what is awaited is due; None: nothing is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedBatch:
    """A batch under lease."""

    batch: BatchToSend
    claims: int
    """Leases since the last recorded progress, this one included: a poison batch shows here."""
    canceled: frozenset[MessageId]
    paused: bool
    """Its message is paused: give it back unsent, and it will be held."""
    gave_way: GivenWay


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryChanges:
    """Devices that changed at or after some version; columns of equal length, but for two."""

    xid: int
    """Ask for changes since this one next."""
    device: Int64s
    user: Int64s
    """Whose the device is now; 0 when it was removed."""
    reason: UInt16s
    """Why nothing may be sent to the device any more (`Reason`), 0 where it may."""
    granted: Int64s
    """What the device's user said to the categories, a bit each, as it is now."""
    denied: Int64s
    paused_until_us: Int64s
    merged_from: Int64s
    """Anonymous people who turned out to be somebody since; as long as `merged_into` alone."""
    merged_into: Int64s
    """Who each of them is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkAck:
    """What the line says to a commit."""

    recorded: bool
    """False: the lease was lost, somebody else has the batch; stop."""
    paused: bool = False
    canceled: frozenset[MessageId] = frozenset()
    changes: RegistryChanges | None = None
    """What changed in the registry, where the commit asked; None too when that is a lot, or when
    the commit ended the batch or left recipients to be tried again."""


class SendLine(Protocol):
    """Hand-offs 3 and 4."""

    async def claim(
        self,
        owner: str,
        lanes: Sequence[Lane],
        now: datetime,
        lease_s: float,
        *,
        avoid: Collection[CredentialId] = (),
    ) -> ClaimedBatch | None:
        """Lease the most urgent batch that is ready and whose credential is in order.

        When there is none: one that a quarantine holds although its messages have ended.
        """
        ...

    async def commit(self, chunk: ChunkCommit, now: datetime, lease_s: float) -> ChunkAck:
        """Record a chunk: outcomes, cursor, lease, retries and burials in one transaction.

        The look at the registry that it may bring is taken within the call.
        """
        ...

    async def split(self, claimed: ClaimedBatch, now: datetime) -> None:
        """Replace what is left of a poison batch by two halves."""
        ...

    async def release(self, batch: BatchToSend, run_at: datetime, *, failed: bool = False) -> None:
        """Give a batch back; what is not recorded will be sent by whoever takes it.

        Only a lease that `failed` counts towards finding a poison batch.
        """
        ...

    async def pace(
        self, credential: CredentialId, network: Network, wanted: int, now: datetime
    ) -> float | None:
        """Take `wanted` sends from the credential's shared budget.

        Seconds to wait before them; None when the credential has no budget to keep.
        """
        ...

    async def changes(self, since_xid: int) -> RegistryChanges | None:
        """What changed in the registry; None when that is a lot (an import is running)."""
        ...

    async def changes_among(self, devices: Int64s, since_xid: int) -> RegistryChanges:
        """What changed of these devices."""
        ...

    async def abandon(self, owner: str) -> int:
        """Make ready again what `owner` has leased; how many batches.

        For whoever had trouble with the store: a lease may be theirs without their knowledge.
        """
        ...
