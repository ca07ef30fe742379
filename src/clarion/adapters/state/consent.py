"""Consent in the state store: entries and the people's bits change in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg
import orjson
import polars as pl

from clarion.adapters.state.category_rows import category_of
from clarion.adapters.state.consent_ledger import ALL_CATEGORIES, NewLine, append, entry_of
from clarion.adapters.state.pool import OvertakenError, reading, unit_of_work
from clarion.adapters.state.statements import statements
from clarion.adapters.state.suppression import hold_suppressions
from clarion.domain.category import Category
from clarion.domain.consent import Change, How, Verified, genesis, verify
from clarion.domain.consent_intake import Asked, Refusal, Standing, settle
from clarion.domain.ids import AppId, UserId
from clarion.ports.consent import (
    EVERYTHING,
    ConsentLine,
    RecordedConsents,
    RefusedConsent,
)

PAGE: Final = 2_000


@dataclass(kw_only=True, slots=True)
class Effect:
    """What entries do to one person's bits."""

    touched: int = 0
    yes: int = 0
    no: int = 0
    opted_out: bool | None = None

    def take(self, change: Change, slot: int | None) -> None:
        """One more entry; the last of a category counts."""
        if slot is None:
            self.opted_out = change is Change.WITHDRAWN
            return
        bit = 1 << slot
        self.touched |= bit
        self.yes = self.yes | bit if change is Change.GRANTED else self.yes & ~bit
        self.no = self.no | bit if change is Change.WITHDRAWN else self.no & ~bit


class PostgresConsents:
    """`ports.consent.Consents` over the tables consent_ledger and users."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("consent")

    async def record(self, app: AppId, rows: pl.DataFrame, now: datetime) -> RecordedConsents:
        """See `ports.consent.Consents.record`."""

        async def work(connection: asyncpg.Connection) -> RecordedConsents:
            return await record(connection, app, rows, now)

        return await unit_of_work(self._pool, work)

    async def history(self, app: AppId, user: UserId) -> Sequence[ConsentLine]:
        """See `ports.consent.Consents.history`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["history"], app, user)
        return [_line(row) for row in rows]

    async def verify(self, app: AppId) -> Verified:
        """See `ports.consent.Consents.verify`."""
        done = Verified(entries=0, head=genesis(app))
        while True:
            async with reading(self._pool) as connection:
                rows = await connection.fetch(self._sql["chain"], app, done.entries, PAGE)
            found = verify(map(entry_of, rows), before=done.head, number=done.entries + 1)
            done = Verified(
                entries=done.entries + found.entries,
                head=found.head,
                broken_at=found.broken_at,
                because=found.because,
            )
            if done.broken_at is not None or len(rows) < PAGE:
                return done

    async def drifted(self, app: AppId, *, limit: int) -> Sequence[UserId]:
        """See `ports.consent.Consents.drifted`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["drifted"], app, limit)
        return [UserId(row["id"]) for row in rows]


async def record(
    connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame, now: datetime
) -> RecordedConsents:
    """`ports.consent.Consents.record` inside the caller's transaction."""
    sql = statements("consent")
    people = await _people(connection, app, rows, now)
    ids = list(people.names)
    found = await connection.fetch(sql["categories"], app)
    standing = await connection.fetch(sql["standing"], app, ids)
    ledger = _Ledger(
        categories={row["slug"]: (row["id"], category_of(row)) for row in found},
        standing={
            (row["user_id"], row["category"]): Standing(
                change=Change(row["change"]), at_us=row["at_us"]
            )
            for row in standing
        },
    )
    refused: list[RefusedConsent] = []
    places: list[int] = []
    change: list[Change | None] = [None] * rows.height
    for place, row in sorted(enumerate(rows.iter_rows(named=True)), key=lambda r: r[1]["at_us"]):
        user = people.of(row)
        before = len(ledger.lines)
        why = user if isinstance(user, Refusal) else ledger.take(row, user, people.names[user])
        if isinstance(why, Refusal):
            refused.append(RefusedConsent(row=place, why=why))
        else:
            change[place] = why
            if len(ledger.lines) > before:
                places.append(place)
    number = [0] * rows.height
    for place, given in zip(places, await append(connection, app, ledger.lines, now), strict=True):
        number[place] = given
    await apply(connection, app, ledger.effects, now)
    refused.sort(key=lambda each: each.row)
    return RecordedConsents(number=number, change=change, refused=refused)


@dataclass(kw_only=True)
class _Ledger:
    """What rows come to, one after the other."""

    categories: Mapping[str, tuple[int, Category]]
    standing: dict[tuple[int, int], Standing]
    lines: list[NewLine] = field(default_factory=list)
    effects: dict[UserId, Effect] = field(default_factory=dict)

    def take(self, row: Mapping[str, Any], user: UserId, external: str) -> Change | Refusal:
        """One more row of a person who is known; what the ledger says already adds no line."""
        slug, how, at_us = row["category"], How(row["how"]), row["at_us"]
        if slug != EVERYTHING and slug not in self.categories:
            return Refusal.CATEGORY_UNKNOWN
        number, category = self.categories.get(slug, (ALL_CATEGORIES, None))
        before = self.standing.get((user, number))
        change = settle(Asked(row["asked"]), how, category, before, at_us)
        if isinstance(change, Refusal):
            return change
        if before == Standing(change=change, at_us=at_us):  # a report that came before
            return change
        self.standing[user, number] = Standing(change=change, at_us=at_us)
        self.effects.setdefault(user, Effect()).take(
            change, None if category is None else category.slot
        )
        self.lines.append(
            NewLine(
                user=user,
                external=external,
                category=number,
                change=change,
                how=how,
                at_us=at_us,
                text=row["text"] or "",
                language=row["language"] or "",
                text_version=row["text_version"] or "",
                evidence=orjson.loads(row["evidence"] or "{}"),
            )
        )
        return change


async def apply(
    connection: asyncpg.Connection, app: AppId, effects: Mapping[UserId, Effect], now: datetime
) -> None:
    """Change the bits of people whom the caller has locked."""
    if effects:
        await connection.execute(
            statements("consent")["apply"],
            app,
            list(effects),
            [effect.touched for effect in effects.values()],
            [effect.yes for effect in effects.values()],
            [effect.no for effect in effects.values()],
            [effect.opted_out for effect in effects.values()],
            now,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _People:
    """People whom rows name, locked."""

    ids: Mapping[str, UserId]
    names: Mapping[UserId, str]
    """Id -> external id, empty for none."""

    def of(self, row: Mapping[str, Any]) -> UserId | Refusal:
        """The person of a row."""
        external, user = row["external_id"], row["user"]
        if external is not None:
            return self.ids[external]
        if user is None:
            return Refusal.USER_MISSING
        return UserId(user) if user in self.names else Refusal.USER_UNKNOWN


async def _people(
    connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame, now: datetime
) -> _People:
    sql = statements("consent")
    wanted = rows["external_id"].drop_nulls().unique().sort().to_list()
    named = await connection.fetch(sql["named"], app, wanted) if wanted else []
    if len(named) < len(wanted):
        await hold_suppressions(connection, app)
        known = {row["external_id"] for row in named}
        await connection.execute(
            sql["create_people"], app, [name for name in wanted if name not in known], now
        )
        named = await connection.fetch(sql["named"], app, wanted)
    ids = {*(row["id"] for row in named), *rows["user"].drop_nulls().to_list()}
    locked = await connection.fetch(sql["lock"], app, sorted(ids))
    found = {row["external_id"]: UserId(row["id"]) for row in locked if row["external_id"]}
    if any(name not in found for name in wanted):
        raise OvertakenError("another writer removed a person meanwhile")
    return _People(ids=found, names={UserId(row["id"]): row["external_id"] or "" for row in locked})


def _line(row: asyncpg.Record) -> ConsentLine:
    personal = orjson.loads(row["personal"]) if row["personal"] is not None else {"evidence": {}}
    return ConsentLine(
        number=row["number"],
        category=row["slug"],
        change=Change(row["change"]),
        how=How(row["how"]),
        at=row["at"],
        recorded_at=row["recorded_at"],
        text=row["text"],
        language=row["language"],
        text_version=row["text_version"],
        evidence=personal["evidence"],
        hash=row["hash"],
    )
