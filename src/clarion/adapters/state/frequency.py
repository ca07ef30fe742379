"""The ledger that caps are asked with. Implements `clarion.ports.frequency.FrequencyBook`.

A row is the entries of one message and one range of people, as columns one after the other:
user (i8), instant in microseconds (i8), networks, category slot, priority (u1 each), little endian.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import numpy as np
import numpy.typing as npt

from clarion.adapters.state.followed import followed
from clarion.adapters.state.pool import reading, transaction
from clarion.adapters.state.statements import statements
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import BUCKETS, AppId, MessageId
from clarion.domain.send_time import instant
from clarion.ports.frequency import RANGE_BUCKETS, Usage

ENTRY_OCTETS: Final = 19
LOOSE: Final = -1
SETTLED: Final = timedelta(seconds=2)
KEPT: Final = timedelta(days=34)
"""Longer than any cap looks back."""

_SQL = statements("frequency")


class PostgresFrequencyBook:
    """Reads and sorts the ledger; planning's commit writes it."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def read(self, app: AppId, buckets: tuple[int, int], since: datetime) -> Usage:
        """See the port.

        Versions come first: entries that are newer than them are harmless.
        """
        low, high = buckets
        ranges = list(range(low // RANGE_BUCKETS, -(-high // RANGE_BUCKETS)))
        async with reading(self._pool) as connection:
            versions = await connection.fetch(_SQL["read_versions"], app, ranges)
            rows = await connection.fetch(_SQL["read_ledger"], app, ranges, low, high, since)
            messages = sorted({row["message_id"] for row in rows if row["message_id"]})
            gone = await connection.fetch(_SQL["read_gave_way"], messages, ranges)
        return _usage(
            rows,
            gone,
            [MessageId(message) for message in messages],
            dict.fromkeys(ranges, 0) | {row["range"]: row["version"] for row in versions},
            buckets,
        )

    async def sort_in(self, now: datetime, *, at_once: int) -> int:
        """See the port."""
        async with reading(self._pool) as connection:
            await connection.execute(_SQL["drop_old_entries"], now - KEPT, at_once)
            await connection.execute(_SQL["drop_old_gave_way"], now - KEPT, at_once)
            if not await connection.fetchval(_SQL["loose_entries"], now - SETTLED):
                return 0
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(_SQL["take_loose"], now - SETTLED, at_once)
            into = await _stand_for(connection, rows)
            owners: dict[tuple[int, str | None], list[bytes]] = {}
            for row in rows:  # a withdrawn message's entries have to be told from the others
                owners.setdefault((row["app_id"], row["message_id"]), []).append(row["rows"])
            for (app, name), blobs in owners.items():
                message = None if name is None else MessageId(name)
                entries = decoded(blobs)
                entries = replace(entries, user=followed(entries.user, into))
                await add_entries(connection, app, message, by_range(entries), now)
        return len(rows)


async def _stand_for(
    connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]
) -> Mapping[int, int]:
    """Whom these entries' people turned out to be: some were written just after the login."""
    users = np.unique(decoded([row["rows"] for row in rows]).user).tolist()
    found = await connection.fetch(_SQL["stand_for"], users) if users else ()
    return {row["from_id"]: row["to_id"] for row in found}


def _usage(
    rows: Sequence[asyncpg.Record],
    gone: Sequence[asyncpg.Record],
    messages: Sequence[MessageId],
    versions: dict[int, int],
    buckets: tuple[int, int],
) -> Usage:
    """The rows as one ledger, without what was withdrawn or gave way, and without other buckets."""
    ledger = decoded([row["rows"] for row in rows])
    lengths = [len(row["rows"]) // ENTRY_OCTETS for row in rows]
    place = {message: index for index, message in enumerate(messages)}
    index = np.array([place.get(row["message_id"], -1) for row in rows], np.int64)
    of = np.repeat(index, lengths)
    keep = np.ones(len(ledger), np.bool_)
    if any(row["canceled_us"] for row in rows):
        until = np.array([row["canceled_us"] or np.iinfo(np.int64).max for row in rows], np.int64)
        keep &= ledger.at_us <= np.repeat(until, lengths)
    for row in gone:
        theirs = (of == place[row["message_id"]]) & (ledger.at_us > row["at_us"])
        keep &= ~(theirs & np.isin(ledger.user, np.frombuffer(row["people"], "<i8")))
    low, high = buckets
    if (low, high) != (0, BUCKETS):
        bucket = ledger.user % BUCKETS
        keep &= (bucket >= low) & (bucket < high)
    if not keep.all():
        ledger, of = _taken(ledger, keep), of[keep]
    return Usage(ledger=ledger, of=of, messages=messages, versions=versions)


def _taken(ledger: Ledger, keep: npt.NDArray[np.bool_]) -> Ledger:
    """Some entries, with places of their own."""
    return Ledger(
        user=ledger.user[keep],
        at_us=ledger.at_us[keep],
        networks=ledger.networks[keep],
        category=ledger.category[keep],
        priority=ledger.priority[keep],
    )


def encoded(ledger: Ledger) -> bytes:
    """Entries as columns one after the other."""
    columns = (
        ledger.user.astype("<i8"),
        ledger.at_us.astype("<i8"),
        ledger.networks,
        ledger.category,
        ledger.priority,
    )
    return b"".join(np.ascontiguousarray(column).tobytes() for column in columns)


def decoded(blobs: Sequence[bytes]) -> Ledger:
    """The entries of several rows, one after the other."""
    if not blobs:
        return Ledger.empty()
    parts: tuple[list[npt.NDArray[np.generic]], ...] = ([], [], [], [], [])
    for blob in blobs:
        n, at = len(blob) // ENTRY_OCTETS, 0
        for part, kind, width in zip(parts, ("<i8", "<i8", "u1", "u1", "u1"), _WIDTHS, strict=True):
            part.append(np.frombuffer(blob, kind, n, at))
            at += n * width
    user, at_us, networks, category, priority = (np.concatenate(part) for part in parts)
    return Ledger(user=user, at_us=at_us, networks=networks, category=category, priority=priority)


_WIDTHS: Final = (8, 8, 1, 1, 1)


def by_range(ledger: Ledger) -> Iterator[tuple[int, Ledger]]:
    """The entries of each range of buckets that has any."""
    ranges: Int64s = ledger.user % BUCKETS // RANGE_BUCKETS
    order = np.argsort(ranges, kind="stable")
    counts = np.bincount(ranges, minlength=BUCKETS // RANGE_BUCKETS)
    end = 0
    for number, count in enumerate(counts.tolist()):
        end += count
        if count:
            yield number, _taken_at(ledger, order[end - count : end])


def _taken_at(ledger: Ledger, rows: Int64s) -> Ledger:
    return Ledger(
        user=ledger.user[rows],
        at_us=ledger.at_us[rows],
        networks=ledger.networks[rows],
        category=ledger.category[rows],
        priority=ledger.priority[rows],
    )


def row_of(number: int, ledger: Ledger) -> tuple[object, ...]:
    """One row of the table: range, low, high, first_at, last_at, rows."""
    bucket = ledger.user % BUCKETS
    return (
        number,
        int(bucket.min()),
        int(bucket.max()) + 1,
        instant(int(ledger.at_us.min())),
        instant(int(ledger.at_us.max())),
        encoded(ledger),
    )


async def add_entries(
    connection: asyncpg.Connection,
    app: int,
    message: MessageId | None,
    parts: Iterator[tuple[int, Ledger]],
    now: datetime,
) -> None:
    """Write entries down, within the caller's transaction."""
    rows = [row_of(number, ledger) for number, ledger in parts]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_SQL["add_entries"], app, message, now, *columns)
