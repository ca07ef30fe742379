"""Many anonymous people at once come to what they come to one after the other, in as many words."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg
import numpy as np
import pytest
from tests.state.conftest import NOW
from tests.state.test_consent import consents

from clarion.adapters.state.absorbing import Absorbed, absorb
from clarion.adapters.state.consent import record
from clarion.adapters.state.forgetting import range_of
from clarion.adapters.state.frequency import LOOSE, decoded, row_of
from clarion.adapters.state.pool import Pool, transaction
from clarion.domain.frequency import Ledger
from clarion.domain.ids import AppId, UserId
from clarion.domain.person import MERGES_A_DAY
from clarion.domain.send_time import instant_us

FIRST: Final = 5_000
"""The least of the anonymous people's numbers; those of the known ones are less."""
MESSAGES: Final = tuple(f"00000000-0000-0000-0000-00000000000{n}" for n in range(4))
Dump = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Known people, and anonymous ones who turn out to be some of them."""

    connection: asyncpg.Connection
    app: AppId
    chance: random.Random
    known: Sequence[UserId]
    into: Mapping[UserId, UserId]

    async def run(self, sql: str, *arguments: object) -> None:
        """One statement of the test's own."""
        await self.connection.execute(sql, *arguments)

    @property
    def everybody(self) -> Sequence[UserId]:
        """All of them."""
        return [*self.known, *self.into]

    def some(self, share: float) -> Sequence[UserId]:
        """Some of them."""
        return [user for user in self.everybody if self.chance.random() < share]


async def crowd(
    connection: asyncpg.Connection, app: AppId, seed: int, strangers: int, known: int = 4
) -> Crowd:
    """People of whom everything is known and planned that can be."""
    chance = random.Random(seed)  # noqa: S311  a population, no secret
    people = [UserId(chance.randrange(n * 900 + 1, n * 900 + 800)) for n in range(known)]
    users = [UserId(FIRST + n * 37 + chance.randrange(37)) for n in range(strangers)]
    chance.shuffle(users)
    await connection.execute(
        "insert into users (id, app_id, external_id, created_at, updated_at) "
        "overriding system value select id, $1, name, $4, $4 "
        "from unnest($2::bigint[], $3::text[]) as t (id, name)",
        app,
        [*people, *users],
        [*(f"k{n}" for n in range(known)), *(None for _ in users)],
        NOW - timedelta(days=2),
    )
    into = {user: chance.choice(people) for user in users}
    made = Crowd(connection=connection, app=app, chance=chance, known=people, into=into)
    await describe(made)
    await belongings(made)
    await plans(made)
    return made


async def describe(made: Crowd) -> None:
    """Attributes, up to their limits; settings; and decisions."""
    chance = made.chance
    for user in made.some(0.6):
        wide = b'{"%s": "%s"}' % (chance.choice([b"a", b"b", b"c"]), b"x" * chance.choice([1, 900]))
        await made.run("update users set attributes = $2 where id = $1", user, wide)
    for column, values in (
        ("language", ["de", "fr"]),
        ("time_zone", ["UTC", "Asia/Tokyo"]),
        ("country", ["DE"]),
        ("daily", [4, 8]),
        ("weekly", [4, 16]),
        ("paused_until", [NOW, NOW + timedelta(days=1)]),
        ("quiet_hours", ["a", "b"]),
    ):
        for user in made.some(0.3):
            sql = f"update users set {column} = $2 where id = $1"  # noqa: S608  the columns above
            await made.run(sql, user, chance.choice(values))
    rows = [
        (user, category, chance.choice(["granted", "withdrawn"]), chance.randrange(-9, 0))
        for user in made.some(0.7)
        for category in chance.sample(["marketing", "system", "*"], 2)
        if (category, user) != ("system", 0)
    ]
    for row in rows:
        await record(made.connection, made.app, consents(row), NOW)


async def belongings(made: Crowd) -> None:
    """Devices, aliases, lists and topics."""
    await made.run(
        "insert into list (app_id, name, created_at) values ($1, 'l', $2)", made.app, NOW
    )
    for user in made.some(0.8):
        await made.run(
            "insert into device (app_id, user_id, network, token, token_key, registered_at, "
            "created_at, updated_at) select $1, $2::bigint, 1, n || 't', "
            "decode(md5($2::bigint || n), 'hex'), $3, $3, $3 from unnest(array['a', 'b']) as n",
            made.app,
            user,
            NOW,
        )
    for user in made.some(0.4):
        await made.run(
            "insert into user_alias values ($1, 'mail', $2, $3)", made.app, str(user), user
        )
        await made.run(
            "insert into list_member (list_id, user_id, member) select id, $1, $2 from list",
            user,
            made.chance.random() < 0.5,
        )
        await made.run(
            "insert into topic_member (app_id, topic, user_id) values ($1, 'goals', $2)",
            made.app,
            user,
        )


async def plans(made: Crowd) -> None:
    """What they were sent and are held, and what waits for a digest: of others too."""
    for name in MESSAGES:
        await made.run(
            "insert into message (id, app_id, lane, state, request, envelope, target, send_at, "
            "key_id, created_at) values ($1, $2, 3, 2, '{}', '', '{}', $3, 'k', $3)",
            name,
            made.app,
            NOW,
        )
    messages: Sequence[str | None] = (*MESSAGES, None)
    for message in messages:
        for number, people in by_range([*made.some(0.5), *range(10_000, 10_400, 7)]):
            await count(made, message, number, people)
        await count(made, message, LOOSE, made.some(0.2) or [10_001])
    for number, people in by_range([*made.some(0.7), *range(10_000, 10_400, 7)]):
        for name in MESSAGES:
            await wait(made, name, number, people)


async def count(made: Crowd, name: str | None, number: int, people: Sequence[int]) -> None:
    """Entries that caps count."""
    users = np.array(people, np.int64)
    byte = np.array([made.chance.randrange(9) for _ in people], np.uint8)
    entries = Ledger(
        user=users,
        at_us=instant_us(NOW) + np.arange(len(users), dtype=np.int64),
        networks=byte,
        category=byte,
        priority=byte,
    )
    await made.run(
        "insert into frequency_ledger (app_id, message_id, created_at, range, low, high, first_at, "
        "last_at, rows) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        made.app,
        name,
        NOW,
        *row_of(number, entries),
    )


async def wait(made: Crowd, name: str, number: int, people: Sequence[int]) -> None:
    """Parts of a message that wait, of some until one instant and of others until another."""
    chance = made.chance
    for hours in range(2):
        some = np.array([user for user in people if chance.random() < 0.5], "<i8")
        await made.run(
            "insert into digest_item (app_id, category_id, message_id, range, due_at, people, "
            "created_at) select $1, id, $2, $3, $4, $5, $6 from category "
            "where app_id = $1 and slug = 'marketing'",
            made.app,
            name,
            number,
            NOW + timedelta(hours=hours),
            some.tobytes(),
            NOW,
        )
    gone = np.array([user for user in people if chance.random() < 0.5], "<i8")
    await made.run(
        "insert into gave_way (message_id, range, people, gone, winner, created_at) "
        "values ($1, $2, $3, $4, $5, $6)",
        name,
        number,
        np.array(people, "<i8").tobytes(),
        gone.tobytes(),
        chance.choice(MESSAGES),
        NOW,
    )


def by_range(people: Iterable[int]) -> Sequence[tuple[int, Sequence[int]]]:
    """People of each range that has any."""
    found: dict[int, list[int]] = {}
    for user in people:
        found.setdefault(range_of(UserId(user)), []).append(user)
    return sorted(found.items())


async def dump(connection: asyncpg.Connection, app: AppId) -> Dump:
    """All that a merge touches, without the numbers of rows."""
    plain = {
        "users": "select id, external_id, attributes, language, time_zone, country, opted_out, "
        "granted, denied, daily, weekly, paused_until, quiet_hours from users order by id",
        "device": "select id, user_id from device order by id",
        "user_alias": "select * from user_alias order by value",
        "list_member": "select user_id, member from list_member order by user_id",
        "topic_member": "select topic, user_id, member from topic_member order by user_id",
        "merged": "select from_id, to_id from merged order by from_id",
        "removal": "select kind, id from removal order by id",
        "consent": "select user_id, category_id, change, at, personal->'evidence' as evidence "
        "from consent_ledger order by user_id, category_id nulls first, number",
        "version": "select range from cap_range where version > 0 order by range",
    }
    found: dict[str, object] = {
        name: [tuple(row) for row in await connection.fetch(sql)] for name, sql in plain.items()
    }
    counted: Counter[tuple[object, ...]] = Counter()
    for row in await connection.fetch(
        "select message_id, range = -1 as loose, rows from frequency_ledger where app_id = $1", app
    ):
        entries = decoded([row["rows"]])
        columns = (entries.user, entries.at_us, entries.networks)
        counted.update(
            (row["message_id"], row["loose"], *entry)
            for entry in zip(*(column.tolist() for column in columns), strict=True)
        )
    waits: Counter[tuple[object, ...]] = Counter()
    for row in await connection.fetch("select message_id, range, due_at, people from digest_item"):
        for user in np.frombuffer(row["people"], "<i8").tolist():
            assert row["range"] == range_of(UserId(user))
            waits[row["message_id"], row["due_at"], user] += 1
    gave: dict[tuple[object, ...], bool] = {}
    for row in await connection.fetch(
        "select message_id, range, winner, people, gone from gave_way"
    ):
        gone = set(np.frombuffer(row["gone"], "<i8").tolist())
        for user in np.frombuffer(row["people"], "<i8").tolist():
            assert row["range"] == range_of(UserId(user))
            of = (row["message_id"], row["winner"], user)
            gave[of] = gave.get(of, False) or user in gone
    return found | {"counted": counted, "waits": waits, "gave_way": gave}


@asynccontextmanager
async def undone(pool: Pool) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that leaves nothing: the next one makes the same numbers."""
    async with pool.acquire() as connection:
        attempt = connection.transaction()
        await attempt.start()
        try:
            yield connection
        finally:
            await attempt.rollback()


@pytest.mark.parametrize("strangers", [3, 14])
async def test_many_at_once_come_to_what_they_come_to_one_by_one(
    pool: Pool, app: AppId, strangers: int
) -> None:
    """In the order of their numbers: attributes, consent, memberships, caps, digests, places."""
    for seed in range(6):
        ends: list[Dump] = []
        for at_once in (True, False):
            async with undone(pool) as connection:
                await connection.execute("alter sequence device_id_seq restart with 1")
                made = await crowd(connection, app, seed, strangers)
                pairs = {user: made.into[user] for user in sorted(made.into)}
                parts = [pairs] if at_once else [{user: pairs[user]} for user in pairs]
                for part in parts:
                    assert (await absorb(connection, app, part, NOW)).into == part
                ends.append(await dump(connection, app))
        together, one_by_one = ends
        for name, found in together.items():
            assert found == one_by_one[name], (seed, name)


async def statements_of(pool: Pool, app: AppId, strangers: int) -> tuple[int, Absorbed]:
    """How many statements it takes to merge so many of whom everything is known."""
    asked: list[str] = []
    async with undone(pool) as connection:
        made = await crowd(connection, app, 1, strangers, known=3)
        with connection.query_logger(lambda query: asked.append(query.query)):
            done = await absorb(connection, app, made.into, NOW)
    return len(asked), done


async def test_a_crowd_is_as_many_statements_as_a_few(pool: Pool, app: AppId) -> None:
    """Nothing is asked or written person by person; a cursor's steps follow the rows."""
    few, _ = await statements_of(pool, app, 6)
    many, done = await statements_of(pool, app, 60)
    assert len(done.into) == 60
    assert many == few


async def test_a_person_absorbs_no_more_than_a_day_allows_of_a_crowd(
    pool: Pool, app: AppId
) -> None:
    """The first ones; the others stay as they were, with all that is known of them."""
    async with transaction(pool) as connection:
        made = await crowd(connection, app, 2, MERGES_A_DAY + 5, known=1)
        done = await absorb(connection, app, made.into, NOW)
        assert list(done.left) == list(made.into)[MERGES_A_DAY:]
        there = await connection.fetch("select id from users where external_id is null")
        assert {row["id"] for row in there} == set(done.left)
        assert (await absorb(connection, app, made.into, NOW)).left == done.left
