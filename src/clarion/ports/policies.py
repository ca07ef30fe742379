"""The rules that apps and their categories have."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from clarion.domain.app_rules import AppRules
from clarion.domain.ids import AppId


class Rulebook(Protocol):
    """Rules as they were a moment ago at most."""

    async def of(self, app: AppId, now: datetime) -> AppRules:
        """The rules of one app; without any category when there is no such app."""
        ...

    async def all_of(self, apps: Collection[AppId], now: datetime) -> Mapping[AppId, AppRules]:
        """The rules of several apps, in one question."""
        ...
