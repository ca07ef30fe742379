"""Anonymous people turn out to be somebody who is known: by a login, or as a device registers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.consent import inherit
from clarion.adapters.state.forgetting import octets_of, range_of
from clarion.adapters.state.merging import move_plans
from clarion.adapters.state.person_rows import merge_people, read_person, write_person
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId, UserId
from clarion.domain.person import MERGES_A_DAY

_DAY: Final = timedelta(days=1)


async def absorb(
    connection: asyncpg.Connection, app: AppId, pairs: Mapping[UserId, UserId], now: datetime
) -> Sequence[UserId]:
    """Merge each anonymous person into who they turn out to be, and remove them.

    Whoever is not there, or has a name, stays as they are.

    Args:
        connection: inside the caller's transaction.
        app: whose people they are.
        pairs: the anonymous person -> who they are, of whom the app has a name.
        now: the present instant.

    Returns:
        Those who stay, because who they are has absorbed enough people today.
    """
    sql = statements("people")
    await connection.fetch(sql["lock_known"], app, sorted(set(pairs.values())))
    await connection.fetch(sql["lock_people"], app, sorted(pairs))
    found = {row["id"] for row in await connection.fetch(sql["anonymous"], app, list(pairs))}
    strangers = [user for user in pairs if user in found]
    if not strangers:
        return []
    chosen = await _allowed(connection, {user: pairs[user] for user in strangers}, now)
    if chosen:
        users, known = list(chosen), list(chosen.values())
        columns = (users, [range_of(user) for user in users], octets_of(users))
        for row in await connection.fetch(sql["laden"], app, *columns):
            await _bequeath(connection, app, (row["id"], chosen[row["id"]]), now)
        await connection.execute(sql["move_belongings"], app, users, known, now)
        await connection.execute(sql["note_merges"], app, users, known, now)
        await connection.execute(sql["delete_people"], app, users)
    return [user for user in strangers if user not in chosen]


async def _allowed(
    connection: asyncpg.Connection, pairs: Mapping[UserId, UserId], now: datetime
) -> Mapping[UserId, UserId]:
    """As many for each known person as a day allows, the first ones first."""
    whom = list(set(pairs.values()))
    rows = await connection.fetch(statements("people")["merges_since"], whom, now - _DAY)
    left = dict.fromkeys(whom, MERGES_A_DAY) | {
        row["to_id"]: MERGES_A_DAY - row["times"] for row in rows
    }
    chosen: dict[UserId, UserId] = {}
    for stranger, known in pairs.items():
        if left[known] > 0:
            left[known] -= 1
            chosen[stranger] = known
    return chosen


async def room_at(connection: asyncpg.Connection, known: UserId, now: datetime) -> datetime:
    """When somebody who has absorbed enough people today may absorb one more."""
    row = await connection.fetchrow(statements("people")["merges_since"], [known], now - _DAY)
    return now if row is None else row["first_at"] + _DAY


async def _bequeath(
    connection: asyncpg.Connection, app: AppId, people: tuple[UserId, UserId], now: datetime
) -> None:
    """What is known of the anonymous one, and planned for them, goes to the known one."""
    stranger = await read_person(connection, app, people[0])
    known = await read_person(connection, app, people[1])
    if stranger is None or known is None:
        return
    await write_person(connection, merge_people(stranger, known), known, now)
    await inherit(connection, app, stranger.id, (known.id, known.external_id or ""), now)
    await move_plans(connection, app, (stranger.id, known.id), stranger.created_at, now)
