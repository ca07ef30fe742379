"""What is listed by name comes in pages; what a `device` key makes is bounded."""

from typing import Any

import httpx
import pytest
from tests.api.conftest import World

from clarion.api.routes import ROUTES, topics
from clarion.ports.lists import TopicBounds

WHOLE = {
    "/v1/apps": "the operator makes them",
    "/v1/categories": "at most 63",
    "/v1/credentials": "one a network",
    "/v1/keys": "admins make them",
    "/v1/partials": "there is a limit",
    "/v1/segments": "there is a limit",
    "/v1/segments/{name}/versions": "admins make them",
    "/v1/templates/{name}/versions": "admins make them",
    "/v1/users/by-alias/{label}/{value}/consent": "one person's",
    "/v1/users/by-alias/{label}/{value}/devices": "one person's",
    "/v1/users/by-id/{id}/consent": "one person's",
    "/v1/users/by-id/{id}/devices": "one person's",
    "/v1/users/{external_id}/consent": "one person's",
    "/v1/users/{external_id}/devices": "one person's",
}
"""Lists that come whole, and why they stay small."""


async def pages(client: httpx.AsyncClient, path: str, name: str = "items") -> list[list[Any]]:
    """All pages of two."""
    found, cursor = [], ""
    while True:
        answer = (await client.get(f"{path}?limit=2{cursor}")).json()
        found.append(answer[name])
        if answer["next"] is None:
            return found
        cursor = f"&cursor={answer['next']}"


def test_every_list_has_pages_or_a_reason() -> None:
    """A route whose answer has `items` takes `limit` and `cursor`."""
    whole = {
        route.path
        for route in ROUTES
        for shape in route.answers.values()
        if isinstance(shape, type)
        and route.method == "GET"
        and "items" in shape.__struct_fields__
        and "next" not in shape.__struct_fields__
    }
    assert whole == {*WHOLE}


@pytest.mark.parametrize("path", ["/v1/lists", "/v1/suppression-lists"])
async def test_lists_come_in_pages(admin: httpx.AsyncClient, path: str) -> None:
    """Each once, in order of the names; a cursor of another list is refused."""
    for name in ("e", "a", "d", "c", "b"):
        assert (await admin.put(f"{path}/{name}", json={})).status_code == 201
    found = await pages(admin, path)
    assert [[item["name"] for item in page] for page in found] == [["a", "b"], ["c", "d"], ["e"]]
    cursor = (await admin.get(f"{path}?limit=2")).json()["next"]
    foreign = await admin.get(f"/v1/users?cursor={cursor}")
    assert (foreign.status_code, foreign.json()["code"]) == (400, "cursor_invalid")


async def test_topics_come_in_pages(admin: httpx.AsyncClient) -> None:
    """Those that somebody is on, with how many are; a person's too."""
    await admin.put("/v1/users/ann", json={})
    await admin.put("/v1/users/bob", json={})
    for name in ("d", "a", "c", "b", "left"):
        await admin.put(f"/v1/users/ann/topics/{name}")
    await admin.put("/v1/users/bob/topics/c")
    await admin.delete("/v1/users/ann/topics/left")
    found = [
        [(each["name"], each["members"]) for each in page]
        for page in await pages(admin, "/v1/topics")
    ]
    assert found == [[("a", 1), ("b", 1)], [("c", 2), ("d", 1)], []]
    of_ann = await pages(admin, "/v1/users/ann/topics", "topics")
    assert of_ann == [["a", "b"], ["c", "d"], []]


async def test_a_device_key_makes_so_many_topics(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New ones while there are few, known ones always, each person so many; a server is free."""
    monkeypatch.setattr(topics, "BOUNDS", TopicBounds(topics=3, of_person=2))
    async with world.client("device") as device, world.client("send") as server:

        async def join(number: int, topic: str) -> httpx.Response:
            token = {"network": "fcm", "token": f"{number}" * 40}
            return await device.post("/v1/topics:subscribe", json={**token, "topic": topic})

        for number in (1, 2, 3):
            token = {"network": "fcm", "token": f"{number}" * 40}
            await device.post("/v1/devices", json=token)
        joined = [await join(1, "a"), await join(1, "b"), await join(1, "a"), await join(2, "c")]
        assert [answer.status_code for answer in joined] == [204] * 4
        for refused in (await join(1, "c"), await join(3, "d")):
            assert (refused.status_code, refused.json()["code"]) == (409, "state_conflict")
            assert refused.json()["errors"][0]["path"] == "/topic"
        assert (await join(3, "a")).status_code == 204
        await server.put("/v1/users/ann", json={})
        assert (await server.put("/v1/users/ann/topics/d")).status_code == 204
        assert (await join(3, "d")).status_code == 204
