"""Templates and partials in PostgreSQL. Implements `clarion.ports.templates`."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg
import msgspec

from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId
from clarion.ports.templates import (
    MAX_PARTIALS,
    MAX_TEMPLATES,
    Partial,
    StoredTemplate,
    TemplateChangedError,
    TemplateRow,
    TemplateVersion,
    TemplateWords,
    TooManyTemplatesError,
)

_WORDS = msgspec.json.Decoder(TemplateWords)
_ENCODER = msgspec.json.Encoder(order="deterministic")


class PostgresTemplates:
    """Templates and their versions."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("templates")

    async def get(self, app: AppId, name: str, version: int | None = None) -> StoredTemplate | None:
        """See the port."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["get"], app, name, version)
        return None if row is None else _stored(row)

    async def page(
        self, app: AppId, *, after: int | None, limit: int, archived: bool
    ) -> Sequence[TemplateRow]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["page"], app, after or 0, limit, archived)
        return [TemplateRow(**row) for row in rows]

    async def versions(self, app: AppId, name: str) -> Sequence[TemplateVersion]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["versions"], app, name)
        return [TemplateVersion(**row) for row in rows]

    async def save(
        self,
        app: AppId,
        name: str,
        words: TemplateWords,
        *,
        note: str,
        newest: int | None,
        now: datetime,
    ) -> StoredTemplate:
        """See the port."""
        text, sql = _ENCODER.encode(words), self._sql

        async def work(connection: asyncpg.Connection) -> StoredTemplate:
            held = await connection.fetchrow(sql["hold"], app, name, now)
            number, last = held["id"], held["version"]
            if newest is not None and newest != last:
                raise TemplateChangedError(last)
            if last == 0 and await connection.fetchval(sql["count"], app) > MAX_TEMPLATES:
                raise TooManyTemplatesError
            if not last or not await connection.fetchval(sql["same"], number, last, text):
                await connection.execute(sql["add_version"], number, last + 1, text, note, now)
            return _stored(await connection.fetchrow(sql["get"], app, name, None))

        return await unit_of_work(self._pool, work)

    async def archive(self, app: AppId, name: str, at: datetime | None) -> bool:
        """See the port."""
        async with reading(self._pool) as connection:
            tag = await connection.execute(self._sql["archive"], app, name, at)
        return str(tag) != "UPDATE 0"


class PostgresPartials:
    """Partials."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("templates")

    async def texts(self, app: AppId, names: Sequence[str]) -> Mapping[str, str]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["partial_texts"], app, list(names))
        return {row["name"]: row["source"] for row in rows}

    async def all(self, app: AppId) -> Sequence[Partial]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["all_partials"], app)
        return [Partial(**row) for row in rows]

    async def put(self, app: AppId, name: str, source: str, now: datetime) -> Partial:
        """See the port."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(
                self._sql["put_partial"], app, name, source, now, MAX_PARTIALS
            )
        if row is None:
            raise TooManyTemplatesError
        return Partial(**row)

    async def delete(self, app: AppId, name: str) -> bool:
        """See the port."""
        async with reading(self._pool) as connection:
            tag = await connection.execute(self._sql["delete_partial"], app, name)
        return str(tag) != "DELETE 0"

    async def users_of(self, app: AppId, name: str) -> Sequence[str]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["users_of"], app, name)
        return [row["name"] for row in rows]


def _stored(row: asyncpg.Record) -> StoredTemplate:
    fields = dict(row)
    return StoredTemplate(words=_WORDS.decode(fields.pop("content")), **fields)
