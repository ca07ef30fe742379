"""People in the state store: one at a time. Many at once come in by `registration`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never

import asyncpg

from clarion.adapters.state.absorbing import absorb, room_at
from clarion.adapters.state.person_rows import (
    merge_attributes,
    person_record,
    read_person,
    write_person,
)
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements
from clarion.adapters.state.suppression import hold_suppressions
from clarion.domain.device import Keep
from clarion.domain.ids import AppId, UserId
from clarion.domain.person import DEVICES_PER_USER, PersonChange
from clarion.ports.registry import (
    AliasTakenError,
    ByAlias,
    ByExternalId,
    ById,
    DevicesLimitError,
    MergeLimitError,
    PersonRecord,
    PersonRef,
)
from clarion.ports.store import StoreUnavailableError

RACES: Final = 5


class PostgresPeople:
    """`ports.registry.People` over the tables users and user_alias."""

    def __init__(self, pool: asyncpg.Pool, most_devices: int = DEVICES_PER_USER) -> None:
        self._pool = pool
        self._most_devices = most_devices
        self._sql = statements("people")

    async def get(self, app: AppId, ref: PersonRef) -> PersonRecord | None:
        """See `ports.registry.People.get`."""
        async with reading(self._pool) as connection:
            user = await self._find(connection, app, ref)
            return None if user is None else await read_person(connection, app, user)

    async def page(self, app: AppId, *, after: UserId | None, limit: int) -> Sequence[PersonRecord]:
        """See `ports.registry.People.page`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["page_people"], app, after or 0, limit)
        return [person_record(row) for row in rows]

    async def put(
        self, app: AppId, external_id: str, change: PersonChange, now: datetime
    ) -> tuple[PersonRecord, bool]:
        """See `ports.registry.People.put`."""

        async def work(connection: asyncpg.Connection) -> tuple[PersonRecord, bool]:
            await hold_suppressions(connection, app)
            for _ in range(RACES):
                created = await connection.fetchval(
                    self._sql["insert_person"], app, external_id, now
                )
                user = created
                if user is None:  # it is there, or was when we looked
                    user = await self._find(connection, app, ByExternalId(external_id=external_id))
                if user is None:
                    continue
                record = await self._change(connection, app, user, change, now)
                if record is not None:
                    return record, created is not None
            raise StoreUnavailableError("other writers kept creating and removing the same person")

        return await unit_of_work(self._pool, work)

    async def create_anonymous(
        self, app: AppId, change: PersonChange, now: datetime
    ) -> PersonRecord:
        """See `ports.registry.People.create_anonymous`."""

        async def work(connection: asyncpg.Connection) -> PersonRecord:
            user = await connection.fetchval(self._sql["insert_person"], app, None, now)
            record = await self._change(connection, app, user, change, now)
            if record is None:
                raise StoreUnavailableError("the new person was removed by another writer")
            return record

        return await unit_of_work(self._pool, work)

    async def change(
        self, app: AppId, ref: PersonRef, change: PersonChange, now: datetime
    ) -> PersonRecord | None:
        """See `ports.registry.People.change`."""

        async def work(connection: asyncpg.Connection) -> PersonRecord | None:
            user = await self._find(connection, app, ref)
            return None if user is None else await self._change(connection, app, user, change, now)

        return await unit_of_work(self._pool, work)

    async def login(
        self, app: AppId, anonymous: UserId, external_id: str, now: datetime
    ) -> PersonRecord | None:
        """See `ports.registry.People.login`."""

        async def work(connection: asyncpg.Connection) -> PersonRecord | None:
            await hold_suppressions(connection, app)
            named = await self._find(connection, app, ByExternalId(external_id=external_id))
            people = [anonymous] if named is None else [anonymous, named]
            locked = await connection.fetch(self._sql["lock_people"], app, people)
            stranger = await read_person(connection, app, anonymous)
            if stranger is None or stranger.external_id is not None:
                return None
            if named is None or named not in {row["id"] for row in locked}:
                await connection.execute(self._sql["name_person"], app, anonymous, external_id, now)
                return await read_person(connection, app, anonymous)
            most = self._most_devices
            done = await absorb(connection, app, {anonymous: named}, now, most_devices=most)
            if done.crowded:
                raise DevicesLimitError
            if done.left:
                raise MergeLimitError(await room_at(connection, named, now))
            return await read_person(connection, app, named)

        return await unit_of_work(self._pool, work)

    async def numbers(self, app: AppId, user: UserId) -> Sequence[UserId]:
        """See `ports.registry.People.numbers`."""
        async with reading(self._pool) as connection:
            return [
                UserId(number)
                for number in await connection.fetchval(self._sql["numbers"], app, user)
            ]

    async def delete(self, app: AppId, ref: PersonRef) -> UserId | None:
        """See `ports.registry.People.delete`."""

        async def work(connection: asyncpg.Connection) -> UserId | None:
            user = await self._find(connection, app, ref)
            if user is None:
                return None
            # Locked first: a registration that gave the person a device is over before we look.
            await connection.fetch(self._sql["lock_people"], app, [user])
            gone = await connection.fetchval(self._sql["delete_people"], app, [user])
            return None if gone is None else UserId(gone)

        return await unit_of_work(self._pool, work)

    async def _find(
        self, connection: asyncpg.Connection, app: AppId, ref: PersonRef
    ) -> UserId | None:
        match ref:
            case ById(id=user):
                return user
            case ByExternalId(external_id=name):
                found = await connection.fetchval(self._sql["by_external_id"], app, name)
            case ByAlias(label=label, value=value):
                found = await connection.fetchval(self._sql["by_alias"], app, label, value)
            case _:
                assert_never(ref)
        return None if found is None else UserId(found)

    async def _change(
        self,
        connection: asyncpg.Connection,
        app: AppId,
        user: UserId,
        change: PersonChange,
        now: datetime,
    ) -> PersonRecord | None:
        await connection.fetch(self._sql["lock_people"], app, [user])
        old = await read_person(connection, app, user)
        if old is None:
            return None
        if change.aliases:
            await self._change_aliases(connection, old, change)
        new = replace(
            old,
            attributes=merge_attributes(old.attributes, change.attributes),
            language=_chosen(change.language, old.language),
            time_zone=_chosen(change.time_zone, old.time_zone),
            country=_chosen(change.country, old.country),
            opted_out=old.opted_out if isinstance(change.opted_out, Keep) else change.opted_out,
        )
        if new != old:
            await write_person(connection, new, old, now)
        return await read_person(connection, app, user)

    async def _change_aliases(
        self, connection: asyncpg.Connection, person: PersonRecord, change: PersonChange
    ) -> None:
        await connection.execute(self._sql["drop_aliases"], person.id, list(change.aliases))
        given = [(label, value) for label, value in change.aliases.items() if value is not None]
        labels, values = [label for label, _ in given], [value for _, value in given]
        of = (person.app, person.id, labels, values)
        await connection.execute(self._sql["add_aliases"], *of)
        taken = await connection.fetchrow(self._sql["foreign_aliases"], *of)
        if taken is not None:
            raise AliasTakenError(taken["label"], taken["value"])


def _chosen(new: str | Keep | None, old: str | None) -> str | None:
    return old if isinstance(new, Keep) else new
