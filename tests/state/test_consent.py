"""The ledger, and the bits that it comes to."""

import asyncio
import random
from datetime import timedelta

import asyncpg
import polars as pl
import pytest
from tests.oracles.consent import derived
from tests.state.conftest import NOW

from clarion.adapters.state.consent import PostgresConsents
from clarion.adapters.state.pool import Pool
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.state.suppression import PostgresSuppressions
from clarion.domain.consent import Change, How
from clarion.domain.consent_intake import Refusal
from clarion.domain.ids import AppId, UserId
from clarion.domain.person import PersonChange
from clarion.domain.registration import check
from clarion.ports.consent import CONSENT_COLUMNS
from clarion.ports.registry import ByExternalId

AT = int(NOW.timestamp()) * 1_000_000


def consents(*rows: tuple[str | int | None, str, str, int], how: How = How.API) -> pl.DataFrame:
    """Rows of (who, category, asked, seconds after `NOW`)."""
    return pl.DataFrame(
        {
            "external_id": [who if isinstance(who, str) else None for who, *_ in rows],
            "user": [who if isinstance(who, int) else None for who, *_ in rows],
            "category": [category for _, category, _, _ in rows],
            "asked": [asked for _, _, asked, _ in rows],
            "at_us": [AT + seconds * 1_000_000 for *_, seconds in rows],
            "how": [int(how)] * len(rows),
            "text": ["Send me offers"] * len(rows),
            "language": ["en"] * len(rows),
            "text_version": ["7"] * len(rows),
            "evidence": ['{"address": "203.0.113.0/24"}'] * len(rows),
        },
        schema=CONSENT_COLUMNS,
    )


async def bits(pool: Pool, name: str) -> tuple[int, int, bool]:
    """What is stored of a person."""
    row = await pool.fetchrow(
        "select granted, denied, opted_out from users where external_id = $1", name
    )
    return tuple(row)


async def test_entries_and_bits_change_together(pool: Pool, app: AppId) -> None:
    """A yes sets the category's bit, a no moves it to the other side, and the chain holds."""
    ledger = PostgresConsents(pool)
    done = await ledger.record(app, consents(("ann", "marketing", "granted", 0)), NOW)
    assert (done.number, done.change, done.refused) == ([1], [Change.GRANTED], [])
    assert await bits(pool, "ann") == (4, 0, False)

    await ledger.record(app, consents(("ann", "marketing", "withdrawn", 5)), NOW)
    assert await bits(pool, "ann") == (0, 4, False)
    found = await ledger.verify(app)
    assert (found.entries, found.broken_at) == (2, None)
    assert await ledger.drifted(app, limit=5) == []


async def test_the_bits_are_what_the_ledger_comes_to(pool: Pool, app: AppId) -> None:
    """Whatever was asked, in whatever batches: nobody's state says other than their entries."""
    chance, ledger = random.Random(20_261_122), PostgresConsents(pool)  # noqa: S311  # no secret
    asked = ("granted", "withdrawn", "provisional")
    for batch in range(40):
        rows = [
            (
                f"p{chance.randrange(12)}",
                chance.choice(("marketing", "system", "transactional", "*")),
                chance.choice(asked),
                batch + chance.randrange(-30, 30),
            )
            for _ in range(chance.randrange(1, 9))
        ]
        await ledger.record(app, consents(*rows, how=chance.choice(tuple(How))), NOW)
    entries = await pool.fetch(
        "select user_id, slot, change from consent_ledger l join category c on c.id = category_id"
        " where l.app_id = $1 order by number",
        app,
    )
    said = derived((row["user_id"], row["slot"], Change(row["change"])) for row in entries)
    stored = await pool.fetch("select id, granted, denied from users where app_id = $1", app)
    assert len(entries) > 40
    assert {r["id"]: (r["granted"], r["denied"]) for r in stored if r["granted"] | r["denied"]} == {
        person: state for person, state in said.items() if any(state)
    }


async def test_of_one_batch_the_last_word_by_time_counts(pool: Pool, app: AppId) -> None:
    """Rows are written in order of when people said so, whatever their order in the batch."""
    ledger = PostgresConsents(pool)
    rows = consents(("ann", "marketing", "withdrawn", 9), ("ann", "marketing", "granted", 1))
    await ledger.record(app, rows, NOW)
    assert await bits(pool, "ann") == (0, 4, False)
    person = await PostgresPeople(pool).get(app, ByExternalId(external_id="ann"))
    assert person is not None
    assert [line.change for line in await ledger.history(app, person.id)] == [
        Change.GRANTED,
        Change.WITHDRAWN,
    ]


async def test_what_can_not_be_is_refused_by_its_row_and_the_rest_is_written(
    pool: Pool, app: AppId
) -> None:
    """Each refusal names its row; refused rows leave no entry."""
    ledger = PostgresConsents(pool)
    await ledger.record(app, consents(("ann", "marketing", "withdrawn", 50)), NOW)
    rows = consents(
        ("ann", "marketing", "granted", 10),
        ("bob", "nonsense", "granted", 0),
        (None, "marketing", "granted", 0),
        (77_777, "marketing", "granted", 0),
        ("bob", "calls", "withdrawn", 0),
        ("bob", "marketing", "confirmed", 0),
        ("bob", "*", "provisional", 0),
        ("bob", "marketing", "granted", 0),
    )
    done = await ledger.record(app, rows, NOW)
    assert [(refused.row, refused.why) for refused in done.refused] == [
        (0, Refusal.OUTDATED),
        (1, Refusal.CATEGORY_UNKNOWN),
        (2, Refusal.USER_MISSING),
        (3, Refusal.USER_UNKNOWN),
        (4, Refusal.CATEGORY_FIXED),
        (5, Refusal.NOTHING_TO_CONFIRM),
        (6, Refusal.NOT_FOR_EVERYTHING),
    ]
    assert done.number == [0] * 7 + [2]
    assert await bits(pool, "ann") == (0, 4, False)


async def test_double_opt_in_waits_for_the_confirmation(pool: Pool, app: AppId) -> None:
    """The first yes is provisional and sends nothing; an import was confirmed elsewhere."""
    await pool.execute("update category set default_state = 3 where slug = 'marketing'")
    ledger = PostgresConsents(pool)
    done = await ledger.record(app, consents(("ann", "marketing", "granted", 0)), NOW)
    assert done.change == [Change.PROVISIONAL]
    assert await bits(pool, "ann") == (0, 0, False)
    await ledger.record(app, consents(("ann", "marketing", "confirmed", 1)), NOW)
    assert await bits(pool, "ann") == (4, 0, False)
    await ledger.record(app, consents(("bob", "marketing", "granted", 0), how=How.IMPORT), NOW)
    assert await bits(pool, "bob") == (4, 0, False)


async def test_the_global_switch_is_in_the_ledger_however_it_was_turned(
    pool: Pool, app: AppId
) -> None:
    """By a consent about everything, or by a change of the person."""
    ledger, people = PostgresConsents(pool), PostgresPeople(pool)
    await ledger.record(app, consents(("ann", "*", "withdrawn", 0)), NOW)
    assert await bits(pool, "ann") == (0, 0, True)
    known, _ = await people.put(app, "ann", PersonChange(opted_out=False), NOW)
    await people.put(app, "ann", PersonChange(opted_out=False), NOW)
    assert [line.change for line in await ledger.history(app, known.id)] == [
        Change.WITHDRAWN,
        Change.GRANTED,
    ]
    assert (await ledger.verify(app)).broken_at is None


async def test_many_appenders_make_one_chain(pool: Pool, app: AppId) -> None:
    """Batches at the same time follow each other without a gap."""
    ledger = PostgresConsents(pool)
    await asyncio.gather(
        *(
            ledger.record(
                app,
                consents(*((f"p{5 * n + i}", "marketing", "granted", 0) for i in range(5))),
                NOW,
            )
            for n in range(20)
        )
    )
    found = await ledger.verify(app)
    assert (found.entries, found.broken_at) == (100, None)
    assert await ledger.drifted(app, limit=5) == []


TAMPERING = [
    "update consent_ledger set text = 'Other words' where number = 2",
    "update consent_ledger set change = 2 where number = 2",
    "update consent_ledger set user_id = user_id + 1 where number = 2",
    """update consent_ledger set personal = '{"external": "eve", "evidence": {}, "salt": ""}'
       where number = 2""",
    "delete from consent_ledger where number = 2",
]


@pytest.mark.parametrize("change", TAMPERING)
async def test_tampering_is_refused_and_shows(pool: Pool, app: AppId, change: str) -> None:
    """The store refuses it; who gets around the store is found by the chain."""
    ledger = PostgresConsents(pool)
    for second in range(3):
        await ledger.record(app, consents(("ann", "marketing", "granted", second)), NOW)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await pool.execute(change)
    await pool.execute("alter table consent_ledger disable trigger consent_ledger_append_only")
    await pool.execute(change)
    found = await ledger.verify(app)
    assert (found.entries, found.broken_at) == (1, 2)


async def test_the_ledger_can_not_be_emptied(pool: Pool) -> None:
    """Not by truncation either."""
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await pool.execute("truncate consent_ledger")


async def test_a_suppressed_name_comes_suppressed(pool: Pool, app: AppId) -> None:
    """Whoever comes later under a name on a list is suppressed from the first moment."""
    lists, people = PostgresSuppressions(pool), PostgresPeople(pool)
    await people.put(app, "ann", PersonChange(), NOW)
    await lists.put(app, "bounced", "Hard bounces", NOW)
    assert await lists.add(app, "bounced", ["ann", "bob", "cid", "ann"], "bounce", NOW) == 3
    await people.put(app, "bob", PersonChange(), NOW)
    await PostgresConsents(pool).record(app, consents(("cid", "marketing", "granted", 0)), NOW)

    async def suppressed() -> set[str]:
        rows = await pool.fetch("select external_id from users where suppressed")
        return {row["external_id"] for row in rows}

    assert await suppressed() == {"ann", "bob", "cid"}
    assert await lists.remove(app, "bounced", ["bob"], NOW) == 1
    assert await suppressed() == {"ann", "cid"}
    assert await lists.delete(app, "bounced", NOW)
    assert await suppressed() == set()


async def test_a_later_import_does_not_undo_a_withdrawal(pool: Pool, app: AppId) -> None:
    """An old yes in a file loses against a newer no."""
    ledger = PostgresConsents(pool)
    await ledger.record(app, consents(("ann", "marketing", "withdrawn", 0)), NOW)
    old = consents(("ann", "marketing", "granted", -86_400), how=How.IMPORT)
    done = await ledger.record(app, old, NOW + timedelta(days=1))
    assert [refused.why for refused in done.refused] == [Refusal.OUTDATED]
    assert await bits(pool, "ann") == (0, 4, False)


async def test_a_user_of_another_app_is_unknown(pool: Pool, app: AppId) -> None:
    """Ids do not reach across apps."""
    other = await pool.fetchval(
        "insert into app (name, created_at) values ('other', $1) returning id", NOW
    )
    stranger = await PostgresPeople(pool).create_anonymous(other, PersonChange(), NOW)
    done = await PostgresConsents(pool).record(
        app, consents((int(stranger.id), "marketing", "granted", 0)), NOW
    )
    assert [refused.why for refused in done.refused] == [Refusal.USER_UNKNOWN]
    assert await PostgresConsents(pool).history(app, UserId(stranger.id)) == []


async def test_what_an_anonymous_person_decided_goes_with_the_login(pool: Pool, app: AppId) -> None:
    """Where the known person decided nothing; the ledger says where it came from."""
    ledger, people = PostgresConsents(pool), PostgresPeople(pool)
    await pool.execute(
        "insert into category (app_id, slug, name, kind, slot, can_opt_out, default_state, "
        "caps_apply, quiet_applies, created_at) "
        "values ($1, 'news', 'News', 3, 5, true, 2, true, true, $2)",
        app,
        NOW,
    )
    stranger = await people.create_anonymous(app, PersonChange(), NOW)
    mine = int(stranger.id)
    rows = consents((mine, "marketing", "granted", 0), (mine, "news", "granted", 0))
    await ledger.record(app, rows, NOW)
    await ledger.record(app, consents(("ann", "news", "withdrawn", 0)), NOW)
    known = await people.login(app, stranger.id, "ann", NOW)
    assert known is not None
    assert await bits(pool, "ann") == (4, 32, False)
    last = (await ledger.history(app, known.id))[-1]
    assert (last.category, last.evidence) == ("marketing", {"merged_from": str(mine)})
    assert await ledger.drifted(app, limit=5) == []
    assert (await ledger.verify(app)).broken_at is None


async def test_no_suppressed_name_slips_in_while_a_list_changes(pool: Pool, app: AppId) -> None:
    """People and lists that are made at the same moment see each other."""
    lists, people = PostgresSuppressions(pool), PostgresPeople(pool)
    await lists.put(app, "l", "", NOW)
    names = [f"n{number}" for number in range(30)]
    await asyncio.gather(
        *(people.put(app, name, PersonChange(), NOW) for name in names),
        *(lists.add(app, "l", [name], "", NOW) for name in names),
    )
    assert await pool.fetchval("select count(*) from users where suppressed") == len(names)


async def test_a_registrations_opt_out_is_in_the_ledger(pool: Pool, app: AppId) -> None:
    """Of a person who is made by it, and of one whose switch it turns; not of one it leaves."""
    rows = pl.DataFrame({"external_id": ["ann", "bob"], "user_opted_out": [True, False]})
    devices = PostgresDevices(pool)
    for wanted in (rows, rows, rows.with_columns(user_opted_out=~pl.col("user_opted_out"))):
        checked = check(wanted, zones=frozenset(), now=NOW)
        await devices.register(app, checked.rows, NOW)
    ledger = await pool.fetch(
        "select u.external_id, l.change from consent_ledger l join users u on u.id = l.user_id "
        "order by u.external_id, l.number"
    )
    assert [tuple(row) for row in ledger] == [
        ("ann", Change.WITHDRAWN),
        ("ann", Change.GRANTED),
        ("bob", Change.WITHDRAWN),
    ]
    assert (await PostgresConsents(pool).verify(app)).broken_at is None


async def test_a_report_that_comes_again_writes_nothing(pool: Pool, app: AppId) -> None:
    """The same word of the same instant is one entry; a later one is another."""
    ledger = PostgresConsents(pool)
    rows = consents(("ann", "marketing", "granted", 0), ("bob", "*", "withdrawn", 0))
    first = await ledger.record(app, rows, NOW)
    again = await ledger.record(app, rows, NOW)
    later = await ledger.record(app, consents(("ann", "marketing", "granted", 1)), NOW)

    assert (first.number, again.number, later.number) == ([1, 2], [0, 0], [3])
    assert again.change == first.change
    assert again.refused == []
    assert await bits(pool, "ann") == (4, 0, False)
    assert await ledger.drifted(app, limit=5) == []


async def test_a_later_no_of_an_anonymous_person_wins(pool: Pool, app: AppId) -> None:
    """Over the known person's earlier yes; an earlier no, or a later yes, changes nothing."""
    ledger, people = PostgresConsents(pool), PostgresPeople(pool)
    for name, mine, theirs in (
        ("ann", ("withdrawn", 1), ("granted", 0)),
        ("bob", ("withdrawn", -1), ("granted", 0)),
        ("cid", ("granted", 1), ("withdrawn", 0)),
    ):
        stranger = await people.create_anonymous(app, PersonChange(), NOW)
        await ledger.record(app, consents((int(stranger.id), "marketing", *mine)), NOW)
        await ledger.record(app, consents((name, "marketing", *theirs)), NOW)
        known = await people.login(app, stranger.id, name, NOW)
        assert known is not None
        numbers = [line.number for line in await ledger.history(app, known.id)]
        assert numbers == sorted(numbers)
        assert len(numbers) == (3 if name == "ann" else 2), "the anonymous one's entries are told"
    assert [await bits(pool, name) for name in ("ann", "bob", "cid")] == [
        (0, 4, False),
        (4, 0, False),
        (0, 4, False),
    ]
    assert await ledger.drifted(app, limit=5) == []
