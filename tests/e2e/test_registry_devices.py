"""Devices on a real database: registration, moves, tombstones, removal."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import numpy as np
import pytest
from tests.e2e.registry_world import LATER, NOW, World, open_world, phone

from clarion.adapters.state.pool import unit_of_work
from clarion.adapters.state.registry_devices import bury, replace_tokens
from clarion.domain.device import DeviceChange, DeviceState
from clarion.domain.ids import DeviceId, UserId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.ports.registry import (
    AttributesRefusedError,
    ByExternalId,
    DeviceRecord,
    PersonUnknownError,
)

GONE = np.array([Reason.TOKEN_UNREGISTERED], np.uint16)


@pytest.fixture(params=[False, True], ids=["rows", "columns"])
async def world(database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """A registry with one app, which is told of devices as rows, or as columns."""
    async with open_world(database_url, many=request.param) as world:
        yield world


async def read(world: World, device: int) -> DeviceRecord:
    """The device, which must exist."""
    record = await world.devices.get(world.app, DeviceId(device))
    assert record is not None
    return record


async def test_a_new_device_is_read_back_with_everything_said_of_it(world: World) -> None:
    """Canonical forms come back: zone, language, country, attributes, environment."""
    done = await world.register(
        {
            "network": "APNS",
            "token": "AB" * 32,
            "environment": "sandbox",
            "external_id": "ada",
            "platform": "phone",
            "os": "ios",
            "language": "pt_br",
            "country": "br",
            "time_zone": "Asia/Tokyo",
            "latitude": 1.5,
            "longitude": -2.5,
            "attributes": '{"plan":"gold","n":3,"on":true,'
            '"at":{"time":"2026-01-01T01:00:00+01:00"}}',
            "last_active_at": NOW,
        }
    )
    assert done.problems == []
    assert done.created == [True]
    record = await read(world, int(done.device[0]))
    assert (record.network, record.token, record.environment) == (Network.APNS, "ab" * 32, 2)
    assert (record.language, record.country, record.time_zone) == ("pt-BR", "BR", "Asia/Tokyo")
    assert (record.latitude, record.longitude) == (1.5, -2.5)
    assert record.attributes == {
        "plan": "gold",
        "n": 3,
        "on": True,
        "at": NOW.replace(month=1, day=1, hour=0),
    }
    assert (record.last_active_at, record.registered_at, record.state) == (NOW, NOW, 1)
    assert await world.devices.find(world.app, Network.APNS, "ab" * 32) == record


async def test_a_registration_that_says_less_keeps_what_is_known(world: World) -> None:
    """Nulls keep, given values replace, a null attribute is removed."""
    await world.register(phone("1", os="android", model="a", attributes='{"x":1,"y":2}'))
    done = await world.register(phone("1", model="b", attributes='{"x":null,"z":3}'), now=LATER)
    record = await read(world, int(done.device[0]))
    assert done.created == [False]
    assert (record.os, record.model, record.registered_at) == ("android", "b", LATER)
    assert record.attributes == {"y": 2, "z": 3}


async def test_null_attributes_of_a_new_device_are_not_stored(world: World) -> None:
    """There is nothing to remove."""
    done = await world.register(phone("1", attributes='{"x":null,"y":1}'))
    assert (await read(world, int(done.device[0]))).attributes == {"y": 1}


async def test_a_token_that_registers_under_another_user_moves(world: World) -> None:
    """The device keeps its id and gets the other owner."""
    first = await world.register(phone("1", external_id="ada"))
    second = await world.register(phone("1", external_id="bob"))
    assert first.device[0] == second.device[0]
    assert first.user[0] != second.user[0]
    assert (await read(world, int(first.device[0]))).user == second.user[0]


async def test_a_device_without_a_user_gets_an_anonymous_one_and_keeps_it(world: World) -> None:
    """Two new devices have two people; a known one keeps its own, whoever that is."""
    first = await world.register(phone("1"), phone("2"), phone("3", external_id="ada"))
    assert len(set(first.user.tolist())) == 3
    again = await world.register(phone("1"), phone("3"))
    assert again.user.tolist() == [first.user[0], first.user[2]]
    assert await world.count("users") == 3


async def test_of_two_rows_of_one_device_the_last_wins(world: World) -> None:
    """Both rows get the same device."""
    done = await world.register(
        phone("1", model="a", external_id="ada"), phone("1", model="b", external_id="bob")
    )
    assert done.device[0] == done.device[1]
    record = await read(world, int(done.device[0]))
    assert (record.model, record.user) == ("b", done.user[1])


async def test_rows_of_one_user_say_together_what_is_known(world: World) -> None:
    """What the last row leaves open is taken from the row before."""
    done = await world.register(
        phone("1", external_id="ada", user_language="de", user_attributes='{"a":1}'),
        phone("2", external_id="ada", user_country="DE", user_opted_out=True),
    )
    assert done.user[0] == done.user[1]
    person = await world.people.get(world.app, ByExternalId(external_id="ada"))
    assert person is not None
    assert (person.language, person.country, person.opted_out) == ("de", "DE", True)
    assert person.attributes == {"a": 1}


async def test_a_row_without_a_token_describes_a_user(world: World) -> None:
    """It has a user and no device."""
    done = await world.register({"external_id": "ada", "user_time_zone": "UTC"})
    assert (done.device[0], done.stored) == (0, 1)
    assert done.user[0] > 0


async def test_bad_rows_are_refused_and_the_good_ones_stored(world: World) -> None:
    """Each row answers for itself, in the order given."""
    done = await world.register(
        {"network": "apns", "token": "zz"}, phone("1"), phone("2", user=999), phone("3")
    )
    assert [(p.row, p.problem.code) for p in done.problems] == [
        (0, "token_invalid"),
        (2, "user_unknown"),
    ]
    assert (done.device > 0).tolist() == [False, True, False, True]
    assert done.stored == 2


async def test_attributes_that_would_grow_too_large_are_left_out(world: World) -> None:
    """All else of the row is stored, and the problem says so."""
    many = "{" + ",".join(f'"k{i}":1' for i in range(100)) + "}"
    await world.register(phone("1", attributes=many))
    done = await world.register(phone("1", model="b", attributes='{"one_more":1}'))
    assert [p.problem.code for p in done.problems] == ["attributes_too_large"]
    record = await read(world, int(done.device[0]))
    assert (record.model, len(record.attributes)) == ("b", 100)


async def test_another_app_has_its_own_device_of_the_same_token(world: World) -> None:
    """And can't see, change or remove the first one."""
    other = (await world.apps.create("other", now=NOW)).id
    mine = await world.register(phone("1"))
    theirs = await world.register(phone("1"), app=other)
    device = DeviceId(int(mine.device[0]))
    assert theirs.device[0] != device
    assert await world.devices.get(other, device) is None
    assert await world.devices.change(other, device, DeviceChange(os="x"), NOW) is None
    assert await world.devices.delete(other, device) is False
    assert (await world.register(phone("2", user=int(mine.user[0])), app=other)).stored == 0


async def test_the_dead_rise_when_they_register(world: World) -> None:
    """A tombstone keeps its reason until a registration makes the device live again."""
    done = await world.register(phone("1"))
    async with world.pool.acquire() as connection:
        dead = await bury(connection, done.device, GONE, np.zeros(1, np.int64), LATER)
        again = await bury(connection, done.device, GONE, np.zeros(1, np.int64), LATER)
    assert (dead.tolist(), again.tolist()) == (done.device.tolist(), [])
    record = await read(world, int(done.device[0]))
    assert (record.state, record.state_reason) == (DeviceState.DEAD, Reason.TOKEN_UNREGISTERED)
    await world.register(phone("1"), now=LATER)
    assert (await read(world, int(done.device[0]))).state == DeviceState.ACTIVE


@pytest.mark.parametrize(("minutes", "dies"), [(-1, False), (0, False), (1, True)])
async def test_a_token_registered_since_the_network_knew_lives(
    world: World, minutes: int, *, dies: bool
) -> None:
    """Apple's rule for 410: the instant in the answer is compared with the registration."""
    done = await world.register(phone("1"))
    knew = np.array([int((NOW + timedelta(minutes=minutes)).timestamp() * 1e6)], np.int64)
    async with world.pool.acquire() as connection:
        dead = await bury(connection, done.device, GONE, knew, LATER)
    assert (len(dead) == 1) is dies


async def test_a_replaced_token_is_found_by_its_new_name(world: World) -> None:
    """A token that another device has already makes the old one a tombstone."""
    done = await world.register(phone("1"), phone("2"), phone("taken"))
    async with world.pool.acquire() as connection:
        replaced = await replace_tokens(
            connection, done.device[:2], ["token-new", "token-taken"], LATER
        )
    assert replaced.tolist() == [done.device[0]]
    assert (await read(world, int(done.device[0]))).token == "token-new"
    second = await read(world, int(done.device[1]))
    assert (second.state, second.state_reason) == (DeviceState.DEAD, Reason.TOKEN_REPLACED)


async def test_every_change_of_a_device_moves_its_transaction_mark(world: World) -> None:
    """Readers of the change feed see registration, change, death."""
    done = await world.register(phone("1"))
    device = DeviceId(int(done.device[0]))
    marks = [await world.pool.fetchval("select xid from device")]
    await world.register(phone("1"))
    marks.append(await world.pool.fetchval("select xid from device"))
    await world.devices.change(world.app, device, DeviceChange(opted_out=True), NOW)
    marks.append(await world.pool.fetchval("select xid from device"))
    async with world.pool.acquire() as connection:
        await bury(connection, done.device, GONE, np.zeros(1, np.int64), LATER)
    marks.append(await world.pool.fetchval("select xid from device"))
    assert marks == sorted(set(marks))
    assert marks[0] == done.xid


async def test_a_device_is_changed_field_by_field(world: World) -> None:
    """What the change keeps stays; None clears."""
    done = await world.register(phone("1", os="android", model="m", attributes='{"a":1}'))
    other = await world.register(phone("2"))
    change = DeviceChange(model=None, attributes={"b": 2}, user=UserId(int(other.user[0])))
    record = await world.devices.change(world.app, DeviceId(int(done.device[0])), change, LATER)
    assert record is not None
    assert (record.os, record.model, record.attributes) == ("android", None, {"a": 1, "b": 2})
    assert record.user == other.user[0]
    assert len(await world.devices.of_person(world.app, UserId(int(other.user[0])))) == 2


async def test_a_change_that_cannot_be_is_refused(world: World) -> None:
    """An unknown user; attributes past the limits."""
    device = DeviceId(int((await world.register(phone("1"))).device[0]))
    with pytest.raises(PersonUnknownError):
        await world.devices.change(world.app, device, DeviceChange(user=UserId(999)), NOW)
    many = DeviceChange(attributes={f"k{i}": 1 for i in range(101)})
    with pytest.raises(AttributesRefusedError):
        await world.devices.change(world.app, device, many, NOW)


async def test_a_removed_device_leaves_a_mark(world: World) -> None:
    """The columnar copy learns of it from the removal."""
    device = DeviceId(int((await world.register(phone("1"))).device[0]))
    assert await world.devices.delete(world.app, device) is True
    assert await world.devices.delete(world.app, device) is False
    mark = await world.pool.fetchrow("select kind, id, app_id from removal")
    assert tuple(mark) == (2, device, world.app)


async def test_pages_go_through_all_devices_once(world: World) -> None:
    """In order of the id."""
    done = await world.register(*(phone(str(i)) for i in range(5)))
    first = await world.devices.page(world.app, after=None, limit=3)
    rest = await world.devices.page(world.app, after=first[-1].id, limit=3)
    assert [record.id for record in [*first, *rest]] == sorted(done.device.tolist())


async def test_writers_at_once_neither_lose_nor_double_a_device(world: World) -> None:
    """Overlapping batches in opposite orders, half of them without users."""
    rows = [phone(str(i), **({"external_id": f"u{i}"} if i % 2 else {})) for i in range(60)]
    done = await asyncio.gather(
        *(world.register(*(rows if turn % 2 else rows[::-1])) for turn in range(6))
    )
    assert await world.count("device") == 60
    assert await world.count("users") == 60
    assert sum(sum(part.created) for part in done) == 60
    ids = {tuple(sorted(part.device.tolist())) for part in done}
    assert len(ids) == 1


async def test_a_unit_of_work_that_fails_stores_nothing(world: World) -> None:
    """Read after the failure finds no device."""

    async def work(connection: object) -> None:
        del connection
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        await unit_of_work(world.pool, work)
    assert await world.count("device") == 0
