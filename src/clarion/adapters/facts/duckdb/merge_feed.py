"""Follows whom numbers stand for: what an anonymous person did is the known person's after a login.

Events and engagement are written over; what a removed person did is deleted. Outcomes and decisions
stay under the number that they came with: reports count them, and whoever tells or erases a person
asks by all of the person's numbers.

An event may be on its way while its person goes. So each mark is gone through twice: at once, and
again when the longest transaction that may have looked the person up is over.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Final

import asyncpg
import duckdb

from clarion.adapters.facts.duckdb.snapshot import Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, set_watermark
from clarion.adapters.facts.duckdb.threads import Threads

SWEEP_TIMEOUT_S: Final = 3600.0
"""A sweep reads the whole inbox; nobody waits for it."""
_BUCKETED: Final = "event"
WRITTEN_OVER: Final = (_BUCKETED, "engagement")
"""What people did: tables that go with the person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Marks:
    """Numbers that stand for others, and numbers of nobody, since some place."""

    merged: list[tuple[int, int]]
    gone: list[int]
    last: int
    """The newest transaction with a mark, those of devices too: nobody looks at them again."""

    def __len__(self) -> int:
        return len(self.merged) + len(self.gone)


@dataclass(kw_only=True)
class MergeFeed:
    """Reads marks in the event loop, writes in a thread."""

    store: FactsStore
    threads: Threads
    place: Snapshot = field(init=False)
    """Marks that were gone through at least once."""
    again: Snapshot = field(init=False)
    """Marks that were gone through twice."""
    before: Snapshot = field(init=False)
    """Where `place` stood when the last second look began."""

    def __post_init__(self) -> None:
        self.place = self.store.place("merges")
        self.again = self.before = self.store.place("merges again")

    async def follow(self, connection: asyncpg.Connection, now: Snapshot) -> int:
        """Take in new marks, within the caller's REPEATABLE READ; how many there were."""
        marks = await _marks(connection, self.place)
        place = self.place.advanced(now, marks.last) if marks.last else self.place
        if len(marks):
            await self.threads.run(partial(self._write, marks, "merges", place))
        self.place = place
        return len(marks)

    async def look_again(self, connection: asyncpg.Connection) -> None:
        """Go through marks a second time, and clear the inbox of people who are gone.

        Call it outside any transaction, less often than a transaction may last.
        """
        marks = await _marks(connection, self.again)
        if marks.gone:
            await connection.execute(FEED["clear_inbox"], marks.gone, timeout=SWEEP_TIMEOUT_S)
        if len(marks):
            await self.threads.run(partial(self._write, marks, "merges again", self.before))
        self.again, self.before = self.before, self.place

    def _write(self, marks: _Marks, name: str, place: Snapshot) -> None:
        def work(cursor: duckdb.DuckDBPyConnection) -> None:
            if marks.merged:
                _move(cursor, marks.merged)
            if marks.gone:
                for table in WRITTEN_OVER:
                    cursor.execute(
                        f"delete from {table} where user_id in (select unnest(?))",  # noqa: S608  # our own names
                        [marks.gone],
                    )
            set_watermark(cursor, name, str(place))

        self.store.written(work)


async def _marks(connection: asyncpg.Connection, since: Snapshot) -> _Marks:
    of = (str(since.xmin), str(since))
    merged = await connection.fetch(FEED["merged"], *of)
    gone = await connection.fetch(FEED["gone"], *of)
    return _Marks(
        merged=[(row["from_id"], row["to_id"]) for row in merged],
        gone=[row["id"] for row in gone],
        last=int(await connection.fetchval(FEED["last_mark"])),
    )


def _move(cursor: duckdb.DuckDBPyConnection, merged: list[tuple[int, int]]) -> None:
    """Write the known person's number over the one that stands for it."""
    old, new = [number for number, _ in merged], [number for _, number in merged]
    pairs = "(select unnest(?::bigint[]) as old, unnest(?::bigint[]) as new) as m"
    for table in WRITTEN_OVER:
        bucket = ", bucket = m.new % 1024" if table == _BUCKETED else ""
        cursor.execute(
            f"update {table} set user_id = m.new{bucket} from {pairs} where user_id = m.old",  # noqa: S608  # our own names
            [old, new],
        )
