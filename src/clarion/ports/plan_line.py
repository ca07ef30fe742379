"""The queue as planning sees it: shards, and what becomes of them in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from clarion.domain.content import Message
from clarion.domain.decided import DecidedColumns
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import (
    BatchSent,
    Lateness,
    ShardToPlan,
)
from clarion.domain.ids import AppId, CredentialId, MessageId
from clarion.domain.network import Network
from clarion.domain.policy import Policy
from clarion.domain.suppression import NotThere
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

    decided: Sequence[DecidedColumns] = ()
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
    unknown: Sequence[NotThere]
    """What was named and is not there."""


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
