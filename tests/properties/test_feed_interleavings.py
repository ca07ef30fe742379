"""However transactions overlap, the columnar copy loses no change and shows none rolled back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.adapters.facts.duckdb.outcome_feed import OutcomeFeed
from clarion.adapters.facts.duckdb.registry_feed import RegistryFeed
from clarion.adapters.facts.duckdb.snapshot import NOTHING, Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.domain.handoffs import OUTCOME_ROW

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
WRITERS: Final = 3
VERBS: Final = ("insert", "update", "remove", "chunk", "commit", "rollback", "pass", "restart")

STEPS: Final = st.lists(
    st.tuples(st.sampled_from(VERBS), st.integers(0, WRITERS - 1), st.integers(0, 9)),
    min_size=5,
    max_size=40,
)


@dataclass(kw_only=True)
class Line:
    """Writers with open transactions, and the feeds with the file they fill."""

    writers: list[asyncpg.Connection]
    reader: asyncpg.Connection
    path: Path
    threads: Threads
    store: FactsStore
    open: dict[int, asyncpg.transaction.Transaction] = field(default_factory=dict)
    touched: dict[int, set[int]] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        self.feeds()

    def feeds(self) -> None:
        """The feeds, as an owner that just started has them."""
        self.registry = RegistryFeed(
            store=self.store, folder=self.path.parent, threads=self.threads
        )
        self.outcomes = OutcomeFeed(store=self.store, threads=self.threads)

    async def step(self, verb: str, who: int, what: int) -> None:
        """One thing happens."""
        if verb == "pass":
            await self.follow()
        elif verb == "restart":
            self.store.close()
            self.store = open_store(self.path, memory_mib=64, threads=1)
            self.feeds()
        elif verb in {"commit", "rollback"}:
            await self.end(who, verb)
        else:
            await self.change(verb, who, what)

    async def end(self, who: int, verb: str) -> None:
        """A writer's transaction ends."""
        turn = self.open.pop(who, None)
        self.touched.pop(who, None)
        if turn is not None:
            await (turn.commit() if verb == "commit" else turn.rollback())

    async def change(self, verb: str, who: int, what: int) -> None:
        """A writer changes something in its transaction; nobody waits for another's lock."""
        connection = self.writers[who]
        if who not in self.open:
            self.open[who] = connection.transaction()
            await self.open[who].start()
        if verb == "insert":
            await connection.execute(
                """insert into users (app_id, country, created_at, updated_at)
                   values (1, 'AA', $1, $1)""",
                NOW,
            )
        elif verb == "chunk":
            await self.record(connection, what)
        else:
            await self.touch(connection, verb, what)

    async def touch(self, connection: asyncpg.Connection, verb: str, what: int) -> None:
        """Update or remove a row that nobody else has in hand."""
        found = await connection.fetchval(
            """select id from users order by id offset $1 limit 1 for update skip locked""", what
        )
        if found is None:
            return
        if verb == "update":
            await connection.execute(
                """update users set country = $2, xid = pg_current_xact_id() where id = $1""",
                found,
                chr(65 + self.count % 26) * 2,
            )
            self.count += 1
            return
        await connection.execute(
            """with gone as (delete from users where id = $1 returning id)
               insert into removal (kind, id, app_id) select 1, id, 1 from gone""",
            found,
        )

    async def record(self, connection: asyncpg.Connection, what: int) -> None:
        """A chunk of outcomes."""
        self.count += 1
        rows = np.zeros(what + 1, OUTCOME_ROW)
        rows["device"] = self.count * 100 + np.arange(what + 1)
        rows["outcome"] = 1
        await connection.execute(
            """insert into chunk (key, app_id, kind, message_ids, rows, created_at)
               values ($1, 1, 1, array[gen_random_uuid()], $2, $3)""",
            f"k{self.count}",
            rows.tobytes(),
            NOW,
        )

    async def follow(self) -> None:
        """A pass; afterwards the copy is what its snapshot shows, no more and no less."""
        async with self.reader.transaction(isolation="repeatable_read", readonly=True):
            now = Snapshot.parse(await self.reader.fetchval(FEED["snapshot"]))
            await self.registry.follow(self.reader, now)
            await self.outcomes.follow(self.reader, now)
            truth = await self.truth()
        assert self.copied() == truth

    async def truth(self) -> tuple[list[tuple[object, ...]], list[int]]:
        """Users and recorded devices, as the reader sees them."""
        users = await self.reader.fetch("select id, country from users order by id")
        chunks = await self.reader.fetch("select rows from chunk")
        devices = np.frombuffer(b"".join(row["rows"] for row in chunks), OUTCOME_ROW)["device"]
        return [tuple(row) for row in users], sorted(devices.tolist())

    def copied(self) -> tuple[list[tuple[object, ...]], list[int]]:
        """The same, as the columns have them."""
        with self.store.reading() as cursor:
            users = cursor.execute("select id, country from users order by id").fetchall()
            devices = cursor.execute("select device from outcome_row order by device").fetchall()
        return users, [row[0] for row in devices]


@asynccontextmanager
async def line(url: str, folder: Path) -> AsyncIterator[Line]:
    """A line over an emptied database and a new file."""
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(WRITERS + 1):
            connection = await asyncpg.connect(url)
            stack.push_async_callback(connection.close)
            connections.append(connection)
        await connections[0].execute("truncate users, device, removal, chunk cascade")
        path = folder / "facts.duckdb"
        path.unlink(missing_ok=True)
        threads = Threads()
        stack.callback(threads.close)
        made = Line(
            writers=connections[1:],
            reader=connections[0],
            path=path,
            threads=threads,
            store=open_store(path, memory_mib=64, threads=1),
        )
        stack.callback(lambda: made.store.close())  # noqa: PLW0108  # a restart replaces it
        yield made


@given(steps=STEPS)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_every_pass_shows_exactly_what_its_snapshot_shows(
    database_url: str, short_dir: Path, steps: list[tuple[str, int, int]]
) -> None:
    """Overlapping transactions, rollbacks, restarts: each change arrives once, none is invented."""

    async def play() -> None:
        async with line(database_url, short_dir) as made:
            for verb, who, what in steps:
                await made.step(verb, who, what)
            for who in range(WRITERS):
                await made.end(who, "commit")
            await made.follow()

    asyncio.run(play())


@given(data=st.data())
def test_a_place_counts_each_transaction_once(data: st.DataObject) -> None:
    """Whatever pages end where: what a place has seen is what was taken, page after page."""
    place, taken = NOTHING, set[int]()
    ended: set[int] = set()
    top = 3
    for _ in range(data.draw(st.integers(1, 6))):
        top = data.draw(st.integers(top, 40))
        ended |= data.draw(st.sets(st.integers(3, top - 1) if top > 3 else st.nothing()))
        xmax = max(ended, default=2) + 1
        now = Snapshot(xmax, frozenset(range(3, xmax)) - ended)
        waiting = sorted(xid for xid in ended if not place.has(xid))
        assert not taken.intersection(waiting)
        assert taken.union(waiting) == ended
        for _ in range(data.draw(st.integers(0, 3))):
            page = [xid for xid in waiting if not place.has(xid)][: data.draw(st.integers(1, 4))]
            if page:
                taken.update(page)
                place = place.advanced(now, page[-1])
        assert Snapshot.parse(str(place)) == place
