"""Apps, keys and credentials through the API."""

import httpx
from tests.api.conftest import World
from tests.api.test_edge import refused

from clarion.adapters.state.pool import connect
from clarion.adapters.state.statements import statements


async def test_the_operator_makes_apps_and_their_first_keys(world: World) -> None:
    """Admins of other apps see only their own."""
    async with world.client() as operator, world.client("other") as other:
        made = await operator.post("/v1/apps", json={"name": "shop", "time_zone": "Asia/Tokyo"})
        assert made.status_code == 201
        refused(await operator.post("/v1/apps", json={"name": "shop"}), "name_taken")
        body = {"scope": "admin", "name": "first", "app": made.json()["id"]}
        key = (await operator.post("/v1/keys", json=body)).json()["key"]
        own = await operator.get("/v1/app", headers={"authorization": f"Bearer {key}"})
        assert own.json()["name"] == "shop"
        names = [app["name"] for app in (await operator.get("/v1/apps")).json()["items"]]
        assert names == ["default", "other", "shop"]
        refused(await other.get("/v1/apps"), "scope_insufficient")
        refused(await other.post("/v1/keys", json=body), "scope_insufficient")
        refused(await operator.post("/v1/keys", json={**body, "app": 10**9}), "request_invalid")


async def test_keys_are_shown_once_rotated_and_revoked(admin: httpx.AsyncClient) -> None:
    """The list never has their text."""
    new = (await admin.post("/v1/keys", json={"scope": "send", "name": "backend"})).json()
    assert new["key"].startswith("clarion_send_")
    listed = await admin.get("/v1/keys")
    assert new["key"] not in listed.text
    rotated = await admin.post(f"/v1/keys/{new['id']}:rotate", json={"grace_s": 3600})
    assert rotated.status_code == 201
    assert rotated.json()["scope"] == "send"
    states = {k["id"]: k["state"] for k in (await admin.get("/v1/keys")).json()["items"]}
    assert states[new["id"]] == states[rotated.json()["id"]] == "active"
    assert (await admin.delete(f"/v1/keys/{new['id']}")).status_code == 204
    refused(await admin.delete(f"/v1/keys/{new['id']}"), "not_found")
    refused(await admin.delete("/v1/keys/nothing"), "not_found")
    refused(await admin.post("/v1/keys/%C3%A9:rotate", json={}), "not_found")


async def test_a_vapid_pair_is_made_here_and_its_secret_never_leaves(
    admin: httpx.AsyncClient,
) -> None:
    """The public key is what pages subscribe with."""
    body = {"subject": "mailto:push@example.org"}
    made = await admin.post("/v1/credentials/webpush:generate", json=body)
    assert made.status_code == 200
    assert len(made.json()["public"]["public_key"]) == 87
    assert "PRIVATE" not in made.text
    listed = await admin.get("/v1/credentials")
    assert listed.json()["items"] == [made.json()]
    assert (await admin.get("/v1/credentials/webpush")).json()["version"] == 1
    again = await admin.post("/v1/credentials/webpush:generate", json=body)
    assert again.json()["version"] == 2
    refused(await admin.post("/v1/credentials/webpush:reinstate"), "state_conflict")
    assert (await admin.delete("/v1/credentials/webpush")).status_code == 204
    refused(await admin.get("/v1/credentials/webpush"), "not_found")


async def test_a_credential_that_can_not_work_is_refused_by_its_field(
    admin: httpx.AsyncClient,
) -> None:
    """Checked by the network's own rules, without asking the network."""
    body = {"public": {"topic": "com.example", "key_id": "short"}, "secret": {"private_key": "x"}}
    problem = refused(await admin.put("/v1/credentials/apns", json=body), "credential_refused")
    assert {e["path"] for e in problem["errors"]} >= {"/public/team_id"}
    refused(await admin.put("/v1/credentials/fcm", json={}), "credential_refused")
    refused(
        await admin.post("/v1/credentials/webpush:generate", json={"subject": "me"}),
        "credential_refused",
    )
    refused(await admin.put("/v1/credentials/pager", json={}), "not_found")
    refused(await admin.put("/v1/credentials/apns", json={"secret": {"a": 1}}), "request_invalid")


async def test_a_quarantine_is_shown_and_ended(world: World, database_url: str) -> None:
    """The operator says when a credential may be used again."""
    async with world.client() as client:
        body = {"subject": "mailto:push@example.org"}
        await client.post("/v1/credentials/webpush:generate", json=body)
        record = (await world.deps.credentials.all(world.app))[0]
        store = await connect(database_url)
        await store.execute(
            statements("line")["quarantine"],
            record.id,
            "vapid mismatch",
            world.deps.clock.now(),
            record.version,
        )
        await store.close()
        shown = (await client.get("/v1/credentials/webpush")).json()
        assert (shown["state"], shown["state_reason"]) == ("quarantined", "vapid mismatch")
        ended = await client.post("/v1/credentials/webpush:reinstate")
        assert ended.json()["state"] == "active"
