"""The columnar copy of users and devices: what planning scans and segments count."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from clarion.domain.ids import AppId

AUDIENCE_SCHEMA = pl.Schema(
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
"""One row a device, users joined in; a user without a device is one row with device 0 and
network 0. `token` is null for dead devices; `keys` is null but for Web Push."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AudienceScan:
    """Which rows to read: users whose bucket is in `low` <= bucket < `high`."""

    app: AppId
    low: int
    high: int
    at_least_xid: int = 0
    """Wait until the copy has every change that was committed below this transaction id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AudiencePiece:
    """Some rows of a scan; all pieces of one scan see one version of the copy."""

    xid: int
    """The copy had every change committed below this transaction id."""
    rows: pl.DataFrame
    """Columns of `AUDIENCE_SCHEMA`, at most some 65,536 rows."""


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


class AudienceUnavailableError(Exception):
    """The owner of the columnar copy does not answer, or lags too far behind."""
