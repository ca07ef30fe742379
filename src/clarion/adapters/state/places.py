"""Whose held part of a message gives way to a more important one, and whether that went out."""

from typing import Final

import asyncpg
import numpy as np

from clarion.adapters.state.statements import statements
from clarion.domain.handoffs import BatchSent, BatchToSend
from clarion.domain.ids import BUCKETS
from clarion.domain.outcome import Outcome
from clarion.ports.frequency import RANGE_BUCKETS
from clarion.ports.line import GivenWay

_SQL = statements("frequency")
NOBODY: Final = GivenWay(out=np.zeros(0, np.int64), awaited=np.zeros(0, np.int64))


async def given_way(connection: asyncpg.Connection, batch: BatchToSend) -> GivenWay:
    """Whose part of a leased batch gives way: one look, at the ranges of its people alone."""
    messages = [message.id for message in batch.messages]
    ranges = np.unique(batch.recipients.user % BUCKETS // RANGE_BUCKETS).tolist()
    rows = await connection.fetch(_SQL["given_way"], messages, ranges)
    if not rows:
        return NOBODY
    places = [(_numbers(people), _numbers(gone), due_at) for people, gone, due_at in rows]
    none = np.zeros(0, np.int64)
    out = np.concatenate([none, *(gone for _, gone, _ in places)])
    open_ = [(people, due_at) for people, _, due_at in places if due_at is not None]
    awaited = np.setdiff1d(np.concatenate([none, *(people for people, _ in open_)]), out)
    return GivenWay(
        out=out,
        awaited=awaited,
        awaited_at=min((due_at for _, due_at in open_), default=None) if len(awaited) else None,
    )


async def settle_places(connection: asyncpg.Connection, sent: BatchSent) -> None:
    """Whoever a message went out to has taken the place that others gave up for it.

    Within the transaction that records the outcomes. Whoever logged in since the plan is one
    person under two numbers.
    """
    rows = sent.rows
    got = np.unique(rows["user"][rows["outcome"] == Outcome.ACCEPTED])
    for pair in await connection.fetch(_SQL["same_people"], got.tolist()) if len(got) else ():
        got = np.union1d(got, tuple(pair))
    ranges = np.unique(got % BUCKETS // RANGE_BUCKETS).tolist()
    if not ranges:
        return
    for place in await connection.fetch(_SQL["displaced"], sent.messages[0], ranges):
        gone = _numbers(place["gone"])
        more = np.setdiff1d(np.intersect1d(_numbers(place["people"]), got), gone)
        if len(more):
            octets = np.concatenate([gone, more]).astype("<i8").tobytes()
            await connection.execute(_SQL["set_gone"], place["id"], octets)


def _numbers(octets: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.frombuffer(octets, "<i8")
