"""An erasure takes a person out of what was planned: held batches, digests, what caps counted."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import polars as pl
from tests.line.conftest import Store, one_waits
from tests.line.test_caps import LATER, PEOPLE, everybody, plan_all, ports, rule
from tests.line.test_send_line import chunk_of, claim, planned, state_of

from clarion.adapters.state.digests import PostgresDigestDesk
from clarion.adapters.state.erasure import PostgresErasures
from clarion.adapters.state.events import PostgresEvents
from clarion.adapters.state.frequency import decoded
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.pool import transaction
from clarion.adapters.state.recipient_columns import decode, encode_recipients
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.adapters.state.statements import statements
from clarion.adapters.system import SystemChance
from clarion.domain.app_rules import Moment
from clarion.domain.campaign import MessageState
from clarion.domain.ids import UserId
from clarion.ports.erasure import Erasure
from clarion.stages.intake.events import EventIntake, record_rows
from clarion.testing.clock import ManualClock


async def person(store: Store, name: str) -> UserId:
    """The number of somebody."""
    return UserId(await store.pool.fetchval("select id from users where external_id = $1", name))


async def erase(store: Store, name: str) -> Erasure:
    """Erase somebody whose facts are removed at once."""
    erasures = PostgresErasures(store.pool, SystemChance())
    begun = await erasures.begin(store.app, await person(store, name), store.now)
    assert begun is not None
    return await erasures.finish(begun.id, {}, store.now)


async def held(store: Store) -> list[int]:
    """People of all open batches."""
    rows = await store.pool.fetch("select recipients, size from batch where state <> 4")
    assert all(len(decode(row["recipients"])) == row["size"] for row in rows)
    return [user for row in rows for user in decode(row["recipients"]).user.tolist()]


async def test_who_is_erased_is_in_no_batch_and_under_no_cap(store: Store) -> None:
    """The others stay."""
    await store.add_people(PEOPLE)
    await rule(store, [{"count": 3, "per": "7d"}])
    planner = ports(store)
    await PostgresJournal(store.pool).accept(
        everybody(store, 1, moment=Moment(local=LATER)), store.now
    )
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)
    gone = await person(store, "u7")

    done = await erase(store, "u7")

    assert (done.removed["state.batches"], done.removed["state.caps"]) == (1, 1)
    assert len(await held(store)) == PEOPLE - 1
    assert gone not in await held(store)
    counted = await store.pool.fetch("select rows from frequency_ledger")
    users = decoded([row["rows"] for row in counted]).user
    assert len(users) == PEOPLE - 1
    assert gone not in users


async def test_who_is_erased_waits_for_no_digest(store: Store) -> None:
    """Their part leaves the window; others' stay."""
    await store.add_people(PEOPLE)
    await rule(store, [])
    await store.pool.execute("update category set can_opt_out = true where slug = 'news'")
    await store.pool.execute("update users set granted = 32, daily = 32")
    planner = ports(store)
    await PostgresJournal(store.pool).accept(everybody(store, 1), store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)
    gone = await person(store, "u7")

    assert (await erase(store, "u7")).removed["state.digests"] == 1

    desk = PostgresDigestDesk(store.pool, SystemChance())
    assert await desk.open_due(store.now + timedelta(hours=6), at_once=10) == 1
    digest = await store.pool.fetchval("select digest_id::text from digest_item limit 1")
    items = await desk.items(digest, (0, 1024))
    assert len(items) == PEOPLE - 1
    assert gone not in items["user"].to_list()


async def test_a_half_sent_batch_goes_on_where_it_was(store: Store) -> None:
    """Rows that are recorded keep their places, as nobody's; of those to come one is missing."""
    await planned(store)
    line = PostgresSendLine(store.pool)
    leased = await claim(store)
    await line.commit(chunk_of(leased, 0, 4), store.now, 60)
    await line.release(replace(leased.batch, cursor=4), store.now)

    await erase(store, "u1")
    await erase(store, "u8")

    again = await claim(store)
    assert again.batch.cursor == 4
    users = again.batch.recipients.user.tolist()
    assert len(users) == 9
    assert users[1] == again.batch.recipients.device[1] == 0
    assert again.batch.recipients.tokens[1] == b""
    assert (await line.commit(chunk_of(again, 4, 9), store.now, 60)).recorded
    assert await state_of(store) is MessageState.FINISHED


async def test_a_batch_of_one_person_ends_with_them(store: Store) -> None:
    """And so does its message."""
    await planned(store, count=1)
    await erase(store, "u0")
    assert await held(store) == []
    assert await state_of(store) is MessageState.FINISHED


async def test_what_is_planned_while_the_facts_are_removed_goes_too(store: Store) -> None:
    """The end of the erasure looks again."""
    await planned(store)
    gone = await person(store, "u3")
    blob = await store.pool.fetchval("select recipients from batch")
    erasures = PostgresErasures(store.pool, SystemChance())
    begun = await erasures.begin(store.app, gone, store.now)
    assert begun is not None
    await store.pool.execute(
        "update batch set recipients = $1, size = 10", encode_recipients(decode(blob))
    )

    assert (await erasures.finish(begun.id, {}, store.now)).removed["state.batches"] == 2
    assert gone not in await held(store)


async def test_events_do_not_outlive_the_person_they_are_about(store: Store) -> None:
    """Events that come while somebody is being erased find nobody any more."""
    await store.add_people(1)
    gone = await person(store, "u0")
    intake = EventIntake(
        events=PostgresEvents(store.pool),
        clock=ManualClock(store.now),
        chance=SystemChance(),
        keep=timedelta(days=30),
        create_people=False,
    )
    event = pl.DataFrame({"external_id": ["u0"], "name": ["bought"]})
    async with transaction(store.pool) as connection:
        await connection.execute(statements("suppression")["hold_alone"], store.app)
        recording = asyncio.create_task(record_rows(intake, store.app, event))
        await one_waits(store.pool)
        await connection.execute(statements("people")["delete_people"], store.app, [gone])

    assert (await recording).rows_bad == 1
    assert await store.pool.fetchval("select count(*) from event") == 0
