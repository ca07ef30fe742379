"""The owner of the facts is killed again and again, and nothing is lost or taken in twice."""

import asyncio
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
import numpy as np
import polars as pl
import pytest
from tests.e2e.patience import PATIENCE_S

from clarion.adapters.facts.duckdb import FactsClient
from clarion.adapters.facts.duckdb.store import open_store
from clarion.adapters.state.pool import open_pool
from clarion.adapters.system import SystemClock
from clarion.domain.handoffs import OUTCOME_ROW
from clarion.domain.ids import BUCKETS, AppId, MessageId, UserId
from clarion.domain.outcome import Outcome
from clarion.ports.audience import AudienceScan, AudienceUnavailableError

KILLS: Final = 16
NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
MESSAGE: Final = MessageId(str(UUID(int=2**90 + 3)))
EVENTS: Final = "select count(*), sum(value)::bigint, sum(user_id)::bigint from event"
OWNER: Final = """
import asyncio, sys
from pathlib import Path
from clarion.adapters.facts.duckdb import OwnerSettings, run_owner
from clarion.adapters.state.pool import open_pool
from clarion.adapters.system import SystemClock

async def main():
    folder = Path(sys.argv[2])
    settings = OwnerSettings(
        path=folder / "facts.duckdb", socket=folder / "facts.sock", drain_every_s=0.01,
        lag_limit_s=120.0,
    )
    async with await open_pool(sys.argv[1], max_size=2) as pool:
        await run_owner(pool, settings, SystemClock(), asyncio.Event())

asyncio.run(main())
"""


@dataclass(kw_only=True)
class Writer:
    """Commits users, devices, changes, removals and chunks until told to stop."""

    pool: asyncpg.Pool
    chance: random.Random
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    chunks: int = 0
    xid: int = 0

    async def write(self) -> None:
        """One transaction after another; some are rolled back, some are slow."""
        while not self.stop.is_set():
            async with self.pool.acquire() as connection:
                turn = connection.transaction()
                await turn.start()
                await self._change(connection)
                await self._record(connection)
                if self.chance.random() < 0.2:
                    await turn.rollback()
                    continue
                if self.chance.random() < 0.2:
                    await asyncio.sleep(0.05)
                xid = await connection.fetchval("select pg_current_xact_id()::text::bigint")
                await turn.commit()
                self.xid = max(self.xid, xid)
            await asyncio.sleep(0)

    async def _change(self, connection: asyncpg.Connection) -> None:
        people = await connection.fetch(
            """insert into users (app_id, external_id, created_at, updated_at)
               select 1, null, $1, $1 from generate_series(1, 5) returning id""",
            NOW,
        )
        await connection.execute(
            """insert into device (app_id, user_id, network, token, token_key, registered_at,
                                   created_at, updated_at)
               select 1, id, 1, 'token' || id, sha256(id::text::bytea), $1, $1, $1
               from unnest($2::bigint[]) as id""",
            NOW,
            [row["id"] for row in people],
        )
        await connection.execute(
            """update device set opted_out = not opted_out, xid = pg_current_xact_id()
               where id in (select id from device where id % 7 = $1
                            order by id desc limit 3 for update skip locked)""",
            self.chance.randrange(7),
        )
        await connection.execute(
            """with gone as (
                   delete from device where id in (select id from device where id % 11 = $1
                                                   order by id limit 1 for update skip locked)
                   returning id)
               insert into removal (kind, id, app_id) select 2, id, 1 from gone""",
            self.chance.randrange(11),
        )

    async def _record(self, connection: asyncpg.Connection) -> None:
        self.chunks += 1
        number = self.chunks
        rows = np.zeros(self.chance.randrange(1, 200), OUTCOME_ROW)
        rows["device"] = number * 1000 + np.arange(len(rows))
        rows["user"] = number
        rows["outcome"] = Outcome.ACCEPTED
        rows["network"] = 1
        rows["at_us"] = number
        await connection.execute(
            """insert into chunk (key, app_id, kind, message_ids, rows, created_at)
               values ($1, 1, 1, $2, $3, $4)""",
            f"k{number}",
            [MESSAGE],
            rows.tobytes(),
            NOW,
        )
        await connection.execute(
            """insert into event (day, event_id, app_id, user_id, name, at, value)
               select $1::date, gen_random_uuid(), 1, g, 'view', $2, $3
               from generate_series(1, $4::int) g""",
            NOW.date(),
            NOW,
            float(number),
            self.chance.randrange(1, 60),
        )


async def start_owner(url: str, folder: Path) -> asyncio.subprocess.Process:
    """An owner in a process of its own."""
    return await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, url, str(folder))


def events_taken(folder: Path) -> object:
    """What the columns say of events, once nobody owns them."""
    store = open_store(folder / "facts.duckdb", memory_mib=64, threads=1)
    with store.reading() as cursor:
        found = cursor.execute(EVENTS).fetchone()
    store.close()
    return found


async def wait_until_open(client: FactsClient) -> float:
    """Seconds until the owner answers; on a busy machine longer than the client waits for one."""
    began = time.monotonic()
    while True:
        try:
            await client.version()
        except AudienceUnavailableError:
            if time.monotonic() - began > PATIENCE_S:
                raise
        else:
            return time.monotonic() - began


async def everybody(client: FactsClient, xid: int) -> pl.DataFrame:
    """The audience with all that was committed up to a transaction, once the owner answers."""
    await wait_until_open(client)
    scan = AudienceScan(app=AppId(1), low=0, high=BUCKETS, at_least_xid=xid)
    return pl.concat([piece.rows async for piece in client.scan(scan)])


@pytest.mark.timeout(900)
async def test_an_owner_that_is_killed_loses_nothing_and_repeats_nothing(
    database_url: str, short_dir: Path
) -> None:
    """After many kills the columns equal the state store: counts, sums and every device."""
    chance = random.Random(7)  # noqa: S311  # when to kill, not a secret
    pool = await open_pool(database_url)
    await pool.execute("insert into app (name, created_at) values ('shop', $1)", NOW)
    await pool.execute("select event_days(array[$1::date])", NOW.date())
    writer = Writer(pool=pool, chance=chance)
    writing = [asyncio.create_task(writer.write()) for _ in range(2)]
    opened = []
    for _ in range(KILLS):
        owner = await start_owner(database_url, short_dir)
        client = FactsClient(short_dir / "facts.sock", SystemClock())
        if chance.random() < 0.75:
            opened.append(await wait_until_open(client))
        await asyncio.sleep(chance.random() * 0.3)  # else it dies while it starts
        await client.close()
        owner.send_signal(signal.SIGKILL)
        await owner.wait()
    writer.stop.set()
    await asyncio.gather(*writing)

    owner = await start_owner(database_url, short_dir)
    client = FactsClient(short_dir / "facts.sock", SystemClock())
    copied = await everybody(client, writer.xid)
    counts = await client.counts(AppId(1), MESSAGE, at_least_xid=writer.xid)
    doubled = await client.verify(AppId(1), MESSAGE)
    sizes = await client.sizes()
    _ = [page async for page in client.about(AppId(1), [UserId(1)], at_least_xid=writer.xid)]
    await client.close()  # now that all events are in, too
    owner.terminate()
    await owner.wait()
    recorded, row_octets = await pool.fetchrow(
        "select count(*), coalesce(sum(octet_length(rows)), 0) from chunk"
    )
    kept = await pool.fetch("select id, user_id, opted_out from device order by id")
    people = await pool.fetchval("select count(*) from users")
    events = tuple(await pool.fetchrow(EVENTS))
    await pool.close()
    print(  # noqa: T201  # what the drill found
        f"{KILLS} kills, {recorded} chunks, {row_octets // OUTCOME_ROW.itemsize} outcomes, "
        f"{len(kept)} devices; start to answer {min(opened):.2f}-{max(opened):.2f} s"
    )

    assert sum(count.count for count in counts.outcomes) == row_octets // OUTCOME_ROW.itemsize
    assert doubled == []
    assert events_taken(short_dir) == events
    assert sizes["users"] == people
    devices = copied.filter(pl.col("device") > 0).sort("device")
    assert devices.select("device", "user", "device_opted_out").rows() == [
        tuple(row) for row in kept
    ]
