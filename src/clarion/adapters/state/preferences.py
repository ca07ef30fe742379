"""People's own decisions in the state store, and the keys that sign their links."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import orjson
import polars as pl

from clarion.adapters.state.categories import record_of
from clarion.adapters.state.consent import record
from clarion.adapters.state.consent_ledger import EPOCH
from clarion.adapters.state.pool import OvertakenError, reading, unit_of_work
from clarion.adapters.state.sealing import Seal
from clarion.adapters.state.statements import statements
from clarion.domain.consent_intake import Asked, Refusal
from clarion.domain.device import Keep
from clarion.domain.ids import AppId, UserId
from clarion.domain.localisation import choose
from clarion.domain.preference import Bits, PreferenceError, frequency, wish, with_wish
from clarion.domain.quiet_windows import text_of_person, windows_of_person
from clarion.ports.categories import CategoryDraft, CategoryRecord, CategoryUnknownError
from clarion.ports.consent import CONSENT_COLUMNS, EVERYTHING
from clarion.ports.preferences import (
    CategoryPreference,
    Opened,
    Preferences,
    PreferencesChange,
    Said,
)
from clarion.wire.signed_link import LinkClaim, claim_of, is_genuine, sign

PURPOSE: Final = b"clarion.preferences.1"
KEY_OCTETS: Final = 32
_NUMBERS: Final = 256
_WRITTEN: Final = ("daily", "weekly", "paused_until", "quiet_hours", "language", "time_zone")


class PostgresPreferences:
    """`ports.preferences.PreferenceBook` over the tables users and consent_ledger."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def read(self, app: AppId, user: UserId) -> Preferences | None:
        """See `ports.preferences.PreferenceBook.read`."""
        async with reading(self._pool) as connection:
            return await _read(connection, app, user)

    async def change(
        self, app: AppId, user: UserId, change: PreferencesChange, said: Said, now: datetime
    ) -> Preferences | None:
        """See `ports.preferences.PreferenceBook.change`."""

        async def work(connection: asyncpg.Connection) -> Preferences | None:
            await connection.fetch(statements("consent")["lock"], app, [user])
            row = await connection.fetchrow(statements("preferences")["person"], app, user)
            if row is None:
                return None
            await _change(connection, app, row, change, said, now)
            return await _read(connection, app, user)

        return await unit_of_work(self._pool, work)


async def _categories(connection: asyncpg.Connection, app: AppId) -> Mapping[str, CategoryRecord]:
    rows = await connection.fetch(statements("categories")["list"], app, None)
    records = [record_of(row) for row in rows if row["archived_at"] is None]
    return {found.draft.category.slug: found for found in records}


async def _read(connection: asyncpg.Connection, app: AppId, user: UserId) -> Preferences | None:
    sql = statements("preferences")
    row = await connection.fetchrow(sql["person"], app, user)
    if row is None:
        return None
    waiting = {found["category_id"] for found in await connection.fetch(sql["waiting"], app, user)}
    bits = _bits(row)
    categories = await _categories(connection, app)
    return Preferences(
        user=user,
        external_id=row["external_id"],
        app_name=row["app_name"],
        app_language=row["app_language"],
        language=row["language"],
        time_zone=row["time_zone"],
        opted_out=row["opted_out"],
        paused_until=row["paused_until"],
        quiet_hours=windows_of_person(row["quiet_hours"]) if row["quiet_hours"] else (),
        categories=[
            CategoryPreference(
                draft=found.draft,
                frequency=frequency(found.draft.category, bits),
                provisional=found.id in waiting,
            )
            for found in categories.values()
        ],
    )


async def _change(
    connection: asyncpg.Connection,
    app: AppId,
    row: asyncpg.Record,
    change: PreferencesChange,
    said: Said,
    now: datetime,
) -> None:
    categories = await _categories(connection, app)
    unknown = ({*change.categories} | change.confirmed) - {*categories}
    if unknown:
        raise CategoryUnknownError(min(unknown))
    sql = statements("preferences")
    waiting = {
        found["category_id"] for found in await connection.fetch(sql["waiting"], app, row["id"])
    }
    bits, asked = _bits(row), []
    for slug, wanted in change.categories.items():
        category = categories[slug].draft.category
        done = wish(category, bits, wanted, provisional=categories[slug].id in waiting)
        bits = with_wish(bits, category, done)
        if done.asked is not None:
            asked.append((slug, done.asked))
    asked += [(slug, Asked.CONFIRMED) for slug in sorted(change.confirmed)]
    if not isinstance(change.opted_out, Keep) and change.opted_out != row["opted_out"]:
        asked.append((EVERYTHING, Asked.WITHDRAWN if change.opted_out else Asked.GRANTED))
    quiet: str | None = row["quiet_hours"]
    if not isinstance(change.quiet_hours, Keep):
        quiet = text_of_person(change.quiet_hours) if change.quiet_hours else None
    new = (
        bits.daily,
        bits.weekly,
        row["paused_until"] if isinstance(change.paused_until, Keep) else change.paused_until,
        quiet,
        row["language"] if isinstance(change.language, Keep) else change.language,
        row["time_zone"] if isinstance(change.time_zone, Keep) else change.time_zone,
    )
    if new != tuple(row[name] for name in _WRITTEN):
        await connection.execute(sql["write"], app, row["id"], *new, now)
    if asked:
        drafts = {slug: found.draft for slug, found in categories.items()}
        recorded = await record(connection, app, _rows(row["id"], asked, drafts, said, now), now)
        for refused in recorded.refused:
            if refused.why is Refusal.OUTDATED:  # a clock that ran ahead wrote the entry before
                raise OvertakenError(refused.why.sentence)
            raise PreferenceError(asked[refused.row][0], refused.why.sentence)


def _rows(
    user: int,
    asked: list[tuple[str, Asked]],
    drafts: Mapping[str, CategoryDraft],
    said: Said,
    now: datetime,
) -> pl.DataFrame:
    def shown(slug: str) -> str:
        if said.text is not None:
            return said.text
        return words(drafts[slug], said.language) if slug in drafts else ""

    count = len(asked)
    return pl.DataFrame(
        {
            "external_id": [None] * count,
            "user": [user] * count,
            "category": [slug for slug, _ in asked],
            "asked": [word.value for _, word in asked],
            "at_us": [(now - EPOCH) // timedelta(microseconds=1)] * count,
            "how": [int(said.how)] * count,
            "text": [shown(slug) for slug, _ in asked],
            "language": [said.language] * count,
            "text_version": [said.text_version] * count,
            "evidence": [orjson.dumps(dict(said.evidence)).decode()] * count,
        },
        schema=CONSENT_COLUMNS,
    )


def words(draft: CategoryDraft, language: str) -> str:
    """A category's name and description as a reader of that language is shown them."""
    tag = choose(language, list(draft.names))
    name, text = draft.name, draft.description
    if tag is not None:
        name, text = draft.names[tag].name, draft.names[tag].description
    return f"{name}: {text}" if text else name


def _bits(row: asyncpg.Record) -> Bits:
    return Bits(
        granted=row["granted"], denied=row["denied"], daily=row["daily"], weekly=row["weekly"]
    )


class PostgresPreferenceLinks:
    """`ports.preferences.PreferenceLinks`; an app's keys are sealed in its row.

    What is sealed is up to two keys, the newest first: a number of one octet and 32 octets each.
    """

    def __init__(self, pool: asyncpg.Pool, seal: Seal) -> None:
        self._pool = pool
        self._seal = seal
        self._sql = statements("preferences")

    async def mint(self, app: AppId, user: UserId, expires_at: datetime) -> str:
        """See `ports.preferences.PreferenceLinks.mint`."""
        keys = await self._keys(app)
        if not keys:
            await self._write(app, [], [(0, self._seal.random(KEY_OCTETS))])
            keys = await self._keys(app)
        number, secret = keys[0]
        claim = LinkClaim(key=number, app=app, user=user, expires_s=int(expires_at.timestamp()))
        return sign(claim, secret, PURPOSE)

    async def open(self, text: str, now: datetime) -> Opened | None:
        """See `ports.preferences.PreferenceLinks.open`."""
        claim = claim_of(text)
        if claim is None or claim.expires_s <= now.timestamp() or claim.app >= 1 << 31:
            return None
        secret = dict(await self._keys(AppId(claim.app))).get(claim.key)
        if secret is None or not is_genuine(text, secret, PURPOSE):
            return None
        return Opened(
            app=AppId(claim.app),
            user=UserId(claim.user),
            expires_at=datetime.fromtimestamp(claim.expires_s, UTC),
        )

    async def rotate(self, app: AppId, *, revoke: bool) -> None:
        """See `ports.preferences.PreferenceLinks.rotate`."""
        keys = await self._keys(app)
        number = (keys[0][0] + 1) % _NUMBERS if keys else 0
        kept = [] if revoke else keys[:1]
        if not await self._write(app, keys, [(number, self._seal.random(KEY_OCTETS)), *kept]):
            await self.rotate(app, revoke=revoke)

    async def _keys(self, app: AppId) -> list[tuple[int, bytes]]:
        async with reading(self._pool) as connection:
            sealed = await connection.fetchval(self._sql["signing_key"], app)
        if sealed is None:
            return []
        return _parsed(self._seal.open(sealed, _purpose(app)))

    async def _write(
        self, app: AppId, old: list[tuple[int, bytes]], new: list[tuple[int, bytes]]
    ) -> bool:
        """Whether nobody was faster."""
        async with reading(self._pool) as connection:
            sealed = await connection.fetchval(self._sql["signing_key"], app)
            there = [] if sealed is None else _parsed(self._seal.open(sealed, _purpose(app)))
            if there != old:
                return False
            text = b"".join(bytes([number]) + key for number, key in new)
            mine = self._seal.close(text, _purpose(app))
            done = await connection.fetchval(self._sql["set_signing_key"], app, mine, sealed)
        return done is not None


def _parsed(text: bytes) -> list[tuple[int, bytes]]:
    size = 1 + KEY_OCTETS
    return [(text[at], text[at + 1 : at + size]) for at in range(0, len(text), size)]


def _purpose(app: AppId) -> str:
    return f"signing key {app}"
