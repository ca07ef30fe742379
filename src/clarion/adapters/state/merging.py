"""What planning holds of an anonymous person goes along when they turn out to be somebody."""

from datetime import datetime
from typing import Final

import asyncpg
import numpy as np

from clarion.adapters.state.forgetting import octets_of, range_of
from clarion.adapters.state.frequency import LOOSE, add_entries, by_range, decoded, encoded
from clarion.adapters.state.statements import statements
from clarion.domain.frequency import Ledger
from clarion.domain.ids import AppId, MessageId, UserId
from clarion.domain.send_time import instant_us

_SQL: Final = statements("merging")


async def move_plans(
    connection: asyncpg.Connection,
    app: AppId,
    people: tuple[UserId, UserId],
    since: datetime,
    now: datetime,
) -> None:
    """Count for the known person what was sent to the anonymous one, within the caller's unit.

    So a cap allows both together what it allows one person. What is held for the anonymous one and
    lies ahead is not counted: it is never sent, because its device has moved. Parts that wait for a
    digest wait for the known person's.

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
    for table in ("digests", "gave_way"):
        await _move_people(connection, table, app, people)
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
    sent = ledger.take(mine & (ledger.at_us <= instant_us(now)))
    moved = Ledger(
        user=np.full(len(sent), known, np.int64),
        at_us=sent.at_us,
        networks=sent.networks,
        category=sent.category,
        priority=sent.priority,
    )
    message = None if row["message_id"] is None else MessageId(row["message_id"])
    await add_entries(connection, app, message, by_range(moved), now)


async def _move_people(
    connection: asyncpg.Connection, table: str, app: AppId, people: tuple[UserId, UserId]
) -> None:
    stranger, known = people
    mine, theirs = octets_of(people)
    for row in await connection.fetch(_SQL[table], app, range_of(stranger), mine):
        there = np.frombuffer(row["people"], "<i8")
        others = there[there != stranger]
        if len(others) == len(there):
            continue
        values: list[object] = [row["id"], others.tobytes(), range_of(known), theirs]
        if "gone" in row:
            gone = np.frombuffer(row["gone"], "<i8")
            left = gone[gone != stranger]
            values += [left.tobytes(), theirs if len(left) < len(gone) else b""]
        await connection.execute(_SQL[f"set_{table}"], *values)
