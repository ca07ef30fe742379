"""Lists and topics through the API: who is on them, one by one and from files."""

import httpx
from tests.api.conftest import World

CSV = {"content-type": "text/csv"}


async def people(admin: httpx.AsyncClient, *names: str) -> None:
    """Make people."""
    await admin.post("/v1/users:batch", json={"users": [{"external_id": n} for n in names]})


async def test_a_list_is_made_described_and_removed(admin: httpx.AsyncClient) -> None:
    """Its name is its address."""
    made = await admin.put("/v1/lists/vip%20people", json={"description": "few"})
    told = await admin.put("/v1/lists/vip%20people", json={"description": "fewer"})
    shown = await admin.get("/v1/lists")

    assert (made.status_code, told.status_code) == (201, 200)
    assert [(i["name"], i["description"], i["members"]) for i in shown.json()["items"]] == [
        ("vip people", "fewer", 0)
    ]
    assert (await admin.delete("/v1/lists/vip%20people")).status_code == 204
    assert (await admin.get("/v1/lists/vip%20people")).status_code == 404


async def test_people_join_and_leave_a_list(admin: httpx.AsyncClient) -> None:
    """Twice is once; who is nobody is told; others stay."""
    await people(admin, "ann", "bob")
    await admin.put("/v1/lists/vip", json={})
    path = "/v1/lists/vip/members"
    rows = [{"external_id": "ann"}, {"external_id": "ann"}, {"external_id": "zoe"}, {}]
    first = await admin.post(path, json={"members": rows})
    file = await admin.post(path, content="external_id\nann\nbob\n", headers=CSV)
    count = (await admin.get("/v1/lists/vip")).json()["members"]
    left = await admin.post(f"{path}?action=remove", content="external_id\nann\n", headers=CSV)

    assert (first.json()["changed"], first.json()["rows_bad"]) == (1, 2)
    assert [(b["line"], b["code"]) for b in first.json()["bad"]] == [
        (3, "user_unknown"),
        (4, "field_missing"),
    ]
    assert (file.json()["changed"], count, left.json()["changed"]) == (1, 2, 1)
    assert (await admin.get("/v1/lists/vip")).json()["members"] == 1


async def test_an_unknown_name_may_become_a_person(admin: httpx.AsyncClient) -> None:
    """Where the caller says so."""
    await admin.put("/v1/lists/vip", json={})
    body = {"members": [{"external_id": "zoe"}]}
    answer = await admin.post("/v1/lists/vip/members?unknown_users=create", json=body)
    assert answer.json()["changed"] == 1
    assert (await admin.get("/v1/users/zoe")).status_code == 200


async def test_lists_of_another_app_are_not_there(world: World, admin: httpx.AsyncClient) -> None:
    """A name means the caller's own list."""
    await admin.put("/v1/lists/vip", json={})
    async with world.client("other") as other:
        assert (await other.get("/v1/lists/vip")).status_code == 404
        body = {"members": [{"external_id": "ann"}]}
        assert (await other.post("/v1/lists/vip/members", json=body)).status_code == 404


async def test_people_subscribe_to_topics(world: World, admin: httpx.AsyncClient) -> None:
    """By the app's server, in bulk, and by the device itself."""
    device = {"network": "fcm", "token": "t-1", "external_id": "ann"}
    await admin.post("/v1/devices", json=device)
    await people(admin, "bob")
    await admin.put("/v1/users/bob/topics/goals")
    body = {"members": [{"external_id": "ann"}, {"external_id": "bob"}]}
    bulk = await admin.post("/v1/topics/goals/members", json=body)
    ask = {"network": "fcm", "token": "t-1", "topic": "news"}
    async with world.client("device") as phone:
        assert (await phone.post("/v1/topics:subscribe", json=ask)).status_code == 204
        stranger = {**ask, "token": "t-2"}
        assert (await phone.post("/v1/topics:subscribe", json=stranger)).status_code == 404

    shown = await admin.get("/v1/topics")
    of_ann = await admin.get("/v1/users/ann/topics")
    async with world.client("device") as phone:
        await phone.post("/v1/topics:unsubscribe", json=ask)
    await admin.delete("/v1/users/bob/topics/goals")

    assert bulk.json()["changed"] == 1
    assert [(i["name"], i["members"]) for i in shown.json()["items"]] == [("goals", 2), ("news", 1)]
    assert of_ann.json() == {"topics": ["goals", "news"]}
    assert (await admin.get("/v1/users/ann/topics")).json() == {"topics": ["goals"]}
    assert (await admin.put("/v1/users/zoe/topics/goals")).status_code == 404
