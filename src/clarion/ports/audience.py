"""The columnar copy of users and devices: what planning scans and segments count."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import Int64s, UInt8s
from clarion.domain.ids import AppId


@dataclass(frozen=True, kw_only=True, slots=True)
class AudienceScan:
    """Which rows to read. Empty selections mean everybody of the app."""

    app: AppId
    low: int
    high: int
    """Users whose bucket is in `low` <= bucket < `high`."""
    users: Sequence[int] | None = None
    devices: Sequence[int] | None = None
    at_least_xid: int = 0
    """Wait until the copy has every change that was committed below this transaction id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AudienceColumns:
    """Rows of users joined with their devices; a user without a device has device 0."""

    device: Int64s
    user: Int64s
    network: UInt8s
    environment: UInt8s
    registered_us: Int64s
    dead: npt.NDArray[np.bool_]
    device_opted_out: npt.NDArray[np.bool_]
    user_opted_out: npt.NDArray[np.bool_]
    tokens: "TokenColumn"
    keys: "TokenColumn"


class TokenColumn(Protocol):
    """A column of byte strings that is only turned into objects for the rows that are sent."""

    def take(self, index: Int64s) -> list[bytes]:
        """The values of the rows named by `index`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class AudienceVersion:
    """How far the copy is: it has every change committed below `xid`."""

    xid: int


class Audience(Protocol):
    """Reads the columnar copy; asked over a local socket of its owner process."""

    def scan(self, scan: AudienceScan) -> AsyncIterator[tuple[AudienceVersion, AudienceColumns]]:
        """Stream the rows in pieces of at most some 65,536; all pieces see one version."""
        ...

    async def version(self) -> AudienceVersion:
        """How far the copy is."""
        ...
