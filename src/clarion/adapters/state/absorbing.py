"""Anonymous people turn out to be somebody who is known: by a login, or as a device registers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.bequests import bequeath
from clarion.adapters.state.consent_ledger import append, switches
from clarion.adapters.state.merging import Merges, move_plans
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId, UserId
from clarion.domain.person import DEVICES_PER_USER, MERGES_A_DAY

_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Absorbed:
    """What became of anonymous people."""

    into: Mapping[UserId, UserId]
    """Those who are removed -> who they turned out to be."""
    left: Sequence[UserId]
    """Those who stay, because who they are has absorbed enough people today."""
    crowded: Sequence[UserId]
    """Those who stay, because who they are would have too many devices with theirs."""


async def absorb(
    connection: asyncpg.Connection,
    app: AppId,
    pairs: Mapping[UserId, UserId],
    now: datetime,
    *,
    most_devices: int = DEVICES_PER_USER,
    turned: Mapping[UserId, tuple[str, bool]] | None = None,
) -> Absorbed:
    """Merge each anonymous person into who they turn out to be, and remove them.

    Whoever is not there, or has a name, stays as they are. Thousands at once are as many
    statements as one, and come to the same as one after the other in the order of their numbers.

    Args:
        connection: inside the caller's transaction.
        app: whose people they are.
        pairs: the anonymous person -> who they are, of whom the app has a name.
        now: the present instant.
        most_devices: how many devices a person may have.
        turned: people whose global opt-out was changed by the same unit of work before, as in
            `switches`: the ledger is told of them too. Its chain is what is locked last.
    """
    sql, lines = statements("people"), list(switches(turned or {}, now))
    there = await _hold(connection, app, pairs)
    strangers = {user: known for user, known in pairs.items() if user in there}
    crowded = await _crowded(connection, strangers, most_devices) if strangers else set()
    small = {user: known for user, known in strangers.items() if user not in crowded}
    into = await _allowed(connection, small, now) if small else {}
    if into:
        lines += await bequeath(connection, app, into, now)
        merges = Merges(app=app, into=into, since=min(there[user] for user in into))
        await move_plans(connection, merges, now)
        columns = list(into), list(into.values())
        await connection.execute(sql["move_belongings"], app, *columns, now)
        await connection.execute(sql["note_merges"], app, *columns, now)
        await connection.execute(sql["delete_people"], app, list(into))
    await append(connection, app, lines, now)
    left = [user for user in small if user not in into]
    return Absorbed(into=into, left=left, crowded=sorted(crowded))


async def _hold(
    connection: asyncpg.Connection, app: AppId, pairs: Mapping[UserId, UserId]
) -> Mapping[UserId, datetime]:
    """Lock everybody; since when the anonymous ones among them are there."""
    if not pairs:
        return {}
    sql = statements("people")
    await connection.fetch(sql["lock_known"], app, sorted(set(pairs.values())))
    await connection.fetch(sql["lock_people"], app, sorted(pairs))
    rows = await connection.fetch(sql["anonymous"], app, list(pairs))
    return {row["id"]: row["created_at"] for row in rows}


async def _crowded(
    connection: asyncpg.Connection, pairs: Mapping[UserId, UserId], most: int
) -> set[UserId]:
    """Those whose devices would be too many for who they are, the first ones coming first."""
    people = [*pairs, *set(pairs.values())]
    rows = await connection.fetch(statements("devices")["more_devices_than"], people, 0)
    has = dict.fromkeys(people, 0) | {row["user_id"]: row["n"] for row in rows}
    crowded: set[UserId] = set()
    for stranger, known in pairs.items():
        if has[stranger] and has[known] + has[stranger] > most:
            crowded.add(stranger)
        else:
            has[known] += has[stranger]
    return crowded


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
