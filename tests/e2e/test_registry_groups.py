"""Single registrations of many callers at once, stored in groups."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.e2e.registry_world import NOW, RULES, World, open_world

from clarion.api.grouping import Registrar
from clarion.domain.conditions import Cell, Row
from clarion.domain.ids import AppId, DeviceId
from clarion.ports.store import StoreUnavailableError
from clarion.stages.intake.register import Registration, register


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A registry with one app."""
    async with open_world(database_url) as world:
        yield world


def row(token: str, **more: Cell) -> Row:
    """A registration of an FCM device."""
    return {"network": "fcm", "token": f"token-{token}", **more}


def registrar(world: World, groups: list[int] | None = None) -> Registrar:
    """One that notes how many rows its groups have."""

    async def store(app: AppId, rows: Sequence[Row]) -> Registration:
        if groups is not None:
            groups.append(len(rows))
        return await register(world.devices, app, rows, rules=RULES, now=NOW)

    return Registrar(store)


async def test_each_caller_gets_the_answer_to_its_own_row(world: World) -> None:
    """Good and bad ones, and they go together."""
    groups: list[int] = []
    to = registrar(world, groups)
    rows: list[Row] = [
        row(f"{i}", model=f"m{i}", external_id=f"u{i}")
        if i % 3
        else {"network": "apns", "token": f"zz{i}"}
        for i in range(60)
    ]
    done = await asyncio.gather(*(to.register(world.app, one) for one in rows))
    for number, result in enumerate(done):
        if number % 3 == 0:
            assert [problem.code for problem in result.problems] == ["token_invalid"]
            assert (result.device, result.created) == (0, False)
        else:
            assert (result.problems, result.created) == ((), True)
            record = await world.devices.get(world.app, DeviceId(result.device))
            assert record is not None
            assert record.model == f"m{number}"
    assert len(groups) < 10


async def test_callers_who_speak_of_one_device_are_all_heard_in_order(world: World) -> None:
    """Each says something else; the last word on what all say is the last caller's."""
    to = registrar(world)
    rows: list[Row] = [
        row("1", os="a", attributes='{"a":1}'),
        row("1", model="b", attributes='{"b":2}'),
        row("1", os="c", external_id="ada"),
    ]
    done = await asyncio.gather(*(to.register(world.app, one) for one in rows))
    assert [result.created for result in done] == [True, False, False]
    record = await world.devices.get(world.app, DeviceId(done[0].device))
    assert record is not None
    assert (record.os, record.model, record.attributes) == ("c", "b", {"a": 1, "b": 2})
    assert record.user == done[2].user


async def test_callers_who_describe_one_person_are_all_heard(world: World) -> None:
    """Two devices of a person say different things of it at once."""
    to = registrar(world)
    rows: list[Row] = [
        row(f"{i}", external_id="ada", user_attributes=f'{{"a{i}":{i}}}') for i in range(5)
    ]
    done = await asyncio.gather(*(to.register(world.app, one) for one in rows))
    assert len({result.user for result in done}) == 1
    found = await world.pool.fetchval("select attributes::text from users")
    assert found.count('"a') == 5


async def test_a_caller_who_gives_up_does_not_stop_the_others(world: World) -> None:
    """Its row may be stored or not; theirs are."""
    to = registrar(world)
    tasks = [asyncio.create_task(to.register(world.app, row(f"{i}"))) for i in range(9)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert await world.count("device") >= 8


async def test_all_hear_that_the_store_is_away(database_url: str) -> None:
    """And the next call is tried anew."""
    async with open_world(database_url) as world:
        to = registrar(world)
        await world.pool.close()
        for _ in range(2):
            done = await asyncio.gather(
                *(to.register(world.app, row(f"{i}")) for i in range(3)), return_exceptions=True
            )
            assert all(isinstance(result, StoreUnavailableError) for result in done)
