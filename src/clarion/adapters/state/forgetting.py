"""Takes a person out of the columns that planning keeps of many: caps, digests, held batches."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import asyncpg
import numpy as np

from clarion.adapters.state.frequency import LOOSE, decoded, encoded
from clarion.adapters.state.recipient_columns import without
from clarion.adapters.state.statements import statements
from clarion.domain.ids import BUCKETS, AppId, UserId
from clarion.ports.frequency import RANGE_BUCKETS

_SQL = statements("forgetting")


def octets_of(users: Sequence[UserId]) -> list[bytes]:
    """Numbers as packed columns hold them."""
    return [int(user).to_bytes(8, "little", signed=True) for user in users]


def range_of(user: UserId) -> int:
    """The range of buckets that a person lies in."""
    return user % BUCKETS // RANGE_BUCKETS


async def forget_plans(
    connection: asyncpg.Connection, app: AppId, users: Sequence[UserId], now: datetime
) -> dict[str, int]:
    """Remove a person from what was planned, within the caller's transaction.

    What is being sent at this moment is left to its sender, who is told of the removed devices.

    Args:
        connection: inside the caller's transaction.
        app: whose person it is.
        users: all numbers of the person.
        now: the present instant.

    Returns:
        Table -> rows that named the person.
    """
    where = (app, [LOOSE, *sorted({range_of(user) for user in users})], octets_of(users))
    return {
        "state.caps": await _forget_caps(connection, users, where),
        "state.digests": await _forget_people(connection, "digests", users, where),
        "state.gave_way": await _forget_people(connection, "gave_way", users, where),
        "state.batches": await _forget_batches(connection, users, where, now),
    }


_Where = tuple[AppId, list[int], list[bytes]]
"""The app, the ranges, and the octets that are looked for."""


async def _forget_caps(
    connection: asyncpg.Connection, users: Sequence[UserId], where: _Where
) -> int:
    found = 0
    for row in await connection.fetch(_SQL["caps"], *where):
        ledger = decoded([row["rows"]])
        others = ~np.isin(ledger.user, users)
        if others.all():
            continue  # the octets stood across two numbers
        found += 1
        if others.any():
            await connection.execute(_SQL["set_caps"], row["id"], encoded(ledger.take(others)))
        else:
            await connection.execute(_SQL["drop_caps"], row["id"])
    return found


async def _forget_people(
    connection: asyncpg.Connection, table: str, users: Sequence[UserId], where: _Where
) -> int:
    found = 0
    for row in await connection.fetch(_SQL[table], *where):
        people = np.frombuffer(row["people"], "<i8")
        others = people[~np.isin(people, users)]
        if len(others) == len(people):
            continue
        found += 1
        kept = [others.tobytes()]
        if "gone" in row:
            gone = np.frombuffer(row["gone"], "<i8")
            kept.append(gone[~np.isin(gone, users)].tobytes())
        await connection.execute(_SQL[f"set_{table}"], row["id"], *kept)
    return found


async def _forget_batches(
    connection: asyncpg.Connection, users: Sequence[UserId], where: _Where, now: datetime
) -> int:
    app, _, octets = where
    found = 0
    for number in [row["id"] for row in await connection.fetch(_SQL["batches"], app, octets)]:
        row = await connection.fetchrow(_SQL["batch"], number)
        if row is None:
            continue  # it was leased since
        left = await asyncio.to_thread(without, row["recipients"], users, row["cursor"])
        if left is None:
            continue
        found += 1
        if left.size > row["cursor"]:
            await connection.execute(_SQL["set_batch"], number, left.octets, left.size)
            continue
        await connection.execute(statements("messages")["end_batch"], number, now)
        for message in sorted(row["message_ids"]):
            await connection.execute(statements("upkeep")["count_recorded_part"], message, now)
    return found
