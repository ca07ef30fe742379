"""What a plan records besides batches and skips: decisions, what caps count, who gave way."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import asyncpg
import numpy as np
import orjson

from clarion.adapters.state.digests import gather
from clarion.adapters.state.frequency import LOOSE, add_entries, by_range
from clarion.adapters.state.statements import statements
from clarion.domain.decided import Decided, DecidedColumns, packed
from clarion.domain.frequency import EXEMPT_PRIORITY, Ledger
from clarion.domain.handoffs import ShardToPlan
from clarion.domain.ids import BUCKETS
from clarion.ports.frequency import RANGE_BUCKETS, Eviction, Usage
from clarion.ports.plan_line import OvertakenError, Rulings

_SQL = statements("frequency")
FEW = 100
"""Entries of so few people, and such as no cap could have stopped, are sorted in later."""


async def record_rulings(
    connection: asyncpg.Connection, shard: ShardToPlan, rulings: Rulings, now: datetime
) -> None:
    """Write rulings down, within the transaction of the shard's commit.

    Raises:
        OvertakenError: the ledger is not the one that was decided on.
    """
    if rulings.usage is not None:
        await _bump(connection, shard, rulings.usage)
    if rulings.sent is not None and len(rulings.sent):
        parts = _parts(rulings.sent)
        await add_entries(connection, shard.app, shard.message, parts, now)
    if rulings.evictions:
        await _evict(connection, shard, rulings.evictions, now)
    if rulings.gathered:
        await gather(connection, shard, rulings.gathered, now)
    for number, decided in enumerate(rulings.decided):
        key = f"decided:{shard.message}:{shard.low}:{number}"
        await connection.execute(
            statements("line")["insert_decided"], *decided_values(key, decided), now
        )


def decided_values(key: str, decided: Decided | DecidedColumns) -> tuple[object, ...]:
    """The values of `insert_decided` but the last (`created_at`)."""
    meta = orjson.dumps(decided.meta).decode()
    return key, decided.app, list(decided.messages), packed(decided.rows), meta


def _parts(sent: Ledger) -> Iterator[tuple[int, Ledger]]:
    exempt = int(sent.priority[0]) == EXEMPT_PRIORITY
    return iter([(LOOSE, sent)]) if exempt and len(sent) <= FEW else by_range(sent)


async def _bump(connection: asyncpg.Connection, shard: ShardToPlan, usage: Usage) -> None:
    """Whoever was decided about with another version in mind is decided about again."""
    ranges = sorted(usage.versions)
    versions = [usage.versions[number] for number in ranges]
    done = await connection.fetch(_SQL["bump_versions"], shard.app, ranges, versions)
    if len(done) < len(ranges):
        raise OvertakenError(
            f"other messages were planned for the same people: {len(ranges) - len(done)} of "
            f"{len(ranges)} ranges of users have changed"
        )


async def _evict(
    connection: asyncpg.Connection,
    shard: ShardToPlan,
    evictions: Sequence[Eviction],
    now: datetime,
) -> None:
    messages: list[str] = []
    ranges: list[int] = []
    people: list[bytes] = []
    for eviction in evictions:
        number = eviction.people % BUCKETS // RANGE_BUCKETS
        for one in np.unique(number).tolist():
            messages.append(eviction.message)
            ranges.append(one)
            people.append(eviction.people[number == one].astype("<i8").tobytes())
    await connection.execute(_SQL["add_gave_way"], shard.message, now, messages, ranges, people)
