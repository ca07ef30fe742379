"""The queue between the stages: hand-offs and state that change in one transaction."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from clarion.domain.content import Message
from clarion.domain.decided import Decided
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import (
    BatchSent,
    BatchToSend,
    Int64s,
    Lateness,
    Recipients,
    ShardToPlan,
    UInt16s,
)
from clarion.domain.ids import AppId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.policy import Policy
from clarion.ports.digests import Gathered
from clarion.ports.frequency import Eviction, Usage
from clarion.ports.messages import Target


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimedShard:
    """A shard under lease, with what planning needs to know of its message."""

    shard: ShardToPlan
    fence: int
    claims: int
    """Leases so far, this one included."""
    target: Target
    at_least_xid: int
    """The audience must have every change below this: all that was committed before the message."""
    message: Message
    policy: Policy
    counted: bool
    """Whether some cap of the app counts what is sent: then it is written down."""
    digest: bool
    """It stands for messages that were gathered: only for their people (`DigestDesk`)."""
    per_minute: int | None
    """The lowest of the rates that bind the message: the app's and its own."""
    started_at: datetime
    """When the message's time had come: what ages in segments count from."""
    begun: bool = False
    """Some recipients of the message are planned for: that nobody misses a word is settled."""


class ShardUnreadableError(Exception):
    """A shard's message was written in a form that this version does not know.

    The shard is held, so that nobody trips over it again and again. It goes back when a planner
    starts, or when its message is paused and resumed; withdrawing the message ends it.
    """

    def __init__(self, message: MessageId, low: int, cause: str) -> None:
        super().__init__(f"message {message} can't be planned by this version: {cause}")
        self.message = message
        self.low = low


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedBatch:
    """A batch that planning made."""

    key: str
    """Deterministic: planning the same shard again makes the same keys."""
    network: Network
    credential: CredentialId
    planned_xid: int
    rows: pl.DataFrame
    """Columns of the audience: device, user, registered_us, environment, token, keys."""
    run_at: datetime | None = None
    """Not before this instant; None: at once."""
    lateness: Lateness | None = None
    """How `rows`, by their column `quiet`, are judged when it comes late."""
    content: Sequence[Message] | None = None
    """The variants that `rows` names by its column `message`; None: the message as accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rulings:
    """What is recorded of a shard's decisions besides its batches and skips."""

    decided: Sequence[Decided] = ()
    sent: Ledger | None = None
    """What the shard adds to what caps count; None: no cap counts it."""
    usage: Usage | None = None
    """What the decisions were made on; None: no cap was asked."""
    evictions: Sequence[Eviction] = ()
    gathered: Sequence[Gathered] = ()


class OvertakenError(Exception):
    """Another message was planned for the same people since their ledger was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """The devices of named users and devices, as the registry has them now."""

    xid: int
    rows: pl.DataFrame
    """Columns of the audience."""
    unknown: Sequence[str]
    """What was named and is not there: external ids, `label:value`, or device ids."""


class Addressees(Protocol):
    """Who is named, and over what they can be reached."""

    async def resolve(self, app: AppId, target: Target, fields: Sequence[str] = ()) -> Resolved:
        """The rows of named users, aliases and devices.

        `fields` are more columns, as `AudienceScan.fields` names and writes them.
        """
        ...

    async def credentials(self, app: AppId) -> Mapping[Network, CredentialId]:
        """Which networks the app can send over (a quarantined credential counts: it queues)."""
        ...


class PlanLine(Addressees, Protocol):
    """Hand-offs 1 and 2."""

    async def expand_due(self, now: datetime, *, limit: int) -> int:
        """Turn messages whose time has come into shards, `limit` of each lane; how many."""
        ...

    async def claim_shard(
        self, owner: str, now: datetime, lease_s: float, *, named: bool | None = None
    ) -> ClaimedShard | None:
        """Lease the most urgent shard that is ready.

        `named`: one of named recipients, or one for everybody; None: the former go first. Raises
        `ShardUnreadableError` for one that this version can't read; it is held then.
        """
        ...

    async def renew_shard(self, claimed: ClaimedShard, until: datetime) -> bool:
        """Keep the lease of a shard that takes long; False when it was lost meanwhile."""
        ...

    async def commit_shard(
        self,
        claimed: ClaimedShard,
        batches: Sequence[PlannedBatch],
        skipped: Sequence[BatchSent],
        now: datetime,
        rulings: Rulings | None = None,
    ) -> bool:
        """Record a plan and finish the shard, in one transaction.

        False when the lease was lost meanwhile: nothing was recorded then.

        Raises:
            OvertakenError: nothing was recorded; the shard has to be decided again.
        """
        ...

    async def postpone(
        self, claimed: ClaimedShard, run_at: datetime, now: datetime, *, why: str | None = None
    ) -> None:
        """Give a shard back that can't be planned now; one of a withdrawn message is at its end."""
        ...

    async def refuse(self, claimed: ClaimedShard, now: datetime, *, why: str) -> bool:
        """Pause a message that can't be sent to everybody as its sender wants, and say why.

        It is planned again from the start when it is resumed. False, and nothing has changed, when
        some of its recipients were planned for meanwhile.
        """
        ...

    async def readmit(self) -> int:
        """Make ready again what could not be read, for a planner that may be newer; how many."""
        ...


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
    """Devices that changed at or after some version; columns of equal length."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkAck:
    """What the line says to a commit."""

    recorded: bool
    """False: the lease was lost, somebody else has the batch; stop."""
    paused: bool = False
    canceled: frozenset[MessageId] = frozenset()
    changes: RegistryChanges | None = None
    """What changed in the registry, where the commit asked; None too when that is a lot."""


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
