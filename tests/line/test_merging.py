"""An anonymous person logs in: what they were sent and what waits for them counts for the known."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pytest
from tests.line.conftest import Store
from tests.line.test_caps import CAP, LATER, everybody, plan_all, ports, rule, sendings
from tests.line.test_places_given_up import SIX
from tests.line.test_places_given_up import send as send_due
from typing_extensions import override

from clarion.adapters.state.digests import PostgresDigestDesk
from clarion.adapters.state.forgetting import range_of
from clarion.adapters.state.frequency import LOOSE, PostgresFrequencyBook, add_entries
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.adapters.system import SystemChance
from clarion.domain.app_rules import Moment
from clarion.domain.device import DeviceChange
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import BatchSent
from clarion.domain.ids import BUCKETS, DeviceId, UserId
from clarion.domain.lanes import Lane
from clarion.domain.outcome import Reason
from clarion.domain.person import PersonChange
from clarion.domain.send_time import AtLocal, instant_us
from clarion.ports.messages import Target
from clarion.ports.plan_line import ClaimedShard, PlannedBatch, Rulings
from clarion.stages.delivery.overlay import Overlay
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


async def send(
    store: Store, planner: PlanningPorts, number: int, target: Target, **moment: object
) -> None:
    """Plan a campaign to somebody."""
    made = store.message(number, target, category="news")
    made = replace(made, moment=Moment(**moment))  # type: ignore[arg-type]  # a test's own mapping
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)


async def login(store: Store, user: UserId) -> UserId:
    """The stranger turns out to be `u0`."""
    known = await PostgresPeople(store.pool).login(store.app, user, "u0", store.now)
    assert known is not None
    return known.id


async def counted(store: Store, *users: int) -> list[int]:
    """How many entries caps count for each of these."""
    book = PostgresFrequencyBook(store.pool)
    usage = await book.read(store.app, (0, BUCKETS), store.now - timedelta(days=7))
    return [int((usage.ledger.user == user).sum()) for user in users]


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
    assert await counted(store, known) == [CAP]


async def test_a_plan_that_is_being_made_counts_anew(store: Store) -> None:
    """The login moves the version of the known person's range."""
    await store.add_people(1)
    await rule(store, [{"count": CAP, "per": "7d"}])
    user, device = await stranger(store)
    planner = ports(store)
    await send(store, planner, 1, Target(users=["u0"]))
    await send(store, planner, 2, Target(devices=[device]))
    version = "select version from cap_range where range = $1"
    known = await store.pool.fetchval("select id from users where external_id = 'u0'")
    before = await store.pool.fetchval(version, range_of(known))
    await login(store, user)

    assert await store.pool.fetchval(version, range_of(known)) == before + 1


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
    known = await login(store, user)
    rows = await store.pool.fetch("select id from users where external_id <> 'u0'")
    assert await counted(store, known) == [2]
    assert await counted(store, *(row["id"] for row in rows)) == [1] * 199


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


async def reasons_at_dispatch(store: Store, seconds: float) -> list[int]:
    """Why the recipients of what is due then may not be sent to; 0 where they may."""
    line = PostgresSendLine(store.pool)
    claimed = await line.claim("s", list(Lane), store.later(seconds), 300)
    assert claimed is not None
    batch = claimed.batch
    found = await Overlay(line).reasons(batch.recipients, batch.planned_xid)
    return [int(reason) for reason in found]


async def test_a_held_push_goes_to_the_device_of_who_they_turned_out_to_be(store: Store) -> None:
    """It is the same device of the same person, who has another number by then."""
    await store.add_people(1)
    await rule(store, [])
    user, device = await stranger(store)
    await send(store, ports(store), 1, Target(devices=[device]), local=LATER)
    await login(store, user)

    assert await reasons_at_dispatch(store, SIX) == [0]


async def test_a_held_push_does_not_follow_the_device_to_somebody_else(store: Store) -> None:
    """They logged in, sold the phone, and the next owner logged in on it."""
    await store.add_people(2)
    await rule(store, [])
    user, device = await stranger(store)
    await send(store, ports(store), 1, Target(devices=[device]), local=LATER)
    await login(store, user)
    other = await store.pool.fetchval("select id from users where external_id = 'u1'")
    await PostgresDevices(store.pool).change(store.app, device, DeviceChange(user=other), store.now)

    assert await reasons_at_dispatch(store, SIX) == [Reason.DEVICE_MOVED]


@pytest.mark.parametrize(
    ("change", "reason"),
    [("opted_out = true", Reason.USER_OPTED_OUT), ("suppressed = true", Reason.SUPPRESSION_LIST)],
)
async def test_who_they_turned_out_to_be_may_have_said_no(
    store: Store, change: str, reason: Reason
) -> None:
    """The known person's word counts for what was planned for the anonymous one."""
    await store.add_people(1)
    await rule(store, [])
    user, device = await stranger(store)
    await send(store, ports(store), 1, Target(devices=[device]), local=LATER)
    await store.pool.execute(f"update users set {change} where external_id = 'u0'")  # noqa: S608  a test's own text
    await login(store, user)

    assert await reasons_at_dispatch(store, SIX) == [reason]


async def test_what_is_held_for_the_anonymous_one_counts(store: Store) -> None:
    """It will be sent, so it has its place in the cap."""
    await store.add_people(1)
    await rule(store, [{"count": 1, "per": "7d"}])
    user, device = await stranger(store)
    planner = ports(store)
    await send(store, planner, 1, Target(devices=[device]), local=LATER)
    known = await login(store, user)
    await send(store, planner, 2, Target(users=["u0"]))

    assert await sendings(store) == {user: 1}
    assert await counted(store, known) == [1]


@pytest.mark.parametrize("logs_in_first", [True, False])
async def test_a_held_part_gives_way_under_whatever_number(
    store: Store, *, logs_in_first: bool
) -> None:
    """The more important message went out to the person, before or after they logged in."""
    held, winner = 1, 9
    await store.add_people(1)
    await rule(store, [{"count": 1, "per": "7d"}])
    user, device = await stranger(store)
    planner = ports(store)
    await send(store, planner, held, Target(devices=[device]), local=LATER, importance=1)
    await send(store, planner, winner, Target(devices=[device]), importance=9)
    if logs_in_first:
        known = await login(store, user)
        assert await send_due(store, 0) == {winner: {0}}
    else:
        assert await send_due(store, 0) == {winner: {0}}
        known = await login(store, user)

    assert await send_due(store, SIX) == {held: {Reason.GAVE_WAY}}
    assert await counted(store, known) == [1], "one message, the more important one"


@pytest.mark.parametrize(
    ("day", "due"),
    [
        (date(2026, 3, 29), datetime(2026, 3, 29, 1, 0, tzinfo=UTC)),  # 02:30 is skipped
        (date(2026, 10, 25), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # 02:30 comes twice
    ],
)
async def test_a_local_time_on_the_night_of_a_clock_change_outlives_a_login(
    store: Store, day: date, due: datetime
) -> None:
    """It is due when it was; and it is the known person's only message of that day."""
    store = replace(store, now=datetime(day.year, day.month, day.day - 1, 12, tzinfo=UTC))
    await store.add_people(1)
    await rule(store, [{"count": 1, "per": "day"}])
    user, device = await stranger(store)
    await store.pool.execute("update device set time_zone = 'Europe/Berlin'")
    planner = ports(store)
    night = AtLocal(clock=time(2, 30), day=day)
    await send(store, planner, 1, Target(devices=[device]), local=night)
    known = await login(store, user)
    late = AtLocal(clock=time(23, 59), day=day)
    await send(store, planner, 2, Target(users=["u0"]), local=late)
    assert await sendings(store) == {user: 1}, "however many hours the day has"
    early = AtLocal(clock=time(0, 0), day=day + timedelta(days=1))
    await send(store, planner, 3, Target(users=["u0"]), local=early)
    assert await sendings(store) == {user: 1, known: 2}, "one message, two devices"

    assert await store.pool.fetchval("select min(run_at) from batch") == due
    assert await reasons_at_dispatch(store, (due - store.now).total_seconds()) == [0]


class MeanwhileLine(PostgresPlanLine):
    """Something happens between the decision about a shard and its commit."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    @override
    async def commit_shard(
        self,
        claimed: ClaimedShard,
        batches: Sequence[PlannedBatch],
        skipped: Sequence[BatchSent],
        now: datetime,
        rulings: Rulings | None = None,
    ) -> bool:
        """See the port."""
        if self.meanwhile is not None:
            happens, self.meanwhile = self.meanwhile, None
            await happens()
        return await super().commit_shard(claimed, batches, skipped, now, rulings)


def interrupted(store: Store, happens: Callable[[], Awaitable[object]]) -> PlanningPorts:
    """A planner to whom that happens before its next commit."""
    line = MeanwhileLine(store.pool)
    line.meanwhile = happens
    return replace(ports(store), line=line)


async def test_a_plan_that_commits_after_the_login_counts_for_the_known_person(
    store: Store,
) -> None:
    """It was made for a number that nobody has any more."""
    await store.add_people(1)
    await rule(store, [{"count": 1, "per": "7d"}])
    user, device = await stranger(store)
    only = Target(devices=[device])
    await send(store, interrupted(store, lambda: login(store, user)), 1, only)
    known = await store.pool.fetchval("select id from users")
    assert await counted(store, known) == [1]
    await send(store, ports(store), 2, Target(users=["u0"]))
    assert await sendings(store) == {user: 1}, "the cap is full"


async def test_a_login_waits_for_a_plan_that_is_being_committed(store: Store) -> None:
    """Neither can see the other's rows, so the second looks when the first is done."""
    await store.add_people(1)
    await rule(store, [{"count": 5, "per": "7d"}])
    user, device = await stranger(store)
    planner, only = ports(store), Target(devices=[device])
    await send(store, planner, 1, only)
    made = replace(store.message(2, only, category="news"), moment=Moment())
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    async with store.pool.acquire() as other:
        held = other.transaction()
        await held.start()
        # The commit counts the message's work after it has written all else, and stops here.
        await other.execute("select from message where id = $1 for update", made.message.id)
        plan = asyncio.create_task(plan_all(planner))
        await waiting(store, 1)
        known = asyncio.create_task(login(store, user))
        await waiting(store, 2)
        await held.rollback()
    await plan
    assert await counted(store, await known) == [2]


async def test_a_login_waits_for_a_part_for_a_digest_that_is_being_committed(
    store: Store,
) -> None:
    """Where nobody has ever counted for a cap, too."""
    await store.add_people(1)
    await rule(store, [])
    user, device = await stranger(store)
    await store.pool.execute("update category set can_opt_out = true where slug = 'news'")
    await store.pool.execute("update users set granted = 32, daily = 32")
    planner, only = ports(store), Target(devices=[device])
    made = replace(store.message(1, only, category="news"), moment=Moment())
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    async with store.pool.acquire() as other:
        held = other.transaction()
        await held.start()
        # As above: all else is written by then.
        await other.execute("select from message where id = $1 for update", made.message.id)
        plan = asyncio.create_task(plan_all(planner))
        await waiting(store, 1)
        login_ = asyncio.create_task(login(store, user))
        waits = asyncio.create_task(waiting(store, 2))
        await asyncio.wait({login_, waits}, return_when=asyncio.FIRST_COMPLETED)
        await held.rollback()
    await plan
    known = await login_
    waits.cancel()
    await asyncio.gather(waits, return_exceptions=True)

    parts = await store.pool.fetch("select range, people from digest_item where people <> ''")
    assert list(map(tuple, parts)) == [(range_of(known), int(known).to_bytes(8, "little"))]


@pytest.mark.parametrize(("zone", "entries"), [("UTC", 1), ("Europe/Berlin", 2)])
async def test_a_plan_for_both_that_commits_after_the_login_counts_both_parts(
    store: Store, zone: str, entries: int
) -> None:
    """The known person is in the same plan; at one instant it is one message to one person."""
    await store.add_people(1)
    await rule(store, [{"count": 5, "per": "7d"}])
    user, device = await stranger(store)
    await store.pool.execute(
        "update device set time_zone = case when id = $1 then $2 else 'UTC' end", device, zone
    )
    both = Target(users=["u0"], devices=[device])
    planner = interrupted(store, lambda: login(store, user))
    await send(store, planner, 1, both, local=LATER)
    known = await store.pool.fetchval("select id from users")
    assert await counted(store, known, user) == [entries, 0]


async def test_a_part_for_a_digest_waits_once_for_who_is_in_the_same_plan(store: Store) -> None:
    """Until the earlier of two instants."""
    await store.add_people(1)
    await rule(store, [])
    user, device = await stranger(store)
    await store.pool.execute("update category set can_opt_out = true where slug = 'news'")
    await store.pool.execute("update users set granted = 32, daily = 32")
    await store.pool.execute(
        "update device set time_zone = case when id = $1 then 'Asia/Tokyo' else 'UTC' end", device
    )
    both = Target(users=["u0"], devices=[device])
    await send(store, interrupted(store, lambda: login(store, user)), 1, both)
    known = await store.pool.fetchval("select id from users")

    parts = await store.pool.fetch("select people from digest_item where people <> ''")
    assert [row["people"] for row in parts] == [int(known).to_bytes(8, "little")]


async def waiting(store: Store, count: int) -> None:
    """Until so many transactions wait for a lock."""
    sql = (
        "select count(*) from pg_stat_activity "
        "where datname = current_database() and wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(120):
        while await store.pool.fetchval(sql) < count:  # noqa: ASYNC110  # the server's state
            await asyncio.sleep(0.01)


async def test_a_part_for_a_digest_that_is_late_waits_for_the_known_person(store: Store) -> None:
    """Nobody would be told of it under the old number."""
    await store.add_people(1)
    await rule(store, [])
    user, device = await stranger(store)
    await store.pool.execute("update category set can_opt_out = true where slug = 'news'")
    await store.pool.execute("update users set granted = 32, daily = 32")
    only = Target(devices=[device])
    await send(store, interrupted(store, lambda: login(store, user)), 1, only)
    known = await store.pool.fetchval("select id from users")

    (part,) = await store.pool.fetch("select range, people from digest_item")
    assert tuple(part) == (range_of(known), int(known).to_bytes(8, "little"))


async def test_who_gave_way_just_after_a_login_did_so_under_both_numbers(store: Store) -> None:
    """The held message's entry is the known person's by then."""
    held, winner = 1, 9
    await store.add_people(1)
    await rule(store, [{"count": 1, "per": "7d"}])
    user, device = await stranger(store)
    only = Target(devices=[device])
    await send(store, ports(store), held, only, local=LATER, importance=1)
    planner = interrupted(store, lambda: login(store, user))
    await send(store, planner, winner, only, importance=9)
    known = await store.pool.fetchval("select id from users")
    assert await counted(store, known) == [2]
    assert await send_due(store, 0) == {winner: {0}}
    assert await send_due(store, SIX) == {held: {Reason.GAVE_WAY}}
    assert await counted(store, known) == [1]


async def test_an_urgent_message_that_was_written_down_late_is_sorted_in_for_the_known_person(
    store: Store,
) -> None:
    """No plan locks anything for it; it is sorted in seconds later."""
    await store.add_people(1)
    await rule(store, [{"count": 1, "per": "7d"}])
    user, _ = await stranger(store)
    known = await login(store, user)
    byte = np.ones(1, np.uint8)
    entry = Ledger(
        user=np.array([user], np.int64),
        at_us=np.array([instant_us(store.now)], np.int64),
        networks=byte,
        category=byte,
        priority=byte,
    )
    async with store.pool.acquire() as connection:
        await add_entries(connection, store.app, None, iter([(LOOSE, entry)]), store.now)
    assert await counted(store, known) == [0]
    await PostgresFrequencyBook(store.pool).sort_in(store.later(60), at_once=10)
    assert await counted(store, known) == [1]
