"""Lists and topics through the API: who is on them, one by one and from files."""

from datetime import UTC, datetime, timedelta

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
    assert of_ann.json()["topics"] == ["goals", "news"]
    assert (await admin.get("/v1/users/ann/topics")).json()["topics"] == ["goals"]
    assert (await admin.put("/v1/users/zoe/topics/goals")).status_code == 404


async def test_who_comes_by_a_list_or_an_event_is_suppressed(admin: httpx.AsyncClient) -> None:
    """A name on a suppression list stays unsendable, whichever way it comes in."""
    await admin.put("/v1/suppression-lists/complaints", json={})
    names = {"external_ids": ["zoe", "yan"]}
    await admin.post("/v1/suppression-lists/complaints/names", json=names)
    await admin.put("/v1/lists/vip", json={})
    body = {"members": [{"external_id": "zoe"}]}
    await admin.post("/v1/lists/vip/members?unknown_users=create", json=body)
    await admin.post("/v1/events", json={"events": [{"external_id": "yan", "name": "view"}]})

    for name in ("zoe", "yan"):
        held = await admin.get(f"/v1/users/{name}/export")
        assert held.json()["state"]["suppressed"] is True, name


async def test_whoever_logs_in_brings_lists_and_topics_along(admin: httpx.AsyncClient) -> None:
    """What the known person left stays left."""
    await people(admin, "ann")
    made = await admin.post("/v1/users", json={})
    stranger = {"user": made.json()["id"]}
    for name in ("vip", "beta"):
        await admin.put(f"/v1/lists/{name}", json={})
        await admin.post(f"/v1/lists/{name}/members", json={"members": [stranger]})
    ann = {"members": [{"external_id": "ann"}]}
    await admin.post("/v1/lists/beta/members", json=ann)
    await admin.post("/v1/lists/beta/members?action=remove", json=ann)
    await admin.post("/v1/topics/goals/members", json={"members": [stranger]})
    merged = {**stranger, "external_id": "ann"}
    done = await admin.post("/v1/users:merge", json=merged)

    assert done.status_code == 200, done.text
    assert (await admin.get("/v1/users/ann/topics")).json()["topics"] == ["goals"]
    held = (await admin.get("/v1/users/ann/export")).json()["state"]
    assert held["lists"] == ["vip"]


async def test_a_list_that_a_segment_names_stays(admin: httpx.AsyncClient) -> None:
    """Until no segment names it."""
    await admin.put("/v1/lists/vip", json={})
    made = await admin.put("/v1/segments/best", json={"expression": 'in list("vip")'})
    refused = await admin.delete("/v1/lists/vip")
    await admin.delete("/v1/segments/best")

    assert made.status_code == 201, made.text
    assert (refused.status_code, refused.json()["code"]) == (409, "state_conflict")
    assert "best" in refused.json()["detail"]
    assert (await admin.delete("/v1/lists/vip")).status_code == 204


async def test_a_list_that_a_waiting_message_names_stays(admin: httpx.AsyncClient) -> None:
    """Until the message is planned, or canceled."""
    await admin.put("/v1/lists/vip", json={})
    body = {
        "to": {"segment": 'in list("vip")'},
        "title": "Hello",
        "send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
    }
    made = await admin.post("/v1/messages", json=body, headers={"idempotency-key": "k-1"})
    refused = await admin.delete("/v1/lists/vip")
    message = made.json()["id"]
    ended = await admin.post(f"/v1/messages/{message}:cancel")

    assert made.status_code == 202, made.text
    assert (refused.status_code, refused.json()["code"]) == (409, "state_conflict")
    assert message in refused.json()["detail"]
    assert ended.is_success, ended.text
    assert (await admin.delete("/v1/lists/vip")).status_code == 204
