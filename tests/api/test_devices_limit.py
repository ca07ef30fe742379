"""A person who has as many devices as one may gets no more, whichever call would add one."""

from collections.abc import AsyncIterator

import httpx
import pytest
from tests.api.conftest import World
from tests.api.test_edge import refused

from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.state.registry_people import PostgresPeople

FCM = {"network": "fcm", "token": "t0"}
ADA = {"external_id": "ada"}


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections of the test's own."""
    pool = await open_pool(database_url, max_size=2)
    yield pool
    await pool.close()


@pytest.fixture
async def client(world: World, pool: Pool) -> AsyncIterator[httpx.AsyncClient]:
    """Two devices a person; `ada` has them."""
    devices, people = PostgresDevices(pool, 2), PostgresPeople(pool, 2)
    async with world.client("admin", devices=devices, people=people) as client:
        for token in ("a1", "a2"):
            await client.post("/v1/devices", json={**FCM, **ADA, "token": token})
        yield client


def too_many(answer: httpx.Response, path: str) -> None:
    """It is refused, and says where."""
    (error,) = refused(answer, "request_invalid")["errors"]
    assert (answer.status_code, error["path"], error["code"]) == (422, path, "devices_limit")


async def test_a_registration_and_a_login_are_refused(client: httpx.AsyncClient) -> None:
    """An anonymous device's, a named one's, and one that is given by number."""
    too_many(await client.post("/v1/devices", json={**FCM, **ADA}), "/external_id")
    assert (await client.post("/v1/devices", json={**FCM, **ADA, "token": "a1"})).status_code == 200
    await client.post("/v1/devices", json=FCM)
    too_many(await client.post("/v1/devices:login", json={**FCM, **ADA}), "/external_id")
    named = {**FCM, "token": "t1", "external_id": "bob"}
    made = (await client.post("/v1/devices", json=named)).json()
    too_many(
        await client.post("/v1/devices:login", json={**FCM, "token": "t1", **ADA}), "/external_id"
    )
    ada = (await client.get("/v1/users/ada")).json()["id"]
    too_many(await client.patch(f"/v1/devices/{made['id']}", json={"user": ada}), "/user")


async def test_a_batch_reports_the_row_and_takes_the_others(client: httpx.AsyncClient) -> None:
    """By its place."""
    rows = [{**FCM, **ADA}, {**FCM, "token": "t1", "external_id": "bob"}]
    done = (await client.post("/v1/devices:batch", json={"devices": rows})).json()
    assert [(bad["index"], bad["path"], bad["code"]) for bad in done["refused"]] == [
        (0, "/external_id", "devices_limit")
    ]
    assert [one["id"] == 0 for one in done["items"]] == [True, False]
