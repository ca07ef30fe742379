"""What a chunk's commit brings besides: a look at the registry, and a lease that lasts."""

from dataclasses import replace

from tests.line.conftest import Store
from tests.line.test_send_line import ALL_LANES, chunk_of, claim, planned

from clarion.adapters.state.send_line import PostgresSendLine


async def test_a_commit_brings_what_changed_in_the_registry(store: Store) -> None:
    """The same as a question of its own, and nothing unless it is asked for."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await claim(store)
    since = claimed.batch.planned_xid
    first = replace(chunk_of(claimed, 0, 2), look_since_xid=since)
    nothing = (await line.commit(first, store.now, 60)).changes
    assert nothing is not None
    await store.pool.execute(
        "update device set opted_out = true, xid = pg_current_xact_id() where id = any ($1)",
        claimed.batch.recipients.device[:3].tolist(),
    )

    second = replace(chunk_of(claimed, 2, 4), look_since_xid=nothing.xid)
    found = (await line.commit(second, store.now, 60)).changes

    asked = await line.changes(nothing.xid)
    assert found is not None
    assert asked is not None
    assert sorted(found.device.tolist()) == sorted(asked.device.tolist())
    assert set(claimed.batch.recipients.device[:3].tolist()) <= set(found.device.tolist())
    assert (await line.commit(chunk_of(claimed, 4, 6), store.now, 60)).changes is None


async def test_a_lease_moves_once_a_minute_of_it_is_spent(store: Store) -> None:
    """A batch's row is rewritten in place until then."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    claimed = await line.claim("s1", ALL_LANES, store.now, 300)
    assert claimed is not None

    async def until_after(low: int, seconds: float) -> float:
        await line.commit(chunk_of(claimed, low, low + 1), store.later(seconds), 300)
        until = await store.pool.fetchval("select leased_until from batch")
        return float((until - store.now).total_seconds())

    assert await until_after(0, 59) == 300
    assert await until_after(1, 61) == 361
