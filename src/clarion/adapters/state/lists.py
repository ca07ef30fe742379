"""Lists and topics in PostgreSQL. Implements `clarion.ports.lists`."""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

import asyncpg

from clarion.adapters.state.naming import find_people
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements, touched
from clarion.domain.ids import AppId, UserId
from clarion.ports.lists import (
    Circle,
    ListId,
    ListRecord,
    Members,
    MembersChanged,
    OnList,
    OnTopic,
    TooManyTopicsError,
    TopicBounds,
    TopicRecord,
)


class PostgresLists:
    """Lists, topics and who is on them."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._sql = statements("lists")

    async def create(
        self, app: AppId, name: str, description: str, now: datetime
    ) -> tuple[ListRecord, bool]:
        """See the port."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["put_list"], app, name, description, now)
        return _record(row), bool(row["created"])

    async def page(self, app: AppId, *, after: str, limit: int) -> Sequence[ListRecord]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["page_lists"], app, after, limit)
        return [_record(row) for row in rows]

    async def get(self, app: AppId, name: str) -> ListRecord | None:
        """See the port."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["get_list"], app, name)
        return None if row is None else _record(row)

    async def delete(self, app: AppId, name: str) -> bool:
        """See the port."""
        async with reading(self._pool) as connection:
            tag = await connection.execute(self._sql["delete_list"], app, name)
        return str(tag) != "DELETE 0"

    async def change_members(
        self, app: AppId, circle: Circle, members: Members, now: datetime
    ) -> MembersChanged:
        """See the port."""
        create = now if members.join and members.create_people else None

        async def work(connection: asyncpg.Connection) -> MembersChanged:
            named = await find_people(connection, app, members.rows, create=create)
            people: list[int] = named["person"].drop_nulls().unique().to_list()
            values: tuple[object, ...]
            match circle:
                case OnList(id=number):
                    name, values = "list", (number, people)
                case OnTopic(name=topic):
                    name, values = "topic", (app, topic, people)
                    if members.join and members.bounds is not None:
                        await self._check_bounds(connection, values, members.bounds)
                case _:
                    assert_never(circle)
            verb = "join" if members.join else "leave"
            tag = await connection.execute(self._sql[f"{verb}_{name}"], *values)
            return MembersChanged(
                changed=touched(tag),
                unknown=named["person"].is_null().arg_true().to_list(),
            )

        return await unit_of_work(self._pool, work)

    async def _check_bounds(
        self, connection: asyncpg.Connection, of: tuple[object, ...], bounds: TopicBounds
    ) -> None:
        if not await connection.fetchval(self._sql["has_topic"], *of[:2]):
            await connection.execute(self._sql["hold_topics"], of[0])
            if await connection.fetchval(self._sql["count_topics"], of[0], bounds.topics):
                raise TooManyTopicsError(f"the app has {bounds.topics} topics")
        if await connection.fetchval(self._sql["full_person"], *of, bounds.of_person):
            raise TooManyTopicsError(f"the person has been on {bounds.of_person} topics")

    async def topics(self, app: AppId, *, after: str, limit: int) -> Sequence[TopicRecord]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["page_topics"], app, after, limit)
        return [TopicRecord(name=row["name"], members=row["members"]) for row in rows]

    async def topics_of(self, app: AppId, user: UserId, *, after: str, limit: int) -> Sequence[str]:
        """See the port."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["topics_of"], app, user, after, limit)
        return [row["topic"] for row in rows]


def _record(row: asyncpg.Record) -> ListRecord:
    return ListRecord(
        id=ListId(row["id"]),
        name=row["name"],
        description=row["description"],
        members=row["members"],
        created_at=row["created_at"],
    )
