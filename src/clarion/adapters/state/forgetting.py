"""Takes one person out of the columns that planning keeps of many: caps, digests, held batches."""

import asyncio
from datetime import datetime

import asyncpg
import numpy as np

from clarion.adapters.state.frequency import LOOSE, decoded, encoded
from clarion.adapters.state.recipient_columns import without
from clarion.adapters.state.statements import statements
from clarion.domain.ids import BUCKETS, AppId, UserId
from clarion.ports.frequency import RANGE_BUCKETS

_SQL = statements("forgetting")


async def forget_plans(
    connection: asyncpg.Connection, app: AppId, user: UserId, now: datetime
) -> dict[str, int]:
    """Remove a person from what was planned, within the caller's transaction.

    What is being sent at this moment is left to its sender, who is told of the removed devices.

    Returns:
        Table -> rows that named the person.
    """
    octets = int(user).to_bytes(8, "little", signed=True)
    ranges = [LOOSE, user % BUCKETS // RANGE_BUCKETS]
    return {
        "state.caps": await _forget_caps(connection, app, user, ranges, octets),
        "state.digests": await _forget_people(connection, "digests", user, (app, ranges, octets)),
        "state.gave_way": await _forget_people(connection, "gave_way", user, (app, ranges, octets)),
        "state.batches": await _forget_batches(connection, app, user, octets, now),
    }


async def _forget_caps(
    connection: asyncpg.Connection, app: AppId, user: UserId, ranges: list[int], octets: bytes
) -> int:
    found = 0
    for row in await connection.fetch(_SQL["caps"], app, ranges, octets):
        ledger = decoded([row["rows"]])
        others = ledger.user != user
        if others.all():
            continue  # the octets stood across two numbers
        found += 1
        if others.any():
            await connection.execute(_SQL["set_caps"], row["id"], encoded(ledger.take(others)))
        else:
            await connection.execute(_SQL["drop_caps"], row["id"])
    return found


async def _forget_people(
    connection: asyncpg.Connection,
    table: str,
    user: UserId,
    where: tuple[AppId, list[int], bytes],
) -> int:
    found = 0
    for row in await connection.fetch(_SQL[table], *where):
        people = np.frombuffer(row["people"], "<i8")
        others = people[people != user]
        if len(others) == len(people):
            continue
        found += 1
        kept = [others.tobytes()]
        if "gone" in row:
            gone = np.frombuffer(row["gone"], "<i8")
            kept.append(gone[gone != user].tobytes())
        await connection.execute(_SQL[f"set_{table}"], row["id"], *kept)
    return found


async def _forget_batches(
    connection: asyncpg.Connection, app: AppId, user: UserId, octets: bytes, now: datetime
) -> int:
    found = 0
    for number in [row["id"] for row in await connection.fetch(_SQL["batches"], app, octets)]:
        row = await connection.fetchrow(_SQL["batch"], number)
        if row is None:
            continue  # it was leased since
        left = await asyncio.to_thread(without, row["recipients"], user, row["cursor"])
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
