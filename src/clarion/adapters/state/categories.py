"""Categories in the state store."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
import orjson

from clarion.adapters.state.category_rows import (
    UNKNOWN_ZONES,
    caps_of,
    category_of,
    clock_of,
    quiet_of,
)
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements
from clarion.domain.category import CALLS, MAX_CATEGORIES, Category
from clarion.domain.frequency import MAX_CAPS, Cap, cap_json
from clarion.domain.ids import AppId
from clarion.domain.quiet_windows import QuietHours, quiet_hours_json
from clarion.ports.categories import (
    AppSettings,
    CategoryDraft,
    CategoryExistsError,
    CategoryInUseError,
    CategoryRecord,
    CategoryUnknownError,
    LocalName,
    TooManyCapsError,
    TooManyCategoriesError,
)

_ZONE_NUMBERS: Final = {zone: number for number, zone in UNKNOWN_ZONES.items()}


class PostgresCategories:
    """`ports.categories.Categories` over the tables category and app."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("categories")

    async def all(self, app: AppId) -> Sequence[CategoryRecord]:
        """See `ports.categories.Categories.all`."""
        async with reading(self._pool) as connection:
            return await self._list(connection, app)

    async def get(self, app: AppId, slug: str) -> CategoryRecord | None:
        """See `ports.categories.Categories.get`."""
        async with reading(self._pool) as connection:
            return await self._one(connection, app, slug)

    async def create(self, app: AppId, draft: CategoryDraft, now: datetime) -> CategoryRecord:
        """See `ports.categories.Categories.create`."""

        async def work(connection: asyncpg.Connection) -> CategoryRecord:
            rules = await connection.fetchrow(self._sql["hold_app"], app)
            _check_caps(caps_of(rules["caps"]), draft.category)
            known = await self._list(connection, app)
            if any(record.draft.category.slug == draft.category.slug for record in known):
                raise CategoryExistsError(draft.category.slug)
            taken = {record.draft.category.slot for record in known}
            free = [slot for slot in range(MAX_CATEGORIES) if slot not in taken]
            if not free:
                raise TooManyCategoriesError(f"an app has at most {MAX_CATEGORIES} categories")
            kind = int(draft.category.kind)
            slug, name, description, *rest = (draft.category.slug, *_columns(draft))
            await connection.execute(
                self._sql["insert"], app, slug, name, description, kind, free[0], *rest, now
            )
            await connection.execute(self._sql["new_policy"], app)
            return await self._there(connection, app, slug)

        return await unit_of_work(self._pool, work)

    async def change(
        self, app: AppId, slug: str, draft: CategoryDraft, now: datetime
    ) -> CategoryRecord | None:
        """See `ports.categories.Categories.change`."""
        del now

        async def work(connection: asyncpg.Connection) -> CategoryRecord | None:
            rules = await connection.fetchrow(self._sql["hold_app"], app)
            if await self._one(connection, app, slug) is None:
                return None
            _check_caps(caps_of(rules["caps"]), draft.category)
            await connection.execute(self._sql["update"], app, slug, *_columns(draft))
            await connection.execute(self._sql["new_policy"], app)
            return await self._there(connection, app, slug)

        return await unit_of_work(self._pool, work)

    async def archive(self, app: AppId, slug: str, now: datetime | None) -> CategoryRecord | None:
        """See `ports.categories.Categories.archive`."""

        async def work(connection: asyncpg.Connection) -> CategoryRecord | None:
            rules = await connection.fetchrow(self._sql["hold_app"], app)
            if now is not None and slug in {CALLS, rules["default_category"]}:
                raise CategoryInUseError(f"messages without a category are of {slug!r}")
            known = await self._one(connection, app, slug)
            if known is None or (known.archived_at is None) == (now is None):
                return known
            await connection.execute(self._sql["archive"], app, slug, now)
            return await self._there(connection, app, slug)

        return await unit_of_work(self._pool, work)

    async def settings(self, app: AppId) -> AppSettings | None:
        """See `ports.categories.Categories.settings`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["app"], app)
        return None if row is None else _settings(row)

    async def configure(self, app: AppId, settings: AppSettings) -> AppSettings | None:
        """See `ports.categories.Categories.configure`."""

        async def work(connection: asyncpg.Connection) -> AppSettings | None:
            if await connection.fetchrow(self._sql["hold_app"], app) is None:
                return None
            known = await self._list(connection, app)
            used = {r.draft.category.slug for r in known if r.archived_at is None}
            if settings.default_category not in used:
                raise CategoryUnknownError(settings.default_category)
            for record in known:
                _check_caps(settings.caps, record.draft.category)
            await connection.execute(
                self._sql["configure"],
                app,
                settings.time_zone,
                settings.language,
                settings.default_category,
                _quiet_json(settings.quiet_hours),
                _caps_json(settings.caps),
                settings.throttle_per_minute,
                _ZONE_NUMBERS[settings.unknown_zone],
            )
            return settings

        return await unit_of_work(self._pool, work)

    async def _list(self, connection: asyncpg.Connection, app: AppId) -> Sequence[CategoryRecord]:
        return [record_of(row) for row in await connection.fetch(self._sql["list"], app, None)]

    async def _one(
        self, connection: asyncpg.Connection, app: AppId, slug: str
    ) -> CategoryRecord | None:
        row = await connection.fetchrow(self._sql["list"], app, slug)
        return None if row is None else record_of(row)

    async def _there(self, connection: asyncpg.Connection, app: AppId, slug: str) -> CategoryRecord:
        return record_of(await connection.fetchrow(self._sql["list"], app, slug))


def _check_caps(of_app: Sequence[Cap], category: Category) -> None:
    if len(of_app) + len(category.caps) > MAX_CAPS:
        raise TooManyCapsError(
            f"the app and its category {category.slug} have at most {MAX_CAPS} caps together"
        )


def _columns(draft: CategoryDraft) -> tuple[object, ...]:
    category, digest = draft.category, draft.digest
    names = {tag: [local.name, local.description] for tag, local in draft.names.items()}
    return (
        draft.name,
        draft.description,
        category.can_opt_out,
        int(category.default_state),
        category.caps_apply,
        category.quiet_applies,
        category.urgent,
        category.priority,
        _quiet_json(category.quiet_hours),
        _caps_json(category.caps),
        None
        if digest is None
        else orjson.dumps({"minute": digest.minute, "weekday": digest.weekday}),
        orjson.dumps(names),
    )


def record_of(row: asyncpg.Record) -> CategoryRecord:
    """A row of the statement `list` as a category."""
    names = orjson.loads(row["names"])
    return CategoryRecord(
        id=row["id"],
        draft=CategoryDraft(
            category=category_of(row),
            name=row["name"],
            description=row["description"],
            names={
                tag: LocalName(name=name, description=text) for tag, (name, text) in names.items()
            },
            digest=clock_of(row["digest"]),
        ),
        created_at=row["created_at"],
        archived_at=row["archived_at"],
    )


def _settings(row: asyncpg.Record) -> AppSettings:
    return AppSettings(
        time_zone=row["time_zone"],
        language=row["language"],
        default_category=row["default_category"],
        quiet_hours=quiet_of(row["quiet_hours"]),
        caps=caps_of(row["caps"]),
        throttle_per_minute=row["throttle_per_minute"],
        unknown_zone=UNKNOWN_ZONES[row["unknown_zone"]],
    )


def _quiet_json(quiet: QuietHours | None) -> bytes | None:
    return None if quiet is None else orjson.dumps(quiet_hours_json(quiet))


def _caps_json(caps: Sequence[Cap]) -> bytes | None:
    return orjson.dumps([cap_json(cap) for cap in caps]) if caps else None
