"""The audience as a file: each person once, whatever the number of devices."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import polars as pl
import pyarrow.parquet as pq
from tests.facts.test_owner import MESSAGE, add_people, owner, pool

from clarion.api.exporting import as_csv, as_parquet, people
from clarion.domain.ids import AppId

__all__ = ["pool"]


async def whole(pieces: AsyncIterator[bytes]) -> bytes:
    """All pieces."""
    return b"".join([piece async for piece in pieces])


async def test_each_person_is_one_row_in_both_forms(pool: asyncpg.Pool, short_dir: Path) -> None:
    """Two devices make no second row; texts are plain, attributes that are lists stay JSON."""
    await add_people(pool, 200)
    await pool.execute(
        """insert into device (app_id, user_id, network, token, token_key, registered_at,
                               created_at, updated_at)
           select 1, id, 2, 'second' || id, sha256(('2' || id)::bytea), created_at, created_at,
                  created_at from users"""
    )
    xid = await pool.fetchval(
        """update users set attributes = '{"plan": ["a", "b"]}', xid = pg_current_xact_id()
           where external_id = 'u7' returning xid::text::bigint"""
    )
    async with owner(pool, short_dir) as client:
        await client.counts(AppId(1), MESSAGE, at_least_xid=xid)  # an export waits for nothing
        tables = [t async for t in people(client, AppId(1), None, ["tag.plan"])]

        async def again() -> AsyncIterator[pl.DataFrame]:
            for table in tables:
                yield table

        csv = pl.read_csv(await whole(as_csv(again())))
        parquet = pl.from_arrow(pq.read_table(io.BytesIO(await whole(as_parquet(again())))))

    assert isinstance(parquet, pl.DataFrame)
    assert csv.sort("user").equals(parquet.sort("user"))
    assert sorted(csv["external_id"]) == sorted(f"u{n}" for n in range(1, 201))
    told = dict(csv.select("external_id", "tag.plan").iter_rows())
    assert (told["u1"], told["u7"]) == ("pro", '["a","b"]')
