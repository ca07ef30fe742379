"""Messages become shards, shards become batches, each exactly once."""

import asyncio
import itertools
import json

import polars as pl
import pytest
from tests.line.conftest import Store

from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.plan_line import USERS_PER_SHARD, PostgresPlanLine
from clarion.adapters.state.statements import statements
from clarion.domain.ids import BUCKETS, DeviceId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.ports.messages import Target
from clarion.ports.plan_line import ClaimedShard, PlannedBatch


async def accept(store: Store, number: int, target: Target, **changes: object) -> None:
    """Accept a message for planning."""
    await PostgresJournal(store.pool).accept(store.message(number, target, **changes), store.now)


async def claim_all(line: PostgresPlanLine, store: Store) -> list[ClaimedShard]:
    """Every shard that is ready."""
    shards = []
    while (claimed := await line.claim_shard("p1", store.now, 60)) is not None:
        shards.append(claimed)
    return shards


async def test_a_broadcast_is_cut_into_shards_that_cover_every_bucket_once(store: Store) -> None:
    """No user is planned twice and none is left out."""
    line = PostgresPlanLine(store.pool)
    await accept(store, 1, Target(everybody=True))

    assert await line.expand_due(store.now, limit=10) == 1
    shards = await claim_all(line, store)

    ranges = sorted((claimed.shard.low, claimed.shard.high) for claimed in shards)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == BUCKETS
    assert all(high == low for (_, high), (low, _) in itertools.pairwise(ranges))


@pytest.mark.parametrize(
    ("greatest_id", "shards"),
    [(1_000, 8), (600_000, 16), (1_000_000, 32), (10_000_000, 205), (10**9, 1024)],
)
async def test_a_larger_audience_is_cut_into_more_shards(
    store: Store, greatest_id: int, shards: int
) -> None:
    """No shard grows with the audience, up to one for each bucket."""
    line = PostgresPlanLine(store.pool)
    await store.pool.execute(ONE_USER, greatest_id, store.app, store.now)
    await accept(store, 1, Target(everybody=True))
    await line.expand_due(store.now, limit=10)

    ranges = await store.pool.fetch("select low, high from shard order by low")
    assert len(ranges) == shards
    widest = max(high - low for low, high in ranges)
    assert widest == 1 or greatest_id * widest / BUCKETS <= USERS_PER_SHARD
    assert ranges[-1]["high"] == BUCKETS
    open_shards = await store.pool.fetchval("select open_shards from message")
    assert open_shards == shards


async def test_a_small_app_beside_a_large_one_is_cut_for_itself(store: Store) -> None:
    """The store's statistics know whose the users are."""
    line = PostgresPlanLine(store.pool)
    large = await store.pool.fetchval(
        "insert into app (name, created_at) values ('large', $1) returning id", store.now
    )
    await store.pool.execute(
        """insert into users (app_id, created_at, updated_at)
           select case when g % 100 = 0 then $1::int else $2::int end, $3, $3
           from generate_series(1, 5000) g""",
        store.app,
        large,
        store.now,
    )
    await store.pool.execute(ONE_USER, 10_000_000, large, store.now)
    await store.pool.execute("analyze users")
    await accept(store, 1, Target(everybody=True))
    await line.expand_due(store.now, limit=10)

    assert await store.pool.fetchval("select count(*) from shard") == 8


ONE_USER = """insert into users (id, app_id, created_at, updated_at) overriding system value
values ($1, $2, $3, $3)"""


async def test_a_message_before_its_time_is_left_alone(store: Store) -> None:
    """Scheduled means scheduled."""
    line = PostgresPlanLine(store.pool)
    await accept(store, 1, Target(everybody=True), send_at=store.later(60))

    assert await line.expand_due(store.later(59), limit=10) == 0
    assert await line.expand_due(store.later(60), limit=10) == 1


async def test_two_planners_never_expand_the_same_message(store: Store) -> None:
    """Ten messages, five planners at once: ten expansions."""
    line = PostgresPlanLine(store.pool)
    for number in range(10):
        await accept(store, number, Target(users=["u1"]))

    done = await asyncio.gather(*(line.expand_due(store.now, limit=4) for _ in range(5)))

    assert sum(done) == 10


async def test_urgent_shards_are_claimed_first(store: Store) -> None:
    """A transactional message does not wait behind a campaign."""
    line = PostgresPlanLine(store.pool)
    await accept(store, 1, Target(everybody=True))
    await accept(store, 2, Target(users=["u1"]), lane=Lane.TRANSACTIONAL)
    await line.expand_due(store.now, limit=10)

    claimed = await line.claim_shard("p1", store.now, 60)

    assert claimed is not None
    assert claimed.shard.lane is Lane.TRANSACTIONAL


async def test_a_planner_that_lost_its_lease_records_nothing(store: Store) -> None:
    """The fence decides between a zombie and its successor."""
    line = PostgresPlanLine(store.pool)
    await accept(store, 1, Target(users=["u1"]))
    await line.expand_due(store.now, limit=10)
    zombie = await line.claim_shard("p1", store.now, 60)
    await store.pool.execute("update shard set state = 1, owner = null, leased_until = null")
    successor = await line.claim_shard("p2", store.now, 60)
    assert zombie is not None
    assert successor is not None
    batch = await one_batch(store, line)

    assert not await line.commit_shard(zombie, [batch], [], store.now)
    assert await line.commit_shard(successor, [batch], [], store.now)

    assert await store.pool.fetchval("select count(*) from batch") == 1
    assert await store.pool.fetchval("select count(*) from shard") == 0


async def one_batch(store: Store, line: PostgresPlanLine) -> PlannedBatch:
    """A batch of one person's device."""
    await store.add_people(3)
    resolved = await line.resolve(store.app, Target(users=["u1"]))
    credentials = await line.credentials(store.app)
    return PlannedBatch(
        key="b",
        network=Network.APNS,
        credential=credentials[Network.APNS],
        planned_xid=resolved.xid,
        rows=resolved.rows,
    )


async def test_a_device_named_twice_is_resolved_once(store: Store) -> None:
    """Naming a user, an alias and the device itself reaches the device once."""
    await store.add_people(3)
    line = PostgresPlanLine(store.pool)
    user, device = await store.pool.fetchrow("select user_id, id from device limit 1")
    await store.pool.execute("insert into user_alias values ($1, 'crm', 'x', $2)", store.app, user)
    name = await store.pool.fetchval("select external_id from users where id = $1", user)

    resolved = await line.resolve(
        store.app, Target(users=[name], aliases=[("crm", "x")], devices=[device])
    )

    assert resolved.rows["device"].to_list() == [device]
    assert resolved.rows["token"].dtype == pl.Binary


async def test_names_that_are_not_there_are_told(store: Store) -> None:
    """An unknown name is an outcome, not a silence; other tenants' names are unknown."""
    await store.add_people(1)
    line = PostgresPlanLine(store.pool)
    other = await store.pool.fetchval(
        "insert into app (name, created_at) values ('other', $1) returning id", store.now
    )

    resolved = await line.resolve(
        store.app, Target(users=["u0", "nobody"], aliases=[("crm", "9")], devices=[DeviceId(77)])
    )
    foreign = await line.resolve(other, Target(users=["u0"]))

    assert [(one.name, one.reason) for one in resolved.unknown] == [
        ("nobody", Reason.USER_UNKNOWN),
        ("crm:9", Reason.USER_UNKNOWN),
        ("77", Reason.DEVICE_UNKNOWN),
    ]
    assert [one.name for one in foreign.unknown] == ["u0"]


async def test_messages_of_the_far_future_cost_the_planner_nothing(store: Store) -> None:
    """It looks for what is due many times a second: 20,000 reminders are not read each time."""
    await accept(store, 1, Target(users=["u1"]), send_at=store.later(86400))
    await store.pool.execute(
        """insert into message (id, app_id, lane, state, request, envelope, target, send_at,
                                key_id, created_at)
           select gen_random_uuid(), app_id, g % 4, state, request, envelope, target,
                  send_at + g * interval '1 second', key_id, created_at
           from message, generate_series(1, 20000) g"""
    )
    await store.pool.execute("vacuum message")

    async with store.pool.acquire() as connection:
        plan = await connection.fetchval(
            "explain (analyze, buffers, format json) " + statements("line")["expand_due"],
            store.now,
            100,
            128,
            BUCKETS,
            list(Lane),
            50_000.0,
            32,
        )

    read = json.loads(plan)[0]["Plan"]
    assert read["Shared Hit Blocks"] + read["Shared Read Blocks"] < 50
