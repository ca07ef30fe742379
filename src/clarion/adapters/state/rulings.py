"""What a plan records besides batches and skips: decisions, what caps count, who gave way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg
import numpy as np
import orjson

from clarion.adapters.state.digests import gather
from clarion.adapters.state.followed import followed
from clarion.adapters.state.frequency import LOOSE, add_entries, by_range
from clarion.adapters.state.merging import hold_ranges
from clarion.adapters.state.statements import statements
from clarion.domain.decided import Decided, DecidedColumns, packed
from clarion.domain.frequency import EXEMPT_PRIORITY, Ledger
from clarion.domain.handoffs import Int64s, ShardToPlan
from clarion.domain.ids import BUCKETS
from clarion.ports.digests import Gathered
from clarion.ports.frequency import RANGE_BUCKETS, Eviction, Usage
from clarion.ports.plan_line import OvertakenError, Rulings

_SQL = statements("frequency")
_MERGING = statements("merging")
FEW = 100
"""Entries of so few people, and such as no cap could have stopped, are sorted in later."""


async def record_rulings(
    connection: asyncpg.Connection,
    shard: ShardToPlan,
    rulings: Rulings,
    now: datetime,
    *,
    seen_xid: int,
) -> None:
    """Write rulings down, within the transaction of the shard's commit.

    Whoever turned out to be somebody else since the people were read is recorded as that one: the
    login has looked at what was recorded, and will not look again.

    Args:
        connection: inside the transaction.
        shard: what was planned.
        rulings: what was decided.
        now: the present instant.
        seen_xid: transactions before it are in the people that were decided about.

    Raises:
        OvertakenError: the ledger is not the one that was decided on.
    """
    people = _people(rulings)
    if rulings.usage is not None:
        await _bump(connection, shard, rulings.usage)
    elif len(people):
        await hold_ranges(connection, shard.app, _ranges(people))
    if len(people):
        rulings = await _follow(connection, shard, rulings, people, seen_xid)
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


def _people(rulings: Rulings) -> Int64s:
    """Whose numbers the rulings record for caps and digests; not those that are sorted in later."""
    sent = [] if rulings.sent is None or _is_loose(rulings.sent) else [rulings.sent.user]
    return np.concatenate(
        [
            np.zeros(0, np.int64),
            *sent,
            *(part.people for part in rulings.gathered),
            *(eviction.people for eviction in rulings.evictions),
        ]
    )


async def _follow(
    connection: asyncpg.Connection,
    shard: ShardToPlan,
    rulings: Rulings,
    people: Int64s,
    seen_xid: int,
) -> Rulings:
    """The same about people's present numbers; who gave way does so under both."""
    rows = await connection.fetch(_SQL["merged_since"], shard.app, str(seen_xid))
    into: Mapping[int, int] = {row["from_id"]: row["to_id"] for row in rows}
    named = followed(people, into)
    known = named[named != people]  # some of them may be in the plan under both numbers
    if not len(known):
        return rulings
    await connection.execute(_MERGING["overtake"], shard.app, _ranges(known))
    sent = rulings.sent
    return replace(
        rulings,
        sent=None if sent is None else _once(replace(sent, user=followed(sent.user, into))),
        evictions=[
            replace(gone, people=np.union1d(gone.people, followed(gone.people, into)))
            for gone in rulings.evictions
        ],
        gathered=_once_each(
            [replace(part, people=followed(part.people, into)) for part in rulings.gathered]
        ),
    )


def _once(sent: Ledger) -> Ledger:
    """One entry a person and instant, over all networks that theirs name."""
    order = np.lexsort((sent.at_us, sent.user))
    user, at_us = sent.user[order], sent.at_us[order]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = (user[1:] != user[:-1]) | (at_us[1:] != at_us[:-1])
    networks = np.bitwise_or.reduceat(sent.networks[order], np.flatnonzero(fresh))
    return replace(sent.take(order[fresh]), networks=networks)


def _once_each(parts: Sequence[Gathered]) -> Sequence[Gathered]:
    """Each person's part waits for the first of their digests, and for no other."""
    waits: Int64s = np.zeros(0, np.int64)
    left = []
    for part in parts:
        left.append(replace(part, people=np.setdiff1d(part.people, waits)))
        waits = np.union1d(waits, part.people)
    return left


def _ranges(people: Int64s) -> list[int]:
    ranges: list[int] = np.unique(people % BUCKETS // RANGE_BUCKETS).tolist()
    return ranges


def decided_values(key: str, decided: Decided | DecidedColumns) -> tuple[object, ...]:
    """The values of `insert_decided` but the last (`created_at`)."""
    meta = orjson.dumps(decided.meta).decode()
    return key, decided.app, list(decided.messages), packed(decided.rows), meta


def _parts(sent: Ledger) -> Iterator[tuple[int, Ledger]]:
    return iter([(LOOSE, sent)]) if _is_loose(sent) else by_range(sent)


def _is_loose(sent: Ledger) -> bool:
    return len(sent) <= FEW and bool((sent.priority[:1] == EXEMPT_PRIORITY).all())


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
