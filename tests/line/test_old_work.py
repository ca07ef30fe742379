"""Finished work is removed in time, and looking for it costs nothing."""

import json

from tests.line.conftest import Store
from tests.line.test_send_line import chunk_of, claim, planned

from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.adapters.state.statements import statements

HOUR = 3600


async def test_finished_batches_are_removed_and_waiting_ones_stay(store: Store) -> None:
    """An hour later nobody asks again whether a commit arrived."""
    await planned(store, 1)
    line, house = PostgresSendLine(store.pool), PostgresHousekeeping(store.pool)
    await line.commit(chunk_of(await claim(store), 0, 10), store.now, 60)
    await store.pool.execute("update users set external_id = 'x' || external_id")
    await store.pool.execute(
        "update device set token_key = sha256(token_key), token = 'x' || token"
    )
    await planned(store, 2)

    await house.sweep(store.later(HOUR))
    assert await store.pool.fetchval("select count(*) from batch") == 2
    await house.sweep(store.later(HOUR + 61))

    assert await store.pool.fetchval("select array_agg(state) from batch") == [1]


async def test_the_halves_of_a_poison_batch_leave_nothing_behind(store: Store) -> None:
    """The batch that they took over from is finished, too."""
    await planned(store)
    await PostgresSendLine(store.pool).split(await claim(store), store.now)

    await PostgresHousekeeping(store.pool).sweep(store.later(HOUR + 61))

    assert await store.pool.fetchval("select array_agg(state) from batch") == [1, 1]


async def test_looking_for_old_work_does_not_read_what_is_finished_since(store: Store) -> None:
    """It is looked for every few seconds, among all the batches of the last hour."""
    await planned(store)
    await store.pool.execute(
        """insert into batch (key, app_id, lane, network, credential_id, message_ids, state, run_at,
                              leased_until, size, planned_xid, recipients)
           select 'done' || g, app_id, lane, network, credential_id, message_ids, 4, run_at,
                  run_at, size, planned_xid, '' from batch, generate_series(1, 20000) g"""
    )
    await store.pool.execute("vacuum batch")

    async with store.pool.acquire() as connection:
        plan = await connection.fetchval(
            "explain (analyze, buffers, format json) " + statements("line")["drop_old_work"],
            store.later(-1),
            5000,
        )

    read = json.loads(plan)[0]["Plan"]
    assert read["Shared Hit Blocks"] + read["Shared Read Blocks"] < 50
