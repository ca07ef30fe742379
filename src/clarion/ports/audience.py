"""The columnar copy of users and devices: what planning scans and segments count."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

import polars as pl

from clarion.domain.category import Category
from clarion.domain.ids import AppId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.segments.checking import SegmentAt

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

REACH_SCHEMA = pl.Schema(
    {
        "device": pl.Int64,
        "user": pl.Int64,
        "network": pl.UInt8,
        "environment": pl.UInt8,
        "registered_us": pl.Int64,
        "dead": pl.Boolean,
        "device_opted_out": pl.Boolean,
        "user_opted_out": pl.Boolean,
        "token": pl.Binary,
        "keys": pl.Binary,
    }
)
"""What says whether and how a device is reached: the first columns of `AUDIENCE_SCHEMA`, and all
that is known of people whom a request names."""

AUDIENCE_SCHEMA = pl.Schema(
    [
        *REACH_SCHEMA.items(),
        ("language", pl.String()),
        ("time_zone", pl.String()),
        ("zone_source", pl.UInt8()),
        ("country", pl.String()),
        ("granted", pl.UInt64()),
        ("denied", pl.UInt64()),
        ("daily", pl.UInt64()),
        ("weekly", pl.UInt64()),
        ("paused_until_us", pl.Int64()),
        ("quiet_hours", pl.String()),
        ("suppressed", pl.Boolean()),
        ("permission", pl.UInt8()),
    ]
)
"""One row a device, users joined in; a user without a device is one row with device 0 and
network 0.

`token` is null for dead devices; `keys` is null but for Web Push. `language`, `time_zone` and
`country` are the device's, else the person's, else null; `zone_source` says whose the time zone is
(`ZONE_UNKNOWN` and so on). `granted`, `denied`, `daily` and `weekly` have a bit for the slot of
each category. `paused_until_us` is 0 for whoever paused nothing. `quiet_hours` is the person's own
windows as compact JSON, null for most. `permission` is the state's number, 0 unknown."""

ZONE_UNKNOWN: Final = 0
ZONE_OF_DEVICE: Final = 1
ZONE_OF_PERSON: Final = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class AudienceScan:
    """Which rows to read: users whose bucket is in `low` <= bucket < `high`."""

    app: AppId
    low: int
    high: int
    at_least_xid: int = 0
    """Wait until the copy has every change that was committed below this transaction id."""
    segment: SegmentAt | None = None
    """Only rows that are in it; None: all."""
    fields: tuple[str, ...] = ()
    """Fields by the names that segments give them (`tag.plan`, `device.tag.x`, `external_id`).
    Each is one more column of that name: its value as JSON text, null where it is absent. A time is
    `{"time": "RFC 3339"}`. A column of octets (`Binary`) is of nothing but texts, as they are."""
    unread: tuple[str, ...] = ()
    """Columns from `language` on that the asker has no use for: what they hold is not said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AudiencePiece:
    """Some rows of a scan; all pieces of one scan see one version of the copy."""

    xid: int
    """The copy had every change committed below this transaction id."""
    rows: pl.DataFrame
    """Columns of `AUDIENCE_SCHEMA`, then one for each of the scan's fields; at most some 65,536
    rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReachCount:
    """How many devices of a network end in one way; people without a device count once."""

    network: Network | None
    """None for people without a device."""
    reason: Reason
    """`Reason.ACCEPTED` for those who can be sent to."""
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """Who is in a segment, and who of them could be sent to."""

    people: int
    people_reachable: int
    """People with at least one device that can be sent to."""
    rows: Sequence[ReachCount]
    """By network and reason, each pair once."""
    xid: int
    """The copy had every change committed below this transaction id."""


class Audience(Protocol):
    """Reads the columnar copy; asked over a local socket of its owner process."""

    def scan(self, scan: AudienceScan) -> AsyncIterator[AudiencePiece]:
        """Stream the rows in pieces; at least one piece comes, perhaps an empty one.

        Raises `AudienceUnavailableError` when the owner can't be reached in time.
        """
        ...

    async def version(self) -> int:
        """The transaction id below which the copy has every committed change."""
        ...


class AudienceCounts(Protocol):
    """Counts the columnar copy; asked over a local socket of its owner process."""

    async def count(
        self,
        app: AppId,
        segment: SegmentAt | None,
        *,
        sendable: Collection[Network],
        category: Category | None = None,
        now: datetime = _EPOCH,
    ) -> Reach:
        """Count a segment now, by network and by the reason that forbids sending.

        Args:
            app: the app.
            segment: None for everybody.
            sendable: networks that the app has a credential for.
            category: whose consent is needed too; None: reaching people is all that is asked.
            now: when it would be sent: people may have paused until later. A segment's own
                instant comes first.

        Raises:
            AudienceUnavailableError: the owner can't be reached in time.
        """
        ...


class AudienceUnavailableError(Exception):
    """The owner of the columnar copy does not answer, or lags too far behind."""
