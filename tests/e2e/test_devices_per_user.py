"""One person has so many devices and no more, whoever has the app's `device` key."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from tests.e2e.registry_world import LATER, NOW, World, open_world, phone

from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.domain.device import DeviceChange
from clarion.domain.ids import DeviceId, UserId
from clarion.domain.person import PersonChange
from clarion.ports.registry import DevicesLimitError
from clarion.stages.intake.register import Registration

MOST = 3


@pytest.fixture(params=[False, True], ids=["rows", "columns"])
async def world(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A registry in which a person has at most three devices."""
    async with open_world(database_url, many=request.param) as world:
        yield replace(
            world,
            people=PostgresPeople(world.pool, MOST),
            devices=PostgresDevices(world.pool, MOST),
        )


def refused(done: Registration) -> list[tuple[int, str, str]]:
    """Which rows were refused, and why."""
    return [(found.row, found.problem.path, found.problem.code) for found in done.problems]


async def test_the_last_rows_of_a_person_are_refused_and_the_others_go_in(world: World) -> None:
    """New people and known ones alike; of a refused row nothing is stored."""
    await world.register(phone("a1", external_id="ada"), phone("a2", external_id="ada"))
    done = await world.register(
        phone("a3", external_id="ada"),
        *(phone(f"b{n}", external_id="bob") for n in range(MOST + 1)),
        phone("a4", external_id="ada", user_language="fr"),
        phone("a1", external_id="ada", os="x"),
        phone("a4", external_id="ada"),
        phone("s"),
        now=LATER,
    )
    assert refused(done) == [
        (row, "/external_id", "devices_limit") for row in (MOST + 1, MOST + 2, MOST + 4)
    ]
    assert (done.device == 0).nonzero()[0].tolist() == [MOST + 1, MOST + 2, MOST + 4]
    assert done.stored == MOST + 3
    assert done.created == [True] + [True] * MOST + [False, False, False, False, True]
    owners = await world.pool.fetch(
        "select count(*) as n, max(u.language) as language from users u join device d on "
        "d.user_id = u.id group by u.id order by min(d.id)"
    )
    assert [tuple(row) for row in owners] == [(MOST, None), (MOST, None), (1, None)]


async def test_a_device_that_moves_counts_where_it_goes(world: World) -> None:
    """By a name or by a number; what a person has already is refreshed all the same."""
    full = await world.register(*(phone(f"a{n}", external_id="ada") for n in range(MOST)))
    other = await world.register(phone("b1", external_id="bob"))
    ada = int(full.user[0])
    by_name = await world.register(phone("b1", external_id="ada"), phone("a1", external_id="ada"))
    by_number = await world.register(phone("b1", user=ada), phone("new", user=ada))
    assert refused(by_name) == [(0, "/external_id", "devices_limit")]
    assert refused(by_number) == [(row, "/user", "devices_limit") for row in (0, 1)]
    with pytest.raises(DevicesLimitError):
        await world.devices.change(
            world.app, DeviceId(int(other.device[0])), DeviceChange(user=UserId(ada)), NOW
        )
    same = DeviceChange(user=UserId(ada), os="x")
    assert await world.devices.change(world.app, DeviceId(int(full.device[0])), same, NOW)
    assert len(await world.devices.of_person(world.app, UserId(ada))) == MOST


async def test_who_logs_in_brings_no_more_devices_than_one_may_have(world: World) -> None:
    """By a login, and by a device of theirs that registers: the others stay where they are."""
    await world.register(*(phone(f"a{n}", external_id="ada") for n in range(MOST - 1)))
    many = await world.register(phone("1"))
    stranger = UserId(int(many.user[0]))
    await world.register(phone("2", user=stranger))
    with pytest.raises(DevicesLimitError):
        await world.people.login(world.app, stranger, "ada", NOW)
    done = await world.register(phone("1", external_id="ada"), now=LATER)
    assert refused(done) == [(0, "/external_id", "merge_limit")]
    assert [len(await world.devices.of_person(world.app, stranger)) for _ in "1"] == [1]
    bare = await world.people.create_anonymous(world.app, PersonChange(), NOW)
    known = await world.people.login(world.app, bare.id, "ada", LATER)
    assert known is not None
    assert len(await world.devices.of_person(world.app, known.id)) == MOST


async def test_a_dead_device_makes_room_for_a_living_one(world: World) -> None:
    """Tokens that were made up keep nobody out once the network has named them."""
    full = await world.register(*(phone(f"a{n}", external_id="ada") for n in range(MOST)))
    await world.pool.execute("update device set state = 2 where id = $1", int(full.device[0]))

    done = await world.register(phone("b", external_id="ada"), phone("c", external_id="ada"))

    assert refused(done) == [(1, "/external_id", "devices_limit")]
