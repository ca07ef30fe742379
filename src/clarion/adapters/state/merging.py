"""What planning holds of an anonymous person goes along when they turn out to be somebody."""

from dataclasses import replace
from datetime import datetime
from typing import Final

import asyncpg
import numpy as np

from clarion.adapters.state.forgetting import octets_of, range_of
from clarion.adapters.state.frequency import LOOSE, add_entries, by_range, decoded, encoded
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId, MessageId, UserId

_SQL: Final = statements("merging")


async def move_plans(
    connection: asyncpg.Connection,
    app: AppId,
    people: tuple[UserId, UserId],
    since: datetime,
    now: datetime,
) -> None:
    """Count for the known person what the anonymous one was sent and is held, in the caller's unit.

    So a cap allows both together what it allows one person. Parts that wait for a digest wait for
    the known person's. Held parts keep the anonymous one's number and go out to the device under
    it; so where one gave way, it does so under both numbers.

    Args:
        connection: inside the caller's transaction.
        app: whose people they are.
        people: the anonymous one and the known one.
        since: when the anonymous one was made.
        now: the present instant.
    """
    stranger, known = people
    (octets,) = octets_of([stranger])
    # Loose entries first: whoever is sorting them has sorted them before we look at the range.
    for number in (LOOSE, range_of(stranger)):
        for row in await connection.fetch(_SQL["caps"], app, number, octets, since):
            await _move_caps(connection, app, row, people, now)
    await _move_digests(connection, app, people)
    await _share_places(connection, app, people)
    await connection.execute(_SQL["overtake"], app, range_of(known))


async def _move_caps(
    connection: asyncpg.Connection,
    app: AppId,
    row: asyncpg.Record,
    people: tuple[UserId, UserId],
    now: datetime,
) -> None:
    stranger, known = people
    ledger = decoded([row["rows"]])
    mine = ledger.user == stranger
    if not mine.any():
        return  # the octets stood across two numbers
    forgetting = statements("forgetting")
    if mine.all():
        await connection.execute(forgetting["drop_caps"], row["id"])
    else:
        await connection.execute(forgetting["set_caps"], row["id"], encoded(ledger.take(~mine)))
    moved = replace(ledger.take(mine), user=np.full(int(mine.sum()), known, np.int64))
    message = None if row["message_id"] is None else MessageId(row["message_id"])
    await add_entries(connection, app, message, by_range(moved), now)


async def _move_digests(
    connection: asyncpg.Connection, app: AppId, people: tuple[UserId, UserId]
) -> None:
    stranger, known = people
    mine, theirs = octets_of(people)
    for row in await connection.fetch(_SQL["digests"], app, range_of(stranger), mine):
        there = np.frombuffer(row["people"], "<i8")
        others = there[there != stranger]
        if len(others) < len(there):
            await connection.execute(
                _SQL["set_digests"], row["id"], others.tobytes(), range_of(known), theirs
            )


async def _share_places(
    connection: asyncpg.Connection, app: AppId, people: tuple[UserId, UserId]
) -> None:
    stranger, known = people
    mine, theirs = octets_of(people)
    for row in await connection.fetch(_SQL["gave_way"], app, range_of(stranger), mine):
        if stranger not in np.frombuffer(row["people"], "<i8"):
            continue  # the octets stood across two numbers
        gone = theirs if stranger in np.frombuffer(row["gone"], "<i8") else b""
        await connection.execute(_SQL["add_gave_way"], row["id"], range_of(known), theirs, gone)
