"""Tenants: the apps that share one platform."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from clarion.domain.ids import AppId


@dataclass(frozen=True, kw_only=True, slots=True)
class AppRecord:
    """A tenant."""

    id: AppId
    name: str
    time_zone: str
    language: str
    created_at: datetime


class Apps(Protocol):
    """Tenants."""

    async def create(
        self, name: str, *, time_zone: str = "UTC", language: str = "en", now: datetime
    ) -> AppRecord:
        """Make a tenant. Raises `AppExistsError` when the name is taken."""
        ...

    async def get(self, app: AppId) -> AppRecord | None:
        """The tenant of that id."""
        ...

    async def find(self, name: str) -> AppRecord | None:
        """The tenant of that name."""
        ...

    async def all(self) -> Sequence[AppRecord]:
        """Every tenant in order of its id."""
        ...


class AppExistsError(Exception):
    """An app of that name exists."""
