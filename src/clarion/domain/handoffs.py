"""What one stage hands to the next: columns, with the keys that make every handler idempotent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from clarion.domain.content import Message
from clarion.domain.ids import AppId, BatchId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network

Int64s = npt.NDArray[np.int64]
UInt16s = npt.NDArray[np.uint16]
UInt8s = npt.NDArray[np.uint8]
Float32s = npt.NDArray[np.float32]


def merge_column(number: int) -> str:
    """What a merge column is called where recipients are rows of a data frame."""
    return f"merge_{number}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CampaignDue:
    """Hand-off 1: a message whose time has come and whose audience is still a description."""

    app: AppId
    message: MessageId
    lane: Lane


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardToPlan:
    """Hand-off 2: the users of buckets `low` <= bucket < `high` of one message's audience."""

    app: AppId
    message: MessageId
    lane: Lane
    low: int
    high: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipients:
    """Columns of equal length, one row a device. `tokens` and `keys` are what the network needs."""

    device: Int64s
    user: Int64s
    registered_us: Int64s
    """When the token was last registered, microseconds since the epoch (Apple's 410 rule)."""
    environment: UInt8s
    """`Environment` of APNs tokens; `TokenKind` of FCM tokens; 0 elsewhere."""
    tokens: Sequence[bytes]
    """APNs token (hex), FCM token or FID, or Web Push endpoint URL, as ASCII bytes."""
    keys: Sequence[bytes] | None = None
    """Web Push only: the user agent's public key (65 bytes) followed by its auth secret (16)."""
    message: UInt16s | None = None
    """Index into the batch's messages; None means that all rows belong to message 0."""
    quiet: UInt16s | None = None
    """Index into `BatchToSend.lateness`'s kinds; None where nobody has quiet hours."""
    merge: Sequence[Sequence[str]] | None = None
    """k columns of one text a row, for the markers of `domain.merge`; None: nothing is merged."""

    def __len__(self) -> int:
        return len(self.device)

    def rows(self, low: int, high: int) -> "Recipients":
        """The rows `low` <= i < `high`, without copying the numeric columns."""
        return Recipients(
            device=self.device[low:high],
            user=self.user[low:high],
            registered_us=self.registered_us[low:high],
            environment=self.environment[low:high],
            tokens=self.tokens[low:high],
            keys=None if self.keys is None else self.keys[low:high],
            message=None if self.message is None else self.message[low:high],
            quiet=None if self.quiet is None else self.quiet[low:high],
            merge=None if self.merge is None else [column[low:high] for column in self.merge],
        )

    def take(self, index: Int64s) -> "Recipients":
        """The rows named by `index`, in that order."""
        chosen = index.tolist()
        return Recipients(
            device=self.device[index],
            user=self.user[index],
            registered_us=self.registered_us[index],
            environment=self.environment[index],
            tokens=[self.tokens[i] for i in chosen],
            keys=None if self.keys is None else [self.keys[i] for i in chosen],
            message=None if self.message is None else self.message[index],
            quiet=None if self.quiet is None else self.quiet[index],
            merge=None
            if self.merge is None
            else [[column[i] for i in chosen] for column in self.merge],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchToSend:
    """Hand-off 3: recipients of one network and one credential, ready for the wire."""

    id: BatchId
    app: AppId
    lane: Lane
    network: Network
    credential: CredentialId
    messages: Sequence[Message]
    recipients: Recipients
    cursor: int
    """Rows before this one are already recorded."""
    attempt: int
    """0 for the first attempt; retries form new batches with the next number."""
    spent_s: float = 0.0
    """What earlier attempts took, with the waits after them that the network caused."""
    first_attempt_at: datetime
    fence: int
    """Rises with every lease; a commit with an older fence matches nothing."""
    planned_xid: int
    """The registry version that the recipients were read at: newer changes win at dispatch."""
    variants: bool = False
    """`messages` are the variants of one message, and are kept with the batch."""
    lateness: "Lateness | None" = None
    """How the batch is judged when it is sent later than it was planned for; None: nobody has
    quiet hours."""
    displaces: bool = False
    """Other messages' parts gave way to some of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lateness:
    """The quiet hours that bind a batch's recipients."""

    open_until: datetime
    """Before this instant it is quiet for none of them."""
    owners: Sequence[Mapping[str, object]]
    """The quiet hours of the app and the category, as JSON values."""
    kinds: Sequence[tuple[str | None, str | None]]
    """The distinct pairs of a time zone (None: not known) and the text of a person's own windows
    (None: no such)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What a provider said to `n` requests, as columns in request order."""

    verdict: UInt8s
    reason: UInt16s
    status: UInt16s
    """The network's status code (HTTP); 0 when there was no answer."""
    retry_after_s: Float32s
    """How long the network asks to wait; NaN when it does not say."""
    dead_us: Int64s
    """When the network knew that the token was dead, microseconds; 0 when it does not say."""
    provider_reason: Mapping[int, str] = field(default_factory=dict)
    """Row -> the network's own words, only where it did not simply accept."""
    provider_id: Mapping[int, str] | Sequence[str] | None = None
    """Row -> the network's id for the accepted message, where known."""
    new_token: Mapping[int, str] = field(default_factory=dict)
    """Row -> the token that replaces the one used."""
    environment: Mapping[int, int] = field(default_factory=dict)
    """Row -> the environment that turned out to be right for the token."""


class ChunkKind(IntEnum):
    """Where a chunk of outcomes was decided."""

    SENT = 1
    PLANNED = 2
    DECIDED = 3
    """Not outcomes: `clarion.domain.decided`."""


OUTCOME_ROW = np.dtype(
    [
        ("device", "<i8"),
        ("user", "<i8"),
        ("at_us", "<i8"),
        ("reason", "<u2"),
        ("status", "<u2"),
        ("message", "<u2"),
        ("note", "<u2"),
        ("outcome", "u1"),
        ("network", "u1"),
        ("attempt", "u1"),
        ("verdict", "u1"),
    ]
)
"""One attempt of one recipient. `outcome` 0 = not final, will be tried again; `note` is 1 + index
into the chunk's notes (the network's words), 0 for none; `message` indexes the batch's messages;
`device` 0 = a user without a device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSent:
    """Hand-off 4: the recorded outcomes of one chunk, all of one app.

    The key is (batch, sequence): a chunk is recorded once or not at all.
    """

    app: AppId
    kind: ChunkKind
    messages: Sequence[MessageId]
    rows: npt.NDArray[np.void]
    """Structured array of `OUTCOME_ROW`."""
    notes: Sequence[str] = ()
    provider_ids: Mapping[int, str] = field(default_factory=dict)
    alike: bool = False
    """Rows are known to differ by device and user alone; False: nobody has looked."""
