"""The rules of apps, remembered for a moment. Implements `clarion.ports.policies.Rulebook`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.category_rows import (
    UNKNOWN_ZONES,
    caps_of,
    category_of,
    clock_of,
    quiet_of,
)
from clarion.adapters.state.pool import reading
from clarion.adapters.state.statements import statements
from clarion.domain.app_rules import AppRules
from clarion.domain.digest import DigestClock
from clarion.domain.ids import AppId

FRESH: Final = timedelta(seconds=1)
"""Changed rules bind messages that are planned this much later."""

_SQL = statements("policies")


class PostgresRulebook:
    """Reads each app's rules in one small statement."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: dict[AppId, tuple[datetime, AppRules]] = {}

    async def of(self, app: AppId, now: datetime) -> AppRules:
        """See the port."""
        known = self._fresh(app, now)
        return (await self.all_of((app,), now))[app] if known is None else known

    async def all_of(self, apps: Collection[AppId], now: datetime) -> Mapping[AppId, AppRules]:
        """See the port."""
        stale = [app for app in apps if self._fresh(app, now) is None]
        if stale:
            async with reading(self._pool) as connection:
                rows = await connection.fetch(_SQL["rules"], stale)
            for app in stale:
                mine = [row for row in rows if row["app_id"] == app]
                self._known[app] = (now, _rules(mine) if mine else AppRules())
        return {app: self._known[app][1] for app in apps}

    def _fresh(self, app: AppId, now: datetime) -> AppRules | None:
        known = self._known.get(app)  # what is from the future: the clock was put back since
        return known[1] if known is not None and now - FRESH <= known[0] <= now else None


def _rules(rows: Sequence[asyncpg.Record]) -> AppRules:
    app = rows[0]
    return AppRules(
        time_zone=app["time_zone"],
        default_category=app["default_category"],
        quiet_hours=quiet_of(app["app_quiet_hours"]),
        caps=caps_of(app["app_caps"]),
        unknown_zone=UNKNOWN_ZONES[app["unknown_zone"]],
        throttle_per_minute=app["throttle_per_minute"],
        categories={row["slug"]: category_of(row) for row in rows},
        ids={row["slug"]: row["id"] for row in rows},
        archived=frozenset(row["slug"] for row in rows if row["archived"]),
        digests={
            row["slug"]: clock_of(row["digest"]) or DigestClock() for row in rows if row["digest"]
        },
    )
