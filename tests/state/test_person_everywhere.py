"""Every table of both engines is placed: what it says of a person, and what becomes of that.

A table that a later version adds fails these tests until it has its line here.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from tests.state.conftest import NOW
from tests.state.test_consent import consents

from clarion.adapters.facts.duckdb.merge_feed import WRITTEN_OVER
from clarion.adapters.facts.duckdb.person_queries import COUNTED
from clarion.adapters.facts.duckdb.rebuilt import FED
from clarion.adapters.facts.duckdb.store import open_store
from clarion.adapters.state.consent import PostgresConsents
from clarion.adapters.state.erasure import PostgresErasures
from clarion.adapters.state.frequency import encoded
from clarion.adapters.state.pool import Pool
from clarion.adapters.state.recipient_columns import encode_recipients
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.state.suppression import PostgresSuppressions
from clarion.adapters.system import SystemChance
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import Recipients
from clarion.domain.ids import AppId, UserId
from clarion.domain.person import PersonChange
from clarion.ports.registry import ById

PERSON: Final = 7_777_000_111
"""So odd a number that any text with it is about the person."""
STRANGER: Final = 7_777_000_222
DEVICES: Final = (7_777_000_333, 7_777_000_444)
NAME: Final = "ann-4711-of-the-tests"


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of a person in a table."""

    told: str
    """Where the export tells it; with `=` before it, what else tells the same."""
    deleted: bool
    """Whether a plain removal takes the person out."""
    erased: bool = True
    """Whether an erasure does; what it leaves ages out, or is nobody's."""
    merged: str = "moves"
    """What a login does: it `moves`, or `counts` because the old number stands for the person."""


PEOPLE: Final[Mapping[str, Fate]] = {
    "users": Fate(told="person", deleted=True),
    "user_alias": Fate(told="person", deleted=True),
    "device": Fate(told="devices", deleted=True),
    "list_member": Fate(told="state.lists", deleted=True),
    "topic_member": Fate(told="state.topics", deleted=True),
    "prompt_event": Fate(told="state.prompts", deleted=True),
    "merged": Fate(told="=the numbers have no other content", deleted=True, merged="counts"),
    "suppression": Fate(told="state.suppressions", deleted=False),
    "consent_ledger": Fate(told="consent", deleted=False, merged="counts"),
    "event": Fate(told="facts.event", deleted=False, merged="counts"),  # the feed sweeps it
    "frequency_ledger": Fate(told="=facts.outcome", deleted=False, merged="counts"),
    "digest_item": Fate(told="=facts.decision", deleted=False),
    "gave_way": Fate(told="=facts.decision", deleted=False, merged="counts"),
    "batch": Fate(told="=facts.decision", deleted=False, merged="counts"),
    "chunk": Fate(told="facts.outcome", deleted=False, erased=False, merged="counts"),
    "message": Fate(told="=the app's own words", deleted=False, erased=False, merged="counts"),
    "removal": Fate(told="=of nobody who is there", deleted=False, erased=False, merged="counts"),
    "erasure": Fate(told="=of nobody who is there", deleted=False, erased=True, merged="counts"),
    "suppressed_hash": Fate(told="=state.suppressions", deleted=False),
}
NOBODY: Final = {
    "alembic_version",
    "api_key",
    "app",
    "cap_range",
    "category",
    "credential",
    "idempotency",
    "list",
    "partial",
    "push_device",
    "push_ended",
    "push_message",
    "push_node",
    "push_receipt",
    "push_subscription",
    "push_receipt_read",
    "segment",
    "segment_version",
    "shard",
    "shared_token",
    "suppression_list",
    "template",
    "template_version",
}
"""Nothing in these is about one of an app's people. Our push service knows browsers, not people."""

FACTS_OF_PEOPLE: Final = {
    "users": "follows the state store",
    "device": "follows the state store",
    "list_member": "follows the state store",
    "topic_member": "follows the state store",
    "event": "moves, and is deleted",
    "engagement": "moves, and is deleted",
    "outcome": "is cut loose from the person: reports count it",
    "outcome_run": "is cut: the person's rows become outcomes of nobody",
    "note": "goes with the outcome that it belongs to",
    "provider_id": "goes with the outcome that it belongs to",
    "decision_chunk": "is packed anew without the person",
    "decision_run": "is counted anew with its chunk",
}
FACTS_OF_NOBODY: Final = {"watermark", "decision_count"}


APP_ROWS: Final = """
select event_days(array[date '{now}']);
insert into list (app_id, name, created_at) values ({app}, 'l', '{now}');
insert into suppression_list (app_id, name, created_at) values ({app}, 'l', '{now}');
insert into credential (app_id, network, public, secret, state_at, created_at)
values ({app}, 1, '{{}}', '', '{now}', '{now}');
"""
ROWS: Final = """
insert into user_alias values ({app}, 'mail', 'x{range}', {user});
insert into list_member (list_id, user_id) select id, {user} from list;
insert into topic_member (app_id, topic, user_id) values ({app}, 'goals', {user});
insert into device (id, app_id, user_id, network, token, token_key, registered_at, created_at,
                    updated_at)
overriding system value
values ({device}, {app}, {user}, 1, 't', '\\x{range}', '{now}', '{now}', '{now}');
insert into prompt_event (app_id, device_id, what, state, at)
values ({app}, {device}, 'show', 's', '{now}');
insert into event (day, event_id, app_id, user_id, name, at)
values ('{now}', gen_random_uuid(), {app}, {user}, 'view', '{now}');
insert into message (id, app_id, lane, state, request, envelope, target, send_at, key_id,
                     created_at)
values (gen_random_uuid(), {app}, 3, 2, '{{}}', '', '{{"users": ["{user}"]}}', '{now}', 'k',
        '{now}');
insert into frequency_ledger (app_id, range, low, high, first_at, last_at, rows, created_at)
values ({app}, {range}, 0, 1024, '{now}', '{now}', '\\x{entry}', '{now}');
insert into digest_item (app_id, category_id, message_id, range, due_at, people, created_at)
select {app}, c.id, m.id, {range}, '{now}', '\\x{people}', '{now}' from category c, message m
where c.slug = 'marketing';
insert into gave_way (message_id, range, people, gone, winner, created_at)
select id, {range}, '\\x{people}', '\\x{people}', id, '{now}' from message;
insert into batch (key, app_id, lane, network, credential_id, message_ids, run_at, size,
                   planned_xid, recipients)
select 'b{range}', {app}, 3, 1, c.id, array[m.id], '{now}', 1, 1, '\\x{mail}'
from credential c, message m limit 1;
insert into chunk (key, app_id, kind, message_ids, rows, created_at)
select 'c{range}', {app}, 1, array[id], '\\x{people}', '{now}' from message limit 1;
"""


@pytest.fixture
async def person(pool: Pool, app: AppId) -> UserId:
    """Somebody of whom every table of `PEOPLE` holds something, and who just logged in."""
    people, ledger = PostgresPeople(pool), PostgresConsents(pool)
    await pool.execute(APP_ROWS.format(app=app, now=NOW))
    await pool.execute(f"alter table users alter id restart with {STRANGER}")
    assert (await people.create_anonymous(app, PersonChange(), NOW)).id == STRANGER
    await pool.execute(f"alter table users alter id restart with {PERSON}")
    assert (await people.put(app, NAME, PersonChange(), NOW))[0].id == PERSON
    for user, device in zip((STRANGER, PERSON), DEVICES, strict=True):
        await fill(pool, app, user, device)
    await ledger.record(app, consents((STRANGER, "marketing", "withdrawn", -2)), NOW)
    await ledger.record(app, consents((NAME, "marketing", "granted", -1)), NOW)
    await PostgresSuppressions(pool).add(app, "l", [NAME], "", NOW)
    known = await people.login(app, UserId(STRANGER), NAME, NOW)
    assert known is not None
    return known.id


async def fill(pool: Pool, app: AppId, user: int, device: int) -> None:
    """Rows about somebody, in the shapes in which they are held."""
    one, bit = np.array([user], np.int64), np.ones(1, np.uint8)
    entry = Ledger(user=one, at_us=bit.astype(np.int64), networks=bit, category=bit, priority=bit)
    mail = Recipients(
        device=one, user=one, registered_us=bit.astype(np.int64), environment=bit, tokens=[b"t"]
    )
    await pool.execute(
        ROWS.format(
            app=app,
            user=user,
            device=device,
            now=NOW,
            range=user % 1024 // 32,
            entry=encoded(entry).hex(),
            people=one.tobytes().hex(),
            mail=encode_recipients(mail).hex(),
        )
    )


async def tables(pool: Pool) -> set[str]:
    """All tables; the days of the inbox are one."""
    rows = await pool.fetch("select tablename as name from pg_tables where schemaname = 'public'")
    return {row["name"] for row in rows if not row["name"].startswith("event_2")}


async def holding(pool: Pool, *users: int) -> set[str]:
    """Tables in which these numbers stand, in digits or packed, or the person's name."""
    packed = [struct.pack("<q", user).hex() for user in users]
    patterns = [f"%{text}%" for text in (*map(str, users), *packed, NAME)]
    found = set()
    for table in await tables(pool):
        if await pool.fetchval(
            f"select exists (select from {table} t where t::text like any ($1::text[]))",  # noqa: S608  # the catalogue's names
            patterns,
        ):
            found.add(table)
    return found


async def test_every_table_is_placed(pool: Pool) -> None:
    """What says something of people, and what does not."""
    assert await tables(pool) == {*PEOPLE} | NOBODY


async def test_every_table_of_the_facts_is_placed(short_dir: Path) -> None:
    """The same of the columns; whatever has a number of a person is told and erased by it."""
    store = open_store(short_dir / "facts.duckdb", memory_mib=64, threads=1)
    with store.reading() as cursor:
        names = {
            row[0] for row in cursor.execute("select table_name from duckdb_tables()").fetchall()
        }
        numbered = {
            row[0]
            for row in cursor.execute(
                "select table_name from duckdb_columns() semi join duckdb_tables() "
                "using (table_oid) where column_name = 'user_id'"
            ).fetchall()
        }
    store.close()
    assert names == {*FACTS_OF_PEOPLE} | FACTS_OF_NOBODY
    assert numbered - FED == {"event", "engagement", COUNTED}
    assert {*WRITTEN_OVER} == numbered - FED - {COUNTED}


async def test_a_login_leaves_the_old_number_only_where_it_counts(
    pool: Pool, person: UserId
) -> None:
    """All else has moved."""
    assert person == PERSON
    counts = {name for name, fate in PEOPLE.items() if fate.merged == "counts"}
    absent = {"erasure"}
    packed = await holding(pool, STRANGER)
    named = {"users", "suppression"}  # they hold the name, which is the known person's
    assert packed - named == counts - absent
    assert await holding(pool, STRANGER, PERSON, *DEVICES) == {*PEOPLE} - absent - {
        "suppressed_hash"
    }


async def test_a_removal_leaves_what_is_said(pool: Pool, app: AppId, person: UserId) -> None:
    """The inbox is swept by the facts; see `tests/facts/test_merge_feed.py`."""
    await PostgresPeople(pool).delete(app, ById(id=person))
    stays = {name for name, fate in PEOPLE.items() if not fate.deleted}
    assert await holding(pool, STRANGER, PERSON, *DEVICES) == stays - {"erasure", "suppressed_hash"}
    gone = await pool.fetch("select id from removal where kind = 1 order by id")
    assert {row["id"] for row in gone} == {STRANGER, PERSON}


async def test_an_erasure_leaves_what_is_said(pool: Pool, app: AppId, person: UserId) -> None:
    """By whatever number the person was held."""
    erasures = PostgresErasures(pool, SystemChance())
    begun = await erasures.begin(app, person, NOW)
    assert begun is not None
    assert sorted(begun.users) == [PERSON, STRANGER]
    await erasures.finish(begun.id, {}, NOW)
    stays = {name for name, fate in PEOPLE.items() if not fate.erased}
    assert await holding(pool, STRANGER, PERSON, *DEVICES) == stays
    assert (await PostgresConsents(pool).verify(app)).broken_at is None


async def test_what_is_told_is_there(pool: Pool, app: AppId, person: UserId) -> None:
    """Each part of the state that the export names has something to say of this person."""
    held = await PostgresErasures(pool, SystemChance()).held(app, person)
    assert held is not None
    assert sorted(held.users) == [PERSON, STRANGER]
    wanted = {
        fate.told.removeprefix("state.") for fate in PEOPLE.values() if fate.told[:5] == "state"
    }
    assert {name for name, part in held.parts.items() if part} == wanted | {"suppressed"}
    lines = await PostgresConsents(pool).history(app, person)
    assert [line.change.name for line in lines] == ["WITHDRAWN", "GRANTED"]
