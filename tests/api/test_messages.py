"""Messages through the API: accepted, replayed, refused, listed, steered."""

from datetime import timedelta
from typing import Any

import httpx
from tests.api.conftest import World
from tests.api.test_edge import refused

from clarion.domain.lanes import Lane

HELLO: dict[str, Any] = {"to": {"users": ["jane"]}, "title": "Hello"}


async def test_a_message_is_accepted_with_its_address(world: World) -> None:
    """202, Location, and the request as it was accepted."""
    async with world.client("send") as client:
        response = await client.post("/v1/messages", json=HELLO)
        assert response.status_code == 202
        said = response.json()
        assert response.headers["location"] == f"/v1/messages/{said['id']}"
        assert (said["state"], said["lane"]) == ("sending", "transactional")
        record = await world.deps.messages.get(world.app, said["id"])
        assert record is not None
        assert record.lane is Lane.TRANSACTIONAL
        page = (await client.get("/v1/messages")).json()
        assert [(m["id"], m["title"]) for m in page["items"]] == [(said["id"], "Hello")]


async def test_the_lane_follows_from_the_audience_unless_it_is_named(
    admin: httpx.AsyncClient,
) -> None:
    """Few named recipients now: transactional; many, all, or later: campaign."""
    for to, more, lane in [
        ({"users": [f"u{i}" for i in range(10)]}, {}, "transactional"),
        ({"users": [f"u{i}" for i in range(11)]}, {}, "campaign"),
        ({"all": True}, {}, "campaign"),
        ({"users": ["a"]}, {"send_at": "2090-01-01T00:00:00Z"}, "campaign"),
        ({"all": True}, {"lane": "bulk"}, "bulk"),
        ({"devices": [1]}, {"lane": "call"}, "call"),
    ]:
        response = await admin.post("/v1/messages", json={"to": to, "body": "x", **more})
        assert response.json()["lane"] == lane


async def test_an_idempotency_key_makes_a_retry_harmless(admin: httpx.AsyncClient) -> None:
    """The same body replays, another one is a 422."""
    key = {"idempotency-key": "order-17"}
    first = await admin.post("/v1/messages", json=HELLO, headers=key)
    again = await admin.post("/v1/messages", json=HELLO, headers=key)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["location"] == first.headers["location"]
    other = await admin.post("/v1/messages", json={**HELLO, "title": "Bye"}, headers=key)
    refused(other, "idempotency_key_reused")
    assert len((await admin.get("/v1/messages")).json()["items"]) == 1
    for strange in ("", "a b", "x" * 256, "\xe9"):
        raw = httpx.Headers([(b"idempotency-key", strange.encode("latin-1"))])
        refused(await admin.post("/v1/messages", json=HELLO, headers=raw), "header_invalid")


async def test_what_can_not_be_sent_is_refused_before_acceptance(admin: httpx.AsyncClient) -> None:
    """With the pointer of the field; nothing is accepted."""
    deep: Any = 1
    for _ in range(20):
        deep = [deep]
    for body, path, code in [
        ({"title": "x"}, "/to", "request_invalid"),
        ({"to": {}, "title": "x"}, "/to", "request_invalid"),
        ({"to": {"all": True, "users": ["a"]}, "title": "x"}, "/to", "request_invalid"),
        ({"to": {"all": True}}, "", "request_invalid"),
        ({"to": {"users": [1]}, "title": "x"}, "/to/users/0", "request_invalid"),
        ({"to": {"users": ["a\u0007"]}, "title": "x"}, "/to/users/0", "request_invalid"),
        ({"to": {"networks": ["pager"], "all": True}, "title": "x"}, "/to/networks/0", None),
        ({**HELLO, "title": "a\u0000b"}, "/title", "request_invalid"),
        ({**HELLO, "body": "a\u0000b"}, "/body", "request_invalid"),
        ({**HELLO, "data": {"a": "b\u0000"}}, "/data/a", "request_invalid"),
        ({**HELLO, "data": {"n": 2**64}}, "/data/n", "request_invalid"),
        ({**HELLO, "data": {"deep": deep}}, None, "request_invalid"),
        ({**HELLO, "overrides": {"apns": {"aps": {"x": "\u0000"}}}}, "/overrides/apns/aps/x", None),
        ({**HELLO, "overrides": {"pager": {}}}, "/overrides/pager", "request_invalid"),
        ({**HELLO, "ttl": -1}, "/ttl", "request_invalid"),
        ({**HELLO, "ttl": 1.5}, "/ttl", "request_invalid"),
        ({**HELLO, "send_at": "soon"}, "/send_at", "request_invalid"),
        ({**HELLO, "send_at": "2090-01-01T00:00:00"}, "/send_at", "request_invalid"),
        ({**HELLO, "collapse_id": "x" * 65}, "/collapse_id", "request_invalid"),
        (
            {
                **HELLO,
                "send_at": "2090-01-02T00:00:00Z",
                "expires_at": "2090-01-01T00:00:00Z",
            },
            "/expires_at",
            "request_invalid",
        ),
        ({**HELLO, "body": "é" * 4000}, "/body", "message_refused"),
    ]:
        response = await admin.post("/v1/messages", json=body)
        problem = refused(response, code or response.json()["code"])
        assert path is None or problem["errors"][0]["path"] == path, body
    assert (await admin.get("/v1/messages")).json()["items"] == []


async def test_line_breaks_are_welcome_in_a_body(admin: httpx.AsyncClient) -> None:
    """And in data; emoji too."""
    body = {**HELLO, "body": "one\n\ttwo 🎉", "data": {"note": "a\nb"}}
    assert (await admin.post("/v1/messages", json=body)).status_code == 202


async def test_the_payload_is_checked_for_the_networks_that_the_app_uses(
    admin: httpx.AsyncClient,
) -> None:
    """An app with Web Push only is not bound by Apple's limit, unless it asks for Apple."""
    await admin.post("/v1/credentials/webpush:generate", json={"subject": "mailto:a@example.org"})
    long = {**HELLO, "to": {"all": True}, "overrides": {"apns": {"aps": {"x": "y" * 5000}}}}
    assert (await admin.post("/v1/messages", json=long)).status_code == 202
    apns = {**long, "to": {"all": True, "networks": ["apns"]}}
    refused(await admin.post("/v1/messages", json=apns), "message_refused")


async def test_a_scheduled_message_can_be_paused_resumed_and_canceled(world: World) -> None:
    """And by no other app."""
    body = {**HELLO, "send_at": "2090-01-01T00:00:00+01:00"}
    async with world.client() as client, world.client("other") as other:
        said = (await client.post("/v1/messages", json=body)).json()
        path = f"/v1/messages/{said['id']}"
        assert (said["state"], said["send_at"]) == ("scheduled", "2089-12-31T23:00:00Z")
        for verb in ("pause", "resume", "cancel"):
            refused(await other.post(f"{path}:{verb}"), "not_found")
        assert (await client.post(f"{path}:pause")).json()["state"] == "paused"
        refused(await client.post(f"{path}:pause"), "state_conflict")
        assert (await client.post(f"{path}:resume")).json()["state"] == "scheduled"
        assert (await client.post(f"{path}:cancel")).json()["state"] == "canceled"
        refused(await client.post(f"{path}:cancel"), "state_conflict")
        for strange in ("x", "00000000-0000-7000-8000-000000000000", "%00"):
            refused(await client.post(f"/v1/messages/{strange}:cancel"), "not_found")


async def test_messages_are_listed_newest_first_in_pages(admin: httpx.AsyncClient) -> None:
    """The cursor goes on where the page ended."""
    ids = [(await admin.post("/v1/messages", json=HELLO)).json()["id"] for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await admin.get(f"/v1/messages?limit=2{cursor}")).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ids[::-1]


async def test_an_id_of_long_ago_is_told_how_long_messages_are_kept(world: World) -> None:
    """Its outcomes are in the facts; what it said is gone."""
    now = world.deps.clock.now()
    of = {days: world.deps.chance.uuid7(now - timedelta(days=days)) for days in (31, 29)}
    async with world.client() as client:
        recent = refused(await client.get(f"/v1/messages/{of[29]}"), "not_found")
        old = refused(await client.get(f"/v1/messages/{of[31]}"), "not_found")
    assert "kept" not in recent["detail"]
    assert "messages are kept for 30 days" in old["detail"]
