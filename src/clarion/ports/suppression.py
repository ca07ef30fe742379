"""Lists of names that nothing is sent to, whether the person is known yet or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clarion.domain.ids import AppId


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressionList:
    """A list without its names."""

    name: str
    description: str
    names: int
    """How many there are."""
    erased: int
    """How many more were erased: of these a keyed hash is left."""
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressedName:
    """A name on a list."""

    external_id: str
    reason: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class SuppressedBy:
    """A list that a name is on."""

    name: str
    since: datetime


class Suppressions(Protocol):
    """The lists of an app. People's `suppressed` changes in the same transaction."""

    async def page(self, app: AppId, *, after: str, limit: int) -> Sequence[SuppressionList]:
        """Lists in order of their names, behind a name."""
        ...

    async def get(self, app: AppId, name: str) -> SuppressionList | None:
        """One list."""
        ...

    async def put(
        self, app: AppId, name: str, description: str, now: datetime
    ) -> tuple[SuppressionList, bool]:
        """Make a list, or change its description; whether it is new."""
        ...

    async def delete(self, app: AppId, name: str, now: datetime) -> bool:
        """Remove a list with its names."""
        ...

    async def names(
        self, app: AppId, name: str, *, after: str, limit: int
    ) -> Sequence[SuppressedName]:
        """Names of a list in their order (by octets), after a name."""
        ...

    async def add(
        self, app: AppId, name: str, external_ids: Sequence[str], reason: str, now: datetime
    ) -> int | None:
        """Put names on a list; how many are new, None when there is no such list."""
        ...

    async def remove(
        self, app: AppId, name: str, external_ids: Sequence[str], now: datetime
    ) -> int | None:
        """Take names off a list; how many were there, None when there is no such list."""
        ...

    async def with_name(self, app: AppId, external_id: str) -> Sequence[SuppressedBy]:
        """The lists that a name is on, those too that keep only its hash, by their names."""
        ...
