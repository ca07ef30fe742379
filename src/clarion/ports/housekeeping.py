"""What keeps the line moving when processes die."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clarion.domain.lanes import Lane
from clarion.domain.network import Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What waits in a lane now."""

    lane: Lane
    ready: int
    """Batches that could be leased."""
    oldest_s: float
    """How long the first of them has been ready."""


class Housekeeping(Protocol):
    """What keeps the line moving when processes die."""

    async def abandon(self, owner: str) -> int:
        """Make ready again what a dead process had leased; how many pieces."""
        ...

    async def sweep(self, now: datetime) -> int:
        """Make ready again what was leased by processes that were not heard of since."""
        ...

    async def backlog(self, now: datetime) -> Sequence[Backlog]:
        """What waits, per lane; every lane is told, empty ones too."""
        ...

    async def quarantined(self) -> Mapping[Network, int]:
        """Credentials in quarantine; every network is told."""
        ...
