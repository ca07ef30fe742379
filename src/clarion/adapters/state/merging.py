"""What planning holds of anonymous people goes along when they turn out to be somebody."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Final

import asyncpg
import numpy as np

from clarion.adapters.state.followed import followed
from clarion.adapters.state.forgetting import octets_of, range_of
from clarion.adapters.state.frequency import LOOSE, by_range, decoded, encoded, row_of
from clarion.adapters.state.statements import statements, touched
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import BUCKETS, AppId, UserId
from clarion.ports.frequency import RANGE_BUCKETS

_SQL: Final = statements("merging")
FEW: Final = 4
"""The server looks for the octets of so few people in every row: it reads a row once for each of
them. For more the rows are read here, once for all."""
ROWS_AT_ONCE: Final = 16
"""A row has some hundred kilobytes where a message went to millions."""


@dataclass(frozen=True)
class Merges:
    """Anonymous people of one app, and who they are."""

    app: AppId
    into: Mapping[UserId, UserId]
    since: datetime
    """When the first of them was made."""

    @cached_property
    def strangers(self) -> Int64s:
        """Their numbers."""
        return np.fromiter(self.into, np.int64, len(self.into))

    def where(self, ranges: Sequence[int]) -> tuple[object, ...]:
        """What the statements are asked with that find their rows."""
        many = len(self.into) > FEW
        octets = [] if many else octets_of(list(self.into))
        return self.app, ranges, octets, many, self.since


async def hold_ranges(connection: asyncpg.Connection, app: AppId, ranges: Sequence[int]) -> None:
    """Whoever plans or merges for people of these ranges does so before us, or when we are done.

    Args:
        connection: inside the caller's transaction, which keeps them until it ends.
        app: whose people they are.
        ranges: of people, different ones, in order.
    """
    held = touched(await connection.execute(_SQL["hold"], app, ranges))
    if held < len(ranges):  # nobody counted for caps there yet: what is not there can't be locked
        await connection.execute(_SQL["begin_ranges"], app, ranges)
        await connection.execute(_SQL["hold"], app, ranges)


async def move_plans(connection: asyncpg.Connection, merges: Merges, now: datetime) -> None:
    """Count for the known people what the anonymous ones were sent and are held.

    So a cap allows both together what it allows one person. What was recorded stays under the old
    number too, which nobody has any more, except where it is still to be sorted in. Parts that wait
    for a digest wait for the known person's. Held parts keep the anonymous one's number and go out
    to the device under it; so where one gave way, it does so under both numbers.

    Plans for any of these people end before it looks, or when it is done; those under caps begin
    anew then. The number of statements does not depend on the number of people.

    Args:
        connection: inside the caller's transaction, which has locked the people.
        merges: who is merged.
        now: the present instant.
    """
    mine, theirs = _ranges(merges.into), _ranges(merges.into.values())
    await hold_ranges(connection, merges.app, sorted({*mine, *theirs}))
    held = await connection.fetchrow(_SQL["held"], *merges.where(mine))
    counted: set[int] = set()
    if held["loose"]:
        # First: whoever is sorting them has sorted them before we look at the ranges.
        counted |= await _rename_loose(connection, merges)
    if held["loose"] or held["counted"]:
        counted |= await _count(connection, merges, mine, now)
    if held["digests"]:
        await _move_digests(connection, merges, mine)
    if held["gave_way"]:
        counted |= await _share_places(connection, merges, mine)
    if counted:
        await connection.execute(_SQL["overtake"], merges.app, _ranges(counted))


def _ranges(users: Iterable[int]) -> list[int]:
    """The ranges that people lie in, in order."""
    return sorted({range_of(UserId(user)) for user in users})


async def _rows(
    connection: asyncpg.Connection, name: str, *arguments: object
) -> AsyncIterator[asyncpg.Record]:
    """What a statement finds, some at a time."""
    async for row in connection.cursor(_SQL[name], *arguments, prefetch=ROWS_AT_ONCE):
        yield row


async def _rename_loose(connection: asyncpg.Connection, merges: Merges) -> set[int]:
    """Put entries that are sorted in later under other numbers; the known people."""
    found = [
        row["id"]
        async for row in _rows(connection, "counted", *merges.where([LOOSE]))
        if np.isin(decoded([row["rows"]]).user, merges.strangers).any()
    ]
    rows: list[tuple[object, ...]] = []
    heirs: set[int] = set()
    for row in await connection.fetch(_SQL["hold_loose"], found) if found else ():
        ledger = decoded([row["rows"]])
        named = replace(ledger, user=followed(ledger.user, merges.into))
        heirs.update(named.user[named.user != ledger.user].tolist())
        _, low, high, _, _, octets = row_of(LOOSE, named)
        rows.append((row["id"], low, high, octets))
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_SQL["rename_loose"], *columns)
    return heirs


async def _count(
    connection: asyncpg.Connection, merges: Merges, ranges: Sequence[int], now: datetime
) -> set[int]:
    """Copy entries; the known people who have more of them by now."""
    taken: dict[str | None, list[bytes]] = {}
    async for row in _rows(connection, "counted", *merges.where(ranges)):
        ledger = decoded([row["rows"]])
        mine = np.isin(ledger.user, merges.strangers)
        if mine.any():  # the octets may stand across two numbers
            taken.setdefault(row["message_id"], []).append(encoded(ledger.take(mine)))
    rows: list[tuple[object, ...]] = []
    more: set[int] = set()
    for message, blobs in taken.items():
        ledger = decoded(blobs)
        ledger = replace(ledger, user=followed(ledger.user, merges.into))
        more.update(np.unique(ledger.user).tolist())
        rows += [(message, *row_of(number, part)) for number, part in by_range(ledger)]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_SQL["copy_entries"], merges.app, now, *columns)
    return more


async def _move_digests(
    connection: asyncpg.Connection, merges: Merges, ranges: Sequence[int]
) -> None:
    """Each known person's part of a message waits once, whoever of them it waited for."""
    found = [
        row["id"]
        async for row in _rows(connection, "digests", *merges.where(ranges))
        if np.isin(_numbers(row["people"]), merges.strangers).any()
    ]
    parts = await connection.fetch(_SQL["hold_digests"], found) if found else []
    if not parts:
        return
    people = {part["id"]: _numbers(part["people"]) for part in parts}
    mine = {number: np.isin(there, merges.strangers) for number, there in people.items()}
    left = [there[~mine[number]].tobytes() for number, there in people.items()]
    await connection.execute(_SQL["set_digests"], list(people), left)
    waits = await _waits(connection, merges, [part["message_id"] for part in parts])
    heirs: dict[int, list[int]] = {}
    wanted = [
        (user, part["id"], part["message_id"])
        for part in parts
        for user in people[part["id"]][mine[part["id"]]].tolist()
    ]
    for user, number, message in sorted(wanted):
        known = merges.into[UserId(user)]
        if (message, known) not in waits:
            waits.add((message, known))
            heirs.setdefault(number, []).append(known)
    rows = [
        (number, range_, octets)
        for number, known in heirs.items()
        for range_, octets in _by_range(np.array(known, np.int64))
    ]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_SQL["add_digests"], *columns)


async def _waits(
    connection: asyncpg.Connection, merges: Merges, messages: Sequence[str]
) -> set[tuple[str, int]]:
    """Which of the known people have a part of which of these messages that waits already."""
    known = np.array(sorted(set(merges.into.values())), np.int64)
    waits: set[tuple[str, int]] = set()
    where = (sorted(set(messages)), _ranges(merges.into.values()))
    async for row in _rows(connection, "waiting", *where):
        there = known[np.isin(known, _numbers(row["people"]))]
        waits.update((row["message_id"], number) for number in there.tolist())
    return waits


async def _share_places(
    connection: asyncpg.Connection, merges: Merges, ranges: Sequence[int]
) -> set[int]:
    """Held parts that gave way do so under the known number too; the known people."""
    found = [
        row["id"]
        async for row in _rows(connection, "gave_way", *merges.where(ranges))
        if np.isin(_numbers(row["people"]), merges.strangers).any()
    ]
    rows: list[tuple[int, int, bytes, bytes]] = []
    heirs: set[int] = set()
    for row in await connection.fetch(_SQL["hold_gave_way"], found) if found else ():
        people, gone = (
            np.unique(followed(np.intersect1d(_numbers(row[name]), merges.strangers), merges.into))
            for name in ("people", "gone")
        )
        heirs.update(people.tolist())
        rows += [
            (row["id"], number, octets, np.intersect1d(_numbers(octets), gone).tobytes())
            for number, octets in _by_range(people)
        ]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_SQL["add_gave_way"], *columns)
    return heirs


def _by_range(users: Int64s) -> list[tuple[int, bytes]]:
    """Packed numbers of each range that has any."""
    ranges = users % BUCKETS // RANGE_BUCKETS
    return [
        (number, users[ranges == number].astype("<i8").tobytes())
        for number in np.unique(ranges).tolist()
    ]


def _numbers(octets: bytes) -> Int64s:
    return np.frombuffer(octets, "<i8")
