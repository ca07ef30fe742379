"""An anonymous person logs in: what they were sent and what waits for them counts for the known."""

from datetime import timedelta

import numpy as np
from tests.line.conftest import Store
from tests.line.test_caps import CAP, everybody, plan_all, ports, rule, sendings

from clarion.adapters.state.digests import PostgresDigestDesk
from clarion.adapters.state.forgetting import range_of
from clarion.adapters.state.frequency import PostgresFrequencyBook
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.system import SystemChance
from clarion.domain.ids import BUCKETS, DeviceId, UserId
from clarion.domain.person import PersonChange
from clarion.ports.messages import Target
from clarion.stages.planning.ports import PlanningPorts


async def stranger(store: Store) -> tuple[UserId, DeviceId]:
    """Somebody without a name, and their device, in another range of buckets than `u0`."""
    await store.pool.execute("alter table users alter id restart with 9000500")
    person = await PostgresPeople(store.pool).create_anonymous(
        store.app, PersonChange(), store.now - timedelta(days=1)
    )
    device = await store.pool.fetchval(
        "insert into device (app_id, user_id, network, token, token_key, registered_at, "
        "created_at, updated_at) values ($1, $2, 1, repeat('ab', 32), '\\xab', $3, $3, $3) "
        "returning id",
        store.app,
        person.id,
        store.now,
    )
    return person.id, DeviceId(device)


async def send(store: Store, planner: PlanningPorts, number: int, target: Target) -> None:
    """Plan a campaign to somebody."""
    made = store.message(number, target, category="news")
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)


async def login(store: Store, user: UserId) -> UserId:
    """The stranger turns out to be `u0`."""
    known = await PostgresPeople(store.pool).login(store.app, user, "u0", store.now)
    assert known is not None
    return known.id


async def test_a_cap_allows_both_together_what_it_allows_one(store: Store) -> None:
    """What the anonymous person was sent counts after the login, once."""
    await store.add_people(1)
    await rule(store, [{"count": CAP, "per": "7d"}])
    user, device = await stranger(store)
    planner = ports(store)
    for number in range(CAP - 1):
        await send(store, planner, number + 1, Target(devices=[device]))
    known = await login(store, user)
    for number in range(CAP):
        await send(store, planner, 10 + number, Target(users=["u0"]))

    assert await sendings(store) == {user: CAP - 1, known: 1 * 2}  # two devices by now
    usage = await PostgresFrequencyBook(store.pool).read(
        store.app, (0, BUCKETS), store.now - timedelta(days=7)
    )
    assert set(usage.ledger.user.tolist()) == {known}


async def test_a_plan_that_is_being_made_counts_anew(store: Store) -> None:
    """The login moves the version of the known person's range."""
    await store.add_people(1)
    await rule(store, [{"count": CAP, "per": "7d"}])
    user, _ = await stranger(store)
    planner = ports(store)
    await send(store, planner, 1, Target(users=["u0"]))
    before = await store.pool.fetchval("select max(version) from cap_range")
    await login(store, user)

    assert await store.pool.fetchval("select max(version) from cap_range") == before + 1


async def test_what_waits_for_a_digest_waits_for_the_known_person(store: Store) -> None:
    """Once, where both were to get the same message."""
    await store.add_people(1)
    await rule(store, [])
    user, device = await stranger(store)
    await store.pool.execute("update category set can_opt_out = true where slug = 'news'")
    await store.pool.execute("update users set granted = 32, daily = 32")
    planner = ports(store)
    both = Target(users=["u0"], devices=[device])
    await send(store, planner, 1, both)
    await send(store, planner, 2, Target(devices=[device]))
    known = await login(store, user)

    desk = PostgresDigestDesk(store.pool, SystemChance())
    await desk.open_due(store.now + timedelta(days=1), at_once=10)
    digests = await store.pool.fetch("select distinct digest_id::text as id from digest_item")
    items = [await desk.items(row["id"], (0, BUCKETS)) for row in digests]
    assert sorted(user for found in items for user in found["user"].to_list()) == [known, known]


async def test_numbers_across_packed_octets_are_left_alone(store: Store) -> None:
    """Others' entries and parts stay as they are."""
    await store.add_people(200)
    await rule(store, [{"count": CAP, "per": "7d"}])
    user, device = await stranger(store)
    planner = ports(store)
    made = everybody(store, 1)
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)
    await send(store, planner, 2, Target(devices=[device]))
    await login(store, user)
    usage = await PostgresFrequencyBook(store.pool).read(
        store.app, (0, BUCKETS), store.now - timedelta(days=7)
    )
    assert len(usage.ledger) == 201
    assert len(set(usage.ledger.user.tolist())) == 200


async def test_a_number_that_stands_across_two_others_is_not_there(store: Store) -> None:
    """Two people's octets look like the known person's; the part that waits is no less theirs."""
    await store.add_people(1)
    await rule(store, [])
    user, device = await stranger(store)
    await store.pool.execute("update category set can_opt_out = true where slug = 'news'")
    await store.pool.execute("update users set granted = 32, daily = 32")
    await send(store, ports(store), 1, Target(devices=[device]))
    known = await store.pool.fetchval("select id from users where external_id = 'u0'")
    others = np.array([known * 256, 512], "<i8").tobytes()
    assert int(known).to_bytes(8, "little") in others
    await store.pool.execute(
        "insert into digest_item (app_id, category_id, message_id, range, due_at, people, "
        "created_at) select app_id, category_id, message_id, $1, due_at, $2, created_at "
        "from digest_item",
        range_of(known),
        others,
    )
    await login(store, user)

    parts = await store.pool.fetch(
        "select people from digest_item where range = $1 order by id", range_of(known)
    )
    assert [row["people"] for row in parts] == [others, int(known).to_bytes(8, "little")]
