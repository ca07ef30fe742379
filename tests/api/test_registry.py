"""People and devices through the API."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.api.conftest import World
from tests.api.test_edge import refused

from clarion.domain.person import MERGES_A_DAY

APNS = {"network": "apns", "token": "aa" * 32}
FCM = {"network": "fcm", "token": "dQw4w9WgXcQ:APA91b-" + "x" * 100}


def web_push() -> dict[str, Any]:
    """A subscription as a browser gives it."""
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    point = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {
        "network": "webpush",
        "token": "https://updates.push.services.mozilla.com/wpush/v2/abc",
        "keys": {"p256dh": _b64(point), "auth": _b64(b"0123456789abcdef")},
    }


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def identity(secret: bytes, **claims: object) -> str:
    """What an app's server signs."""
    head = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    text = f"{head}.{_b64(json.dumps(claims).encode())}"
    return f"{text}.{_b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


async def test_what_is_written_is_read_at_once(admin: httpx.AsyncClient) -> None:
    """PUT creates with 201, changes with 200, keeps what is absent and clears what is null."""
    created = await admin.put(
        "/v1/users/jane",
        json={
            "language": "de-at",
            "time_zone": "Europe/Vienna",
            "aliases": {"crm": "c-17"},
            "attributes": {
                "plan": "gold",
                "since": {"time": "2026-01-01T00:00:00Z"},
                "tags": ["a"],
            },
        },
    )
    assert created.status_code == 201
    assert created.json()["language"] == "de-AT"
    changed = await admin.put(
        "/v1/users/jane", json={"time_zone": None, "attributes": {"plan": None, "n": 2}}
    )
    assert changed.status_code == 200
    read = (await admin.get("/v1/users/jane")).json()
    assert read == changed.json()
    assert read["time_zone"] is None
    assert read["attributes"] == {"since": {"time": "2026-01-01T00:00:00Z"}, "tags": ["a"], "n": 2}
    assert (await admin.get("/v1/users/by-alias/crm/c-17")).json() == read
    assert (await admin.get(f"/v1/users/by-id/{read['id']}")).json() == read
    assert (await admin.delete("/v1/users/jane")).status_code == 204
    refused(await admin.get("/v1/users/jane"), "not_found")


async def test_external_ids_may_hold_anything_but_control_characters(
    admin: httpx.AsyncClient,
) -> None:
    """Slashes, colons, percent signs, other scripts; percent-encoded in the path."""
    for path, name in [
        ("a%2Fb", "a/b"),
        ("auth0:17", "auth0:17"),
        ("100%25", "100%"),
        ("%E6%9D%B1%E4%BA%AC", "東京"),
        ("x%3Abatch", "x:batch"),
    ]:
        response = await admin.put(f"/v1/users/{path}", json={})
        assert response.json()["external_id"] == name
        assert (await admin.get(f"/v1/users/{path}")).json()["external_id"] == name
    for path in ("%00", "%0A", "%FF", "a%ED%A0%80"):
        assert (await admin.put(f"/v1/users/{path}", json={})).status_code == 404


async def test_wrong_attributes_and_places_are_named(admin: httpx.AsyncClient) -> None:
    """1 MB values, nesting, huge numbers, control characters, unknown zones: nothing is changed."""
    for body, path in [
        ({"attributes": {"big": "x" * 500_000}}, "/attributes"),
        ({"attributes": {"nest": {"a": 1}}}, "/attributes/nest"),
        ({"attributes": {"n": 2**70}}, "/attributes/n"),
        ({"attributes": {"s": "a\u0000"}}, "/attributes/s"),
        ({"attributes": {"t": {"time": "yesterday"}}}, "/attributes/t/time"),
        ({"attributes": {f"a{i}": 1 for i in range(101)}}, "/attributes"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"country": "ZZZ"}, "/country"),
        ({"language": "english please"}, "/language"),
        ({"aliases": {"crm": "é" * 200}}, "/aliases/crm"),
    ]:
        problem = refused(await admin.put("/v1/users/joe", json=body), "request_invalid")
        assert problem["errors"][0]["path"] == path
    refused(await admin.get("/v1/users/joe"), "not_found")


async def test_an_alias_of_another_person_is_a_409(admin: httpx.AsyncClient) -> None:
    """The pointer names the label."""
    await admin.put("/v1/users/a", json={"aliases": {"mail": "x"}})
    problem = refused(await admin.put("/v1/users/b", json={"aliases": {"mail": "x"}}), "name_taken")
    assert problem["errors"][0]["path"] == "/aliases/mail"


async def test_another_apps_people_and_devices_do_not_exist(world: World) -> None:
    """404, as for what never existed."""
    async with world.client() as ours, world.client("other") as theirs:
        person = (await ours.put("/v1/users/jane", json={})).json()
        device = (await ours.post("/v1/devices", json={**APNS, "external_id": "jane"})).json()
        for path in (
            "/v1/users/jane",
            f"/v1/users/by-id/{person['id']}",
            f"/v1/devices/{device['id']}",
        ):
            refused(await theirs.get(path), "not_found")
            refused(await theirs.delete(path), "not_found")
        refused(await theirs.post("/v1/devices:find", json=APNS), "not_found")
        moved = await theirs.post("/v1/devices", json={**FCM, "user": person["id"]})
        refused(moved, "request_invalid")


async def test_a_device_registers_moves_and_is_found_by_its_token(admin: httpx.AsyncClient) -> None:
    """One call does all; the same token keeps its id."""
    first = await admin.post(
        "/v1/devices",
        json={**APNS, "external_id": "jane", "platform": "phone", "environment": "sandbox"},
    )
    assert first.status_code == 201
    again = await admin.post("/v1/devices", json={**APNS, "external_id": "joe"})
    assert again.status_code == 200
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["user"] != first.json()["user"]
    found = (await admin.post("/v1/devices:find", json={**APNS, "token": "AA" * 32})).json()
    assert found["platform"] == "phone"
    assert found["token"] == APNS["token"]
    assert found["environment"] == "sandbox"
    assert (await admin.get("/v1/users/joe/devices")).json()["items"] == [found]
    web = await admin.post("/v1/devices", json=web_push())
    assert web.status_code == 201
    patched = await admin.patch(
        f"/v1/devices/{web.json()['id']}",
        json={"opted_out": True, "location": {"latitude": 52.5, "longitude": 13.4}},
    )
    assert patched.json()["opted_out"] is True
    assert patched.json()["location"] == {"latitude": 52.5, "longitude": 13.4}


async def test_tokens_that_can_not_be_are_refused(admin: httpx.AsyncClient) -> None:
    """Each network has its own form, and endpoints may not point into the house."""
    inside = {**web_push(), "token": "https://127.0.0.1/push"}
    for body, path in [
        ({"network": "apns", "token": "xyz"}, "/token"),
        ({"network": "fcm", "token": "a b"}, "/token"),
        ({"network": "webpush", "token": "https://push.example/x"}, "/keys/p256dh"),
        ({**web_push(), "keys": {"p256dh": "AAAA", "auth": "AAAA"}}, "/keys/p256dh"),
        (inside, "/token"),
        ({**APNS, "last_active_at": "2090-01-01T00:00:00Z"}, "/last_active_at"),
    ]:
        problem = refused(await admin.post("/v1/devices", json=body), "request_invalid")
        assert problem["errors"][0]["path"] == path


async def test_a_batch_stores_good_rows_and_reports_bad_ones(admin: httpx.AsyncClient) -> None:
    """By index, pointer and code."""
    rows = [APNS, {"network": "fcm", "token": "b!d"}, {**FCM, "external_id": "jane"}]
    done = (await admin.post("/v1/devices:batch", json={"devices": rows})).json()
    assert [item["id"] > 0 for item in done["items"]] == [True, False, True]
    assert [(r["index"], r["path"], r["code"]) for r in done["refused"]] == [
        (1, "/token", "token_invalid")
    ]
    people = [{"external_id": "a", "language": "fr"}, {"external_id": "b", "country": "nowhere"}]
    done = (await admin.post("/v1/users:batch", json={"users": people})).json()
    assert [(r["index"], r["path"]) for r in done["refused"]] == [(1, "/country")]
    assert (await admin.get("/v1/users/a")).json()["language"] == "fr"


async def test_lists_go_on_at_their_cursor_and_refuse_others(world: World) -> None:
    """A cursor is bound to its list and app."""
    async with world.client() as client, world.client("other") as other:
        for name in "abcde":
            await client.put(f"/v1/users/{name}", json={})
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await client.get(f"/v1/users?limit=2{cursor}")).json()
            seen += [item["external_id"] for item in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert seen == list("abcde")
        for path in ("/v1/devices?limit=2", "/v1/messages?limit=2"):
            refused(await client.get(path + cursor), "cursor_invalid")
        refused(await other.get("/v1/users?limit=2" + cursor), "cursor_invalid")
        refused(await client.get("/v1/users?cursor=%00%FF"), "query_invalid")
        for query in ("limit=0", "limit=x", "limit=1&limit=2", "colour=red", "cursor=%C3%A9"):
            response = await client.get(f"/v1/users?{query}")
            assert response.status_code == 400, query


async def test_a_device_key_registers_and_reads_nothing(world: World) -> None:
    """It is public: it may only speak for the device whose token it knows."""
    async with world.client("device") as client:
        made = await client.post("/v1/devices", json={**FCM, "attributes": {"theme": "dark"}})
        assert set(made.json()) == {"id", "user", "created"}
        refused(await client.post("/v1/devices", json={**FCM, "user": 1}), "request_invalid")
        refused(await client.get(f"/v1/devices/{made.json()['id']}"), "scope_insufficient")
        refused(await client.post("/v1/devices:find", json=FCM), "scope_insufficient")
        refused(
            await client.post("/v1/devices:login", json={**APNS, "external_id": "x"}), "not_found"
        )
        known = await client.post("/v1/devices:login", json={**FCM, "external_id": "jane"})
        assert known.json()["user"] == made.json()["user"]
        out = await client.post("/v1/devices:logout", json=FCM)
        assert out.json()["user"] != made.json()["user"]
        again = await client.post("/v1/devices:login", json={**FCM, "external_id": "jane"})
        assert again.json()["user"] == made.json()["user"]
        assert (await client.post("/v1/devices:forget", json=FCM)).status_code == 204
        refused(await client.post("/v1/devices:forget", json=FCM), "not_found")


async def test_an_app_that_signs_identities_believes_nothing_else(world: World) -> None:
    """HS256, the right person, in time; a server's own key needs no token."""
    secret = b"a secret of the shop's server"
    now = int(time.time())
    good = identity(secret, sub="jane", exp=now + 3600)
    body = {**FCM, "external_id": "jane"}
    none = identity(secret, sub="jane")
    head = _b64(b'{"alg":"none"}')
    async with world.client("device", identity_secrets={"default": secret}) as client:
        refused(await client.post("/v1/devices", json=body), "identity_token_required")
        for token in (
            "x",
            "é.é.é",
            none,
            identity(b"other", sub="jane", exp=now + 3600),
            identity(secret, sub="joe", exp=now + 3600),
            identity(secret, sub="jane", exp=now - 120),
            identity(secret, sub="jane", exp=now + 90 * 86_400),
            identity(secret, sub="jane", exp=now + 3600, nbf=now + 3600),
            identity(secret, sub="jane", exp=True),
            f"{head}.{good.split('.')[1]}.",
        ):
            signed = {**body, "identity_token": token}
            refused(await client.post("/v1/devices", json=signed), "identity_token_invalid")
        signed = {**body, "identity_token": good}
        assert (await client.post("/v1/devices", json=signed)).status_code == 201
        assert (await client.post("/v1/devices:login", json=signed)).status_code == 200
    async with world.client("send", identity_secrets={"default": secret}) as client:
        assert (await client.post("/v1/devices", json=body)).status_code == 200


async def test_who_has_seen_an_address_does_not_become_its_person(world: World) -> None:
    """Where identities are signed, only that person's token renews a device of somebody."""
    secret = b"a secret of the shop's server"
    exp = int(time.time()) + 3600
    tokens = {name: identity(secret, sub=name, exp=exp) for name in ("jane", "mallory")}

    def named(name: str) -> dict[str, str]:
        return {"external_id": name, "identity_token": tokens[name]}

    async with world.client("device", identity_secrets={"default": secret}) as client:
        jane = (await client.post("/v1/devices", json={**FCM, **named("jane")})).json()
        stolen = {**FCM, "token": "mine", "replaces": FCM["token"]}
        for who in ({}, named("mallory")):
            answer = await client.post("/v1/devices", json={**stolen, **who})
            assert answer.json()["user"] != jane["user"]
            assert answer.json()["id"] != jane["id"]
        renewed = {**stolen, "token": "new", **named("jane")}
        assert (await client.post("/v1/devices", json=renewed)).json() == jane | {"created": False}


async def test_an_anonymous_person_can_be_merged_by_a_server(admin: httpx.AsyncClient) -> None:
    """What the known person has wins."""
    anonymous = (await admin.post("/v1/users", json={"attributes": {"a": 1, "b": 1}})).json()
    await admin.put("/v1/users/jane", json={"attributes": {"a": 2}})
    body = {"user": anonymous["id"], "external_id": "jane"}
    merged = (await admin.post("/v1/users:merge", json=body)).json()
    assert merged["attributes"] == {"a": 2, "b": 1}
    refused(await admin.post("/v1/users:merge", json=body), "not_found")


async def test_a_name_turns_an_anonymous_person_into_somebody_either_way(
    admin: httpx.AsyncClient,
) -> None:
    """A registration under a name and a login come to the same."""
    ends = []
    for name, token, path in (("ann", "t1", "/v1/devices"), ("ben", "t2", "/v1/devices:login")):
        made = (await admin.post("/v1/devices", json={**FCM, "token": token})).json()
        await admin.patch(f"/v1/users/by-id/{made['user']}", json={"attributes": {"plan": "x"}})
        await admin.put(f"/v1/users/{name}", json={"language": "de"})
        body = {**FCM, "token": token, "external_id": name}
        assert (await admin.post(path, json=body)).status_code == 200
        refused(await admin.get(f"/v1/users/by-id/{made['user']}"), "not_found")
        known = (await admin.get(f"/v1/users/{name}")).json()
        ends.append((known["attributes"], known["language"]))
    assert ends == [({"plan": "x"}, "de")] * 2


async def test_too_many_logins_of_one_person_are_told_when_to_come_again(
    admin: httpx.AsyncClient,
) -> None:
    """The bound is on how many others one person turns out to be, not on logins."""
    await admin.put("/v1/users/jane", json={})
    for _ in range(MERGES_A_DAY):
        body = {"user": (await admin.post("/v1/users", json={})).json()["id"]}
        assert (
            await admin.post("/v1/users:merge", json={**body, "external_id": "jane"})
        ).is_success
    await admin.post("/v1/devices", json=FCM)
    answer = await admin.post("/v1/devices:login", json={**FCM, "external_id": "jane"})
    refused(answer, "rate_limited")
    assert 80_000 < int(answer.headers["retry-after"]) <= 86_400


async def test_registrations_that_arrive_together_get_each_their_own_answer(
    admin: httpx.AsyncClient,
) -> None:
    """They are stored in groups; a bad one among them does not disturb the others."""
    bodies = [{**APNS, "token": f"{i:064x}", "external_id": f"u{i}"} for i in range(60)]
    bodies[7] = {**APNS, "token": "xyz"}
    answers = await asyncio.gather(*(admin.post("/v1/devices", json=b) for b in bodies))
    assert [a.status_code for a in answers] == [201 if i != 7 else 422 for i in range(60)]
    assert len({a.json()["id"] for i, a in enumerate(answers) if i != 7}) == 59
    for i in (0, 31, 59):
        person = (await admin.get(f"/v1/users/u{i}")).json()
        assert person["id"] == answers[i].json()["user"]
