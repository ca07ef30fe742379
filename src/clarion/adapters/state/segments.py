"""Segments in the state store. Implements `clarion.ports.segments.Segments`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import asyncpg
import orjson

from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId, MessageId
from clarion.domain.segments.checking import SegmentAt, SegmentReferenceError, whole
from clarion.domain.segments.expression import Expression, InSegment
from clarion.domain.segments.json_form import read_json
from clarion.domain.segments.json_writing import to_json
from clarion.domain.segments.measure import named
from clarion.domain.segments.problems import SegmentFault
from clarion.ports.segments import (
    Reference,
    SegmentChangedError,
    SegmentDraft,
    SegmentInUseError,
    SegmentRecord,
    SegmentVersion,
    TooManySegmentsError,
)

MAX_SEGMENTS: Final = 1000
"""Segments of an app: all of them are looked at whenever one is changed."""
MAX_KNOWN: Final = 64
"""Apps whose segments are remembered."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What expressions of an app may name."""

    stamp: str
    segments: Mapping[str, Expression]
    versions: Mapping[str, int]
    lists: Mapping[str, int]


class PostgresSegments:
    """Segments are read anew only when the app's stamp has changed: one small question."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("segments")
        self._known: dict[AppId, _Known] = {}

    async def all(self, app: AppId) -> Sequence[SegmentRecord]:
        """See the port."""
        async with reading(self._pool) as connection:
            return await self._list(connection, app)

    async def get(self, app: AppId, name: str) -> SegmentRecord | None:
        """See the port."""
        async with reading(self._pool) as connection:
            return await self._one(connection, app, name)

    async def put(
        self, app: AppId, draft: SegmentDraft, now: datetime, *, version: int | None = None
    ) -> SegmentRecord:
        """See the port."""

        async def work(connection: asyncpg.Connection) -> SegmentRecord:
            await connection.execute(self._sql["hold_app"], app)
            before = {record.draft.name: record for record in await self._list(connection, app)}
            old = before.get(draft.name)
            there = 0 if old is None else old.version
            if version not in {None, there}:
                raise SegmentChangedError(draft.name, there)
            if old is not None and old.draft == draft:
                return old
            if old is None and len(before) >= MAX_SEGMENTS:
                raise TooManySegmentsError(f"an app has at most {MAX_SEGMENTS} segments")
            segments = {name: record.draft.expression for name, record in before.items()}
            _check(draft, segments, await self._lists(connection, app), now)
            expression = orjson.dumps(to_json(draft.expression))
            sql = self._sql["insert" if old is None else "update"]
            await connection.execute(sql, app, draft.name, draft.description, expression, now)
            await connection.execute(self._sql["keep_version"], app, draft.name)
            stored = await self._one(connection, app, draft.name)
            assert stored is not None  # noqa: S101  written in this transaction
            return stored

        return await unit_of_work(self._pool, work)

    async def remove(self, app: AppId, name: str) -> bool:
        """See the port."""

        async def work(connection: asyncpg.Connection) -> bool:
            await connection.execute(self._sql["hold_app"], app)
            users = _naming(await self._list(connection, app), InSegment(name))
            if users:
                raise SegmentInUseError(f"segment {name!r} is named by {_told(users)}")
            messages = await self._waiting(connection, app, InSegment(name))
            if messages:
                raise SegmentInUseError(
                    f"segment {name!r} says whom messages are for that are yet to be planned: "
                    f"{_told(messages)}"
                )
            done = await connection.execute(self._sql["remove"], app, name)
            return bool(done != "DELETE 0")

        return await unit_of_work(self._pool, work)

    async def resolve(self, app: AppId, wanted: Expression | str, now: datetime) -> SegmentAt:
        """See the port."""
        expression = InSegment(wanted) if isinstance(wanted, str) else wanted
        known = await self._of(app)
        found = whole(expression, segments=known.segments, lists=known.lists, now=now)
        used = _used(expression, known.segments)
        return replace(found, versions={name: known.versions[name] for name in used})

    async def versions(self, app: AppId, name: str) -> Sequence[SegmentVersion]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["versions"], app, name)
        return [
            SegmentVersion(
                version=row["version"],
                expression=read_json(orjson.loads(row["expression"])).expression,
                created_at=row["created_at"],
            )
            for row in rows
        ]

    async def naming(self, app: AppId, reference: Reference) -> Sequence[str]:
        """See the port."""
        return _naming(await self.all(app), reference)

    async def awaiting(self, app: AppId, reference: Reference) -> Sequence[MessageId]:
        """See the port."""
        async with reading(self._pool) as connection:
            return await self._waiting(connection, app, reference)

    async def _waiting(
        self, connection: asyncpg.Connection, app: AppId, reference: Reference
    ) -> list[MessageId]:
        rows = await connection.fetch(self._sql["waiting"], app)
        return [MessageId(str(row["id"])) for row in rows if _names(row["expression"], reference)]

    async def _of(self, app: AppId) -> _Known:
        """What an app's expressions may name.

        The stamp is read first: what is read after it may be newer, and is then read once more.
        """
        async with reading(self._pool) as connection:
            stamp: str = await connection.fetchval(self._sql["stamp"], app)
            known = self._known.get(app)
            if known is None or known.stamp != stamp:
                records = await self._list(connection, app)
                segments = {record.draft.name: record.draft.expression for record in records}
                versions = {record.draft.name: record.version for record in records}
                known = _Known(stamp, segments, versions, await self._lists(connection, app))
                self._known.pop(app, None)
                if len(self._known) >= MAX_KNOWN:
                    self._known.pop(next(iter(self._known)))
                self._known[app] = known
        return known

    async def _list(self, connection: asyncpg.Connection, app: AppId) -> Sequence[SegmentRecord]:
        return [_record(row) for row in await connection.fetch(self._sql["all"], app, None)]

    async def _one(
        self, connection: asyncpg.Connection, app: AppId, name: str
    ) -> SegmentRecord | None:
        row = await connection.fetchrow(self._sql["all"], app, name)
        return None if row is None else _record(row)

    async def _lists(self, connection: asyncpg.Connection, app: AppId) -> Mapping[str, int]:
        rows = await connection.fetch(self._sql["lists"], app)
        return {row["name"]: row["id"] for row in rows}


def _record(row: asyncpg.Record) -> SegmentRecord:
    return SegmentRecord(
        draft=SegmentDraft(
            name=row["name"],
            expression=read_json(orjson.loads(row["expression"])).expression,
            description=row["description"],
        ),
        version=row["version"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _used(expression: Expression, segments: Mapping[str, Expression]) -> list[str]:
    """The segments that an expression names, directly or through others."""
    found: set[str] = set()
    fresh = [expression]
    while fresh:
        names = {one.name for one in named(fresh.pop()) if isinstance(one, InSegment)} - found
        found |= names
        fresh += [segments[name] for name in names]
    return sorted(found)


def _naming(records: Sequence[SegmentRecord], reference: Reference) -> list[str]:
    return [r.draft.name for r in records if reference in named(r.draft.expression)]


def _names(expression: bytes, reference: Reference) -> bool:
    read = read_json(orjson.loads(expression)).expression
    return reference in named(read)


def _told(names: Sequence[str]) -> str:
    few = ", ".join(repr(name) for name in names[:5])
    return few if len(names) <= 5 else f"{few} and {len(names) - 5} more"  # noqa: PLR2004  # a few


def _check(
    draft: SegmentDraft,
    before: Mapping[str, Expression],
    lists: Mapping[str, int],
    now: datetime,
) -> None:
    """The segment is whole, and so is every one that names it, directly or not."""
    segments = {**before, draft.name: draft.expression}
    whole(draft.expression, segments=segments, lists=lists, now=now, name=draft.name)
    for name in _led_to(draft.name, before):
        try:
            whole(segments[name], segments=segments, lists=lists, now=now, name=name)
        except SegmentReferenceError as error:
            fault = SegmentFault(f"segment {name!r}, which names this one, could not be: {error}")
            raise SegmentReferenceError(fault, None, error.chain) from error


def _led_to(name: str, segments: Mapping[str, Expression]) -> list[str]:
    """The segments that name one, directly or through others."""
    names = {
        outer: {one.name for one in named(expression) if isinstance(one, InSegment)}
        for outer, expression in segments.items()
    }
    found, fresh = {name}, {name}
    while fresh:
        fresh = {outer for outer, inner in names.items() if inner & fresh} - found
        found |= fresh
    return sorted(found - {name})
