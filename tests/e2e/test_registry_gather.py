"""Registrations of many callers at once, gathered into batches."""

import asyncio
from collections.abc import AsyncIterator

import polars as pl
import pytest
from tests.e2e.registry_world import NOW, RULES, World, open_world, phone

from clarion.domain.ids import DeviceId
from clarion.ports.store import StoreUnavailableError
from clarion.stages.intake.gather import Gatherer


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A registry with one app."""
    async with open_world(database_url) as world:
        yield world


async def test_each_caller_gets_the_answer_to_its_own_rows(world: World) -> None:
    """Good and bad ones, of one row and of several."""
    gatherer = Gatherer(world.devices, RULES)
    frames = [
        pl.DataFrame([phone(f"{i}", model=f"m{i}"), phone(f"{i}b", external_id=f"u{i}")])
        if i % 3
        else pl.DataFrame([{"network": "apns", "token": f"zz{i}"}])
        for i in range(60)
    ]
    done = await asyncio.gather(*(gatherer.register(world.app, frame, NOW) for frame in frames))
    for number, result in enumerate(done):
        if number % 3 == 0:
            assert [(p.row, p.problem.code) for p in result.problems] == [(0, "token_invalid")]
            assert (result.stored, result.device.tolist()) == (0, [0])
        else:
            assert (result.problems, result.stored, result.created) == ([], 2, [True, True])
            record = await world.devices.get(world.app, DeviceId(int(result.device[0])))
            assert record is not None
            assert record.model == f"m{number}"
    assert len({result.xid for result in done if result.stored}) < 10


async def test_callers_who_speak_of_one_device_are_all_heard_in_order(world: World) -> None:
    """Each says something else; the last word on what all say is the last caller's."""
    gatherer = Gatherer(world.devices, RULES)
    frames = [
        pl.DataFrame([phone("1", os="a", attributes='{"a":1}')]),
        pl.DataFrame([phone("1", model="b", attributes='{"b":2}')]),
        pl.DataFrame([phone("1", os="c", external_id="ada")]),
    ]
    done = await asyncio.gather(*(gatherer.register(world.app, frame, NOW) for frame in frames))
    assert [result.created for result in done] == [[True], [False], [False]]
    record = await world.devices.get(world.app, DeviceId(int(done[0].device[0])))
    assert record is not None
    assert (record.os, record.model, record.attributes) == ("c", "b", {"a": 1, "b": 2})
    assert record.user == done[2].user[0]


async def test_a_caller_who_gives_up_does_not_stop_the_others(world: World) -> None:
    """Its rows may be stored or not; theirs are."""
    gatherer = Gatherer(world.devices, RULES)
    tasks = [
        asyncio.create_task(gatherer.register(world.app, pl.DataFrame([phone(f"{i}")]), NOW))
        for i in range(9)
    ]
    await asyncio.sleep(0)
    tasks[0].cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert await world.count("device") >= 8


async def test_all_hear_that_the_store_is_away(database_url: str) -> None:
    """And the next call is tried anew."""
    async with open_world(database_url) as world:
        gatherer = Gatherer(world.devices, RULES)
        await world.pool.close()
        for _ in range(2):
            done = await asyncio.gather(
                *(
                    gatherer.register(world.app, pl.DataFrame([phone(f"{i}")]), NOW)
                    for i in range(3)
                ),
                return_exceptions=True,
            )
            assert all(isinstance(result, StoreUnavailableError) for result in done)
