"""Digests in PostgreSQL. Implements `clarion.ports.digests.DigestDesk`."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import numpy as np
import orjson
import polars as pl

from clarion.adapters.state.envelopes import (
    decode_message,
    encode_message,
    encode_moment,
    encode_target,
)
from clarion.adapters.state.pool import reading, transaction
from clarion.adapters.state.statements import statements
from clarion.domain.app_rules import Moment
from clarion.domain.content import Content, Message
from clarion.domain.handoffs import ShardToPlan
from clarion.domain.ids import BUCKETS, AppId, MessageId, UserId
from clarion.domain.lanes import Lane
from clarion.domain.send_time import instant_us
from clarion.ports.digests import DigestParts, Gathered
from clarion.ports.frequency import RANGE_BUCKETS
from clarion.ports.messages import Target
from clarion.ports.system import Chance

_SQL = statements("digests")
KEPT: Final = timedelta(days=1)
"""Nobody plans a digest that late."""
ITEMS: Final = pl.Schema(
    {
        "user": pl.Int64,
        "due_us": pl.Int64,
        "at_us": pl.Int64,
        "number": pl.Int64,
        "title": pl.String,
    }
)


class PostgresDigestDesk:
    """Turns windows that have closed into messages like any other."""

    def __init__(self, pool: asyncpg.Pool, chance: Chance) -> None:
        self._pool = pool
        self._chance = chance

    async def open_due(self, now: datetime, *, at_once: int) -> int:
        """See the port."""
        async with reading(self._pool) as connection:
            windows = await connection.fetch(_SQL["due"], now, at_once)
            await connection.execute(_SQL["drop_sent"], now - KEPT, at_once)
        made = 0
        for window in windows:
            made += await self._open(window, now)
        return made

    async def _open(self, window: asyncpg.Record, now: datetime) -> bool:
        message = Message(
            id=MessageId(self._chance.uuid7(now)),
            app=AppId(window["app_id"]),
            lane=Lane.CAMPAIGN,
            content=Content(title=window["name"]),
            category=window["slug"],
        )
        of = (window["app_id"], window["category_id"], window["due_at"])
        async with transaction(self._pool) as connection:
            taken = await connection.execute(_SQL["take"], *of, message.id)
            if taken == "UPDATE 0":
                return False
            await connection.execute(
                statements("journal")["insert_message"],
                message.id,
                message.app,
                int(message.lane),
                orjson.dumps({"digest": message.category, "title": window["name"]}).decode(),
                encode_message(message),
                encode_target(Target(everybody=True)),
                now,
                None,
                "digest",
                now,
                message.category,
                encode_moment(Moment(digest=True)),
            )
        return True

    async def items(self, digest: MessageId, buckets: tuple[int, int]) -> pl.DataFrame:
        """See the port."""
        low, high = buckets
        ranges = list(range(low // RANGE_BUCKETS, -(-high // RANGE_BUCKETS)))
        async with reading(self._pool) as connection:
            rows = await connection.fetch(_SQL["items"], digest, ranges)
        parts = [
            pl.DataFrame({"user": np.frombuffer(row["people"], "<i8")}).with_columns(
                due_us=pl.lit(instant_us(row["due_at"]), pl.Int64),
                at_us=pl.lit(instant_us(row["created_at"]), pl.Int64),
                number=pl.lit(row["id"], pl.Int64),
                title=pl.lit(decode_message(row["envelope"]).content.title or "", pl.String),
            )
            for row in rows
        ]
        return pl.concat(parts) if parts else pl.DataFrame(schema=ITEMS)


async def parts_of(connection: asyncpg.Connection, message: MessageId, user: UserId) -> DigestParts:
    """Which digest a person's part of a message is in, and what is in it if it is one."""
    number = user % BUCKETS // RANGE_BUCKETS
    waiting = await connection.fetch(_SQL["parts_of"], message, number)
    taken = next((row for row in waiting if _has(row["people"], user)), None)
    items = await connection.fetch(_SQL["parts_in"], message, number)
    return DigestParts(
        due_at=None if taken is None else taken["due_at"],
        digest=None if taken is None or not taken["digest_id"] else MessageId(taken["digest_id"]),
        items=[MessageId(row["message_id"]) for row in items if _has(row["people"], user)],
    )


def _has(people: bytes, user: UserId) -> bool:
    return bool((np.frombuffer(people, "<i8") == user).any())


async def gather(
    connection: asyncpg.Connection, shard: ShardToPlan, parts: Sequence[Gathered], now: datetime
) -> None:
    """Write down whose part of a message waits, within the transaction of the shard's commit."""
    ranges: list[int] = []
    due: list[int] = []
    people: list[bytes] = []
    for part in parts:
        number = part.people % BUCKETS // RANGE_BUCKETS
        for one in np.unique(number).tolist():
            ranges.append(one)
            due.append(part.due_us)
            people.append(part.people[number == one].astype("<i8").tobytes())
    await connection.execute(_SQL["gather"], shard.app, shard.message, now, ranges, due, people)
