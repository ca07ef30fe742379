"""The rules of apps, remembered for a moment. Implements `clarion.ports.policies.Rulebook`."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.pool import reading
from clarion.adapters.state.statements import statements
from clarion.domain.app_rules import AppRules
from clarion.domain.category import Category, DefaultState, Kind
from clarion.domain.digest import DigestClock
from clarion.domain.frequency import Cap, cap_from
from clarion.domain.ids import AppId
from clarion.domain.policy import UnknownZone
from clarion.domain.quiet_windows import QuietHours, quiet_hours_from

FRESH: Final = timedelta(seconds=1)
"""Changed rules bind messages that are planned this much later."""

_SQL = statements("policies")
_UNKNOWN_ZONES: Final = {
    1: UnknownZone.FAIL_CLOSED,
    2: UnknownZone.APP_ZONE,
    3: UnknownZone.SKIP,
}


class PostgresRulebook:
    """Reads each app's rules in one small statement."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: dict[AppId, tuple[datetime, AppRules]] = {}

    async def of(self, app: AppId, now: datetime) -> AppRules:
        """See the port."""
        return (await self.all_of((app,), now))[app]

    async def all_of(self, apps: Collection[AppId], now: datetime) -> Mapping[AppId, AppRules]:
        """See the port."""
        stale = [app for app in apps if not self._is_fresh(app, now)]
        if stale:
            async with reading(self._pool) as connection:
                rows = await connection.fetch(_SQL["rules"], stale)
            for app in stale:
                mine = [row for row in rows if row["app_id"] == app]
                self._known[app] = (now, _rules(mine) if mine else AppRules())
        return {app: self._known[app][1] for app in apps}

    def _is_fresh(self, app: AppId, now: datetime) -> bool:
        known = self._known.get(app)  # what is from the future: the clock was put back since
        return known is not None and now - FRESH <= known[0] <= now


def _rules(rows: Sequence[asyncpg.Record]) -> AppRules:
    app = rows[0]
    return AppRules(
        time_zone=app["time_zone"],
        default_category=app["default_category"],
        quiet_hours=_quiet(app["app_quiet_hours"]),
        caps=_caps(app["app_caps"]),
        unknown_zone=_UNKNOWN_ZONES[app["unknown_zone"]],
        throttle_per_minute=app["throttle_per_minute"],
        categories={row["slug"]: _category(row) for row in rows},
        ids={row["slug"]: row["id"] for row in rows},
        archived=frozenset(row["slug"] for row in rows if row["archived"]),
        digests={row["slug"]: _clock(row["digest"]) for row in rows if row["digest"]},
    )


def _category(row: asyncpg.Record) -> Category:
    return Category(
        slug=row["slug"],
        kind=Kind(row["kind"]),
        slot=row["slot"],
        can_opt_out=row["can_opt_out"],
        default_state=DefaultState(row["default_state"]),
        caps_apply=row["caps_apply"],
        quiet_applies=row["quiet_applies"],
        urgent=row["urgent"],
        priority=row["priority"],
        quiet_hours=_quiet(row["quiet_hours"]),
        caps=_caps(row["caps"]),
    )


def _quiet(text: str | None) -> QuietHours | None:
    value = None if text is None else json.loads(text)
    return None if value is None else quiet_hours_from(value)


def _caps(text: str | None) -> tuple[Cap, ...]:
    return tuple(cap_from(value) for value in (json.loads(text) or ())) if text else ()


def _clock(text: str) -> DigestClock:
    value = json.loads(text) or {}
    default = DigestClock()
    return DigestClock(
        minute=value.get("minute", default.minute), weekday=value.get("weekday", default.weekday)
    )
