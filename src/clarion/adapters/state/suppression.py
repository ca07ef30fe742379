"""Suppression lists in the state store."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId
from clarion.ports.suppression import SuppressedBy, SuppressedName, SuppressionList


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptNames:
    """Erased names that lists keep as hashes, by whose key they can be known again."""

    unknown: int
    """By none that this process has: whoever comes again under such a name is not suppressed."""
    old: int
    """By a key from before."""
    untold: int
    """Kept before keys were told apart: by one of ours, or by none; nothing proves which."""


async def kept_names(pool: asyncpg.Pool) -> KeptNames:
    """How many kept names can be known again, and how many can't."""
    async with reading(pool) as connection:
        row = await connection.fetchrow(statements("suppression")["hashes_by_key"])
    return KeptNames(unknown=row["unknown"], old=row["old"], untold=row["untold"])


async def hold_suppressions(connection: asyncpg.Connection, app: AppId) -> None:
    """Call before making people who have external ids, in the same unit of work."""
    await connection.execute(statements("suppression")["hold_shared"], app)


class PostgresSuppressions:
    """`ports.suppression.Suppressions` over the tables suppression_list and suppression."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("suppression")

    async def page(self, app: AppId, *, after: str, limit: int) -> Sequence[SuppressionList]:
        """See `ports.suppression.Suppressions.page`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["page"], app, None, after, limit)
        return [_list(row) for row in rows]

    async def get(self, app: AppId, name: str) -> SuppressionList | None:
        """See `ports.suppression.Suppressions.get`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["page"], app, name, "", 1)
        return None if row is None else _list(row)

    async def put(
        self, app: AppId, name: str, description: str, now: datetime
    ) -> tuple[SuppressionList, bool]:
        """See `ports.suppression.Suppressions.put`."""

        async def work(connection: asyncpg.Connection) -> tuple[SuppressionList, bool]:
            created = await connection.fetchval(self._sql["put"], app, name, description, now)
            row = await connection.fetchrow(self._sql["page"], app, name, "", 1)
            return _list(row), created

        return await unit_of_work(self._pool, work)

    async def delete(self, app: AppId, name: str, now: datetime) -> bool:
        """See `ports.suppression.Suppressions.delete`."""

        async def work(connection: asyncpg.Connection) -> bool:
            await connection.execute(self._sql["hold_alone"], app)
            found = await connection.fetchval(self._sql["lock"], app, name)
            if found is None:
                return False
            names = await connection.fetchval(self._sql["delete"], found)
            await connection.execute(self._sql["mark"], app, names or [], now)
            return True

        return await unit_of_work(self._pool, work)

    async def names(
        self, app: AppId, name: str, *, after: str, limit: int
    ) -> Sequence[SuppressedName]:
        """See `ports.suppression.Suppressions.names`."""
        async with reading(self._pool) as connection:
            found = await connection.fetchrow(self._sql["page"], app, name, "", 1)
            if found is None:
                return []
            rows = await connection.fetch(self._sql["names"], found["id"], after, limit)
        return [
            SuppressedName(
                external_id=row["external_id"], reason=row["reason"], created_at=row["created_at"]
            )
            for row in rows
        ]

    async def add(
        self, app: AppId, name: str, external_ids: Sequence[str], reason: str, now: datetime
    ) -> int | None:
        """See `ports.suppression.Suppressions.add`."""

        async def work(connection: asyncpg.Connection) -> int | None:
            await connection.execute(self._sql["hold_alone"], app)
            found = await connection.fetchval(self._sql["lock"], app, name)
            if found is None:
                return None
            names = sorted(set(external_ids))
            added = await connection.fetch(self._sql["add"], found, app, names, reason, now)
            await connection.execute(self._sql["mark"], app, names, now)
            return len(added)

        return await unit_of_work(self._pool, work)

    async def remove(
        self, app: AppId, name: str, external_ids: Sequence[str], now: datetime
    ) -> int | None:
        """See `ports.suppression.Suppressions.remove`."""

        async def work(connection: asyncpg.Connection) -> int | None:
            await connection.execute(self._sql["hold_alone"], app)
            found = await connection.fetchval(self._sql["lock"], app, name)
            if found is None:
                return None
            gone = await connection.fetch(self._sql["remove"], found, list(external_ids))
            await connection.execute(
                self._sql["mark"], app, [row["external_id"] for row in gone], now
            )
            return len(gone)

        return await unit_of_work(self._pool, work)

    async def with_name(self, app: AppId, external_id: str) -> Sequence[SuppressedBy]:
        """See `ports.suppression.Suppressions.with_name`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["with_name"], app, external_id)
        return [SuppressedBy(name=row["name"], since=row["since"]) for row in rows]


def _list(row: asyncpg.Record) -> SuppressionList:
    return SuppressionList(
        name=row["name"],
        description=row["description"],
        names=row["names"],
        erased=row["erased"],
        created_at=row["created_at"],
    )
