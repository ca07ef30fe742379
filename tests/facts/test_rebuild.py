"""The audience is read anew while askers see what was there; events and changes outlive a crash."""

import asyncio
from pathlib import Path

import asyncpg
import polars as pl
from tests.facts.test_owner import NOW, add_people, owner, pool

from clarion.adapters.facts.duckdb import FactsClient
from clarion.adapters.facts.duckdb.store import open_store
from clarion.domain.ids import BUCKETS, AppId
from clarion.ports.audience import AudienceScan

__all__ = ["pool"]
FEW = 300


async def languages(client: FactsClient, at_least: int = 0) -> list[str | None]:
    """What a scan of everybody says, each language once."""
    scan = AudienceScan(app=AppId(1), low=0, high=BUCKETS, at_least_xid=at_least)
    rows = pl.concat([piece.rows async for piece in client.scan(scan)])
    assert rows.height == FEW
    found: list[str | None] = rows["language"].unique().sort().to_list()
    return found


async def test_scans_see_the_old_columns_until_the_new_are_complete(
    pool: asyncpg.Pool, short_dir: Path
) -> None:
    """A rebuild that is stopped in the middle of its reading hides nobody."""
    xid = await add_people(pool, FEW)
    async with owner(pool, short_dir) as client:
        await languages(client, xid)
        async with pool.acquire() as other:
            holding = other.transaction()
            await holding.start()
            await other.execute("lock table device in access exclusive mode")
            rebuilding = asyncio.create_task(client.rebuild())
            while (await client.rebuilding())[0] < FEW:  # noqa: ASYNC110  devices wait; nothing tells us
                await asyncio.sleep(0.02)
            seen = [await languages(client) for _ in range(3)]
            done_early = rebuilding.done()
            _, there = await client.rebuilding()
            await holding.rollback()
        rows = await rebuilding

    assert seen == [[None]] * 3
    assert not done_early
    assert (rows, there) == (2 * FEW, 2 * FEW)


async def test_a_restart_reads_only_what_changed(pool: asyncpg.Pool, short_dir: Path) -> None:
    """What only the columns know is still there after a restart; a rebuild replaces it."""
    xid = await add_people(pool, FEW)
    async with owner(pool, short_dir) as client:
        await languages(client, xid)
    store = open_store(short_dir / "facts.duckdb", memory_mib=64, threads=1)
    with store.writing() as cursor:
        cursor.execute("update users set language = 'xx' where external_id = 'u1'")
    store.close()
    changed = await pool.fetchval(
        """update users set language = 'de', updated_at = $1, xid = pg_current_xact_id()
           where external_id = 'u2' returning xid::text::bigint""",
        NOW,
    )
    async with owner(pool, short_dir) as client:
        after = await languages(client, changed)
        await client.rebuild()
        anew = await languages(client)

    assert after == [None, "de", "xx"]
    assert anew == [None, "de"]
