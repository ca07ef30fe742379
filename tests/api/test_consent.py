"""Consent, preferences, permission, suppression and privacy over the API."""

import hashlib
from typing import Any

import httpx
import pytest
from tests.api.conftest import World
from tests.api.test_edge import refused

PHONE = {"network": "fcm", "token": "token-1", "external_id": "ann"}


async def consent(client: httpx.AsyncClient, **row: Any) -> dict[str, Any]:  # noqa: ANN401  JSON
    """Record one row; the answer."""
    row = {"external_id": "ann", "category": "marketing", "change": "granted", **row}
    answer = await client.post("/v1/consent", json={"consents": [row]})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_consent_is_recorded_with_its_words_and_a_cut_address(
    admin: httpx.AsyncClient,
) -> None:
    """What the ledger keeps of a request names no household."""
    done = await consent(
        admin,
        at="2026-01-02T03:04:05Z",
        how="sdk_prompt",
        text="Send me offers",
        language="en",
        text_version="7",
        evidence={"address": "2001:db8:1:2::3", "user_agent": "App/1"},
    )
    assert done["items"] == [{"number": 1, "change": "granted"}]
    assert (done["refused"], done["rows_in"], done["rows_bad"]) == ([], 1, 0)
    line = (await admin.get("/v1/users/ann/consent")).json()["items"][0]
    assert line["evidence"] == {"address": "2001:db8:1::/48", "user_agent": "App/1"}
    assert (line["at"], line["how"]) == ("2026-01-02T03:04:05Z", "sdk_prompt")
    verified = (await admin.get("/v1/consent:verify")).json()
    assert (verified["holds"], verified["head"]) == (True, line["hash"])


async def test_bad_rows_are_reported_by_their_index(admin: httpx.AsyncClient) -> None:
    """The good ones are written."""
    rows = [
        {"external_id": "ann", "category": "none", "change": "granted"},
        {"external_id": "ann", "category": "calls", "change": "withdrawn"},
        {"category": "marketing", "change": "granted"},
        {"user": 9_999_999, "category": "marketing", "change": "granted"},
        {"external_id": "ann", "category": "marketing", "change": "granted"},
    ]
    found = (await admin.post("/v1/consent", json={"consents": rows})).json()
    assert [(each["index"], each["path"], each["code"]) for each in found["refused"]] == [
        (0, "/category", "category_unknown"),
        (1, "/category", "category_fixed"),
        (2, "/external_id", "user_missing"),
        (3, "/user", "user_unknown"),
    ]
    assert [each["number"] for each in found["items"]] == [0, 0, 0, 0, 1]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"change": "maybe"}, "/consents/0/change"),
    ({"at": "2999-01-01T00:00:00Z"}, "/consents/0/at"),
    ({"at": "1800-01-01T00:00:00Z"}, "/consents/0/at"),
    ({"user": 1}, "/consents/0/user"),
    ({"evidence": {"address": "nowhere"}}, "/consents/0/evidence/address"),
    ({"evidence": {"a": "\u0000"}}, "/consents/0/evidence"),
    ({"text": "x" * 10_001}, "/consents/0/text"),
    ({"how": "guessed"}, "/consents/0/how"),
]


@pytest.mark.parametrize(("change", "path"), WRONG)
async def test_what_is_malformed_refuses_the_request(
    admin: httpx.AsyncClient, change: dict[str, Any], path: str
) -> None:
    """Each refusal points to the field, and nothing is written."""
    row = {"external_id": "ann", "category": "marketing", "change": "granted", **change}
    answer = await admin.post("/v1/consent", json={"consents": [row]})
    assert refused(answer, "request_invalid")["errors"][0]["path"] == path
    assert (await admin.get("/v1/consent:verify")).json()["entries"] == 0


async def test_preferences_are_read_and_changed(admin: httpx.AsyncClient) -> None:
    """By whoever runs the app, and by the device that the person uses."""
    await admin.post("/v1/devices", json=PHONE)
    answer = await admin.put(
        "/v1/users/ann/preferences",
        json={
            "categories": {"marketing": "daily"},
            "language": "DE-at",
            "quiet_hours": [{"from": "22:00", "to": "07:00"}],
        },
    )
    assert answer.status_code == 200, answer.text
    token = {"network": "fcm", "token": "token-1"}
    seen = await admin.post("/v1/devices:preferences", json=token)
    assert seen.json() == answer.json()
    assert seen.json()["language"] == "de-AT"
    off = await admin.post(
        "/v1/devices:preferences", json={**token, "categories": {"marketing": "off"}}
    )
    assert {e["slug"]: e["frequency"] for e in off.json()["categories"]}["marketing"] == "off"
    for wrong, path in [
        ({"categories": {"none": "off"}}, "/categories/none"),
        ({"categories": {"calls": "off"}}, "/categories/calls"),
        ({"categories": {"calls": "daily"}}, "/categories/calls"),
        ({"confirm": ["marketing"]}, "/categories/marketing"),
        ({"language": "?"}, "/language"),
        ({"paused_until": "2999-01-01T00:00:00Z"}, "/paused_until"),
        ({"quiet_hours": [{"from": "0"}]}, "/quiet_hours/0/from"),
        ({"quiet_hours": [{"from": "00:00", "to": "24:00"}]}, "/quiet_hours"),
    ]:
        problem = refused(
            await admin.put("/v1/users/ann/preferences", json=wrong), "request_invalid"
        )
        assert problem["errors"][0]["path"] == path
    refused(await admin.get("/v1/users/nobody/preferences"), "not_found")


async def test_a_link_opens_one_page_until_it_is_revoked(world: World) -> None:
    """Whatever is changed of it opens nothing; so does a link of another server's key."""
    async with world.client() as admin, world.client(None) as person:
        await admin.put("/v1/users/ann", json={})
        path = (await admin.post("/v1/users/ann/preference-link", json={})).json()["path"]
        page = await person.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "no-store" in page.headers["cache-control"]
        for wrong in (path[:-1], path + "A", path[:-2] + "AA", path.swapcase(), "/preferences/x"):
            assert (await person.get(wrong)).status_code == 404
        form = {"content-type": "application/x-www-form-urlencoded"}
        for body in (b"action=delete", b"action=confirm.marketing", b"c.marketing=often", b"\xff=1",
                     b"pause=0", b"pause=366", b"pause=\xc2\xb2", b"language=xx&lang=en",
                     b"q.mon.from=99:99", b"a=1&" * 300):  # fmt: skip
            answer = await person.post(path, content=body, headers=form)
            assert (answer.status_code, body) == (422, body)
        await admin.post("/v1/app:rotate-links", json={})
        assert (await person.get(path)).status_code == 200
        await admin.post("/v1/app:rotate-links", json={"revoke": True})
        assert (await person.get(path)).status_code == 404


async def test_the_one_click_link_stops_everything_by_post_alone(world: World) -> None:
    """RFC 8058: a POST does it; who only looks (a link scanner) changes nothing."""
    async with world.client() as admin, world.client(None) as person:
        await admin.put("/v1/users/ann", json={})
        link = (await admin.post("/v1/users/ann/preference-link", json={})).json()
        looked = await person.get(link["stop_path"])
        assert looked.status_code == 303
        assert not (await admin.get("/v1/users/ann")).json()["opted_out"]
        done = await person.post(link["stop_path"], data={"List-Unsubscribe": "One-Click"})
        assert done.status_code == 303
        assert (await admin.get("/v1/users/ann")).json()["opted_out"]
        line = (await admin.get("/v1/users/ann/consent")).json()["items"][-1]
        assert (line["category"], line["how"]) == (None, "unsubscribe_link")


async def test_the_prompt_funnel_is_a_table_and_is_counted(admin: httpx.AsyncClient) -> None:
    """Steps out of order are refused; the funnel counts what happened."""
    device = (await admin.post("/v1/devices", json=PHONE)).json()["id"]
    path = f"/v1/devices/{device}/prompt"
    for what in ("show_primer", "accept_primer", "show_prompt"):
        assert (await admin.post(path, json={"what": what})).status_code == 200
    refused(await admin.post(path, json={"what": "accept_primer"}), "state_conflict")
    token = {"network": "fcm", "token": "token-1"}
    granted = await admin.post("/v1/devices:prompt", json={**token, "what": "grant"})
    assert (granted.json()["state"], granted.json()["permission"]) == ("granted", "granted")
    assert (await admin.get(f"/v1/devices/{device}")).json()["permission"] == "granted"
    funnel = (await admin.get("/v1/prompts")).json()
    steps = {step["what"]: step["devices"] for step in funnel["steps"]}
    assert (steps["show_primer"], steps["grant"], steps["deny"]) == (1, 1, 0)
    assert funnel["permissions"] == {"granted": 1}
    refused(await admin.post("/v1/devices/77/prompt", json={"what": "deny"}), "not_found")
    await admin.post("/v1/devices", json={**PHONE, "permission": "blocked"})
    assert (await admin.get(path)).json()["permission"] == "blocked"
    problem = refused(
        await admin.post("/v1/devices", json={**PHONE, "permission": "maybe"}), "request_invalid"
    )
    assert problem["errors"][0]["path"] == "/permission"


async def test_suppression_lists_are_kept(admin: httpx.AsyncClient) -> None:
    """Made, filled, read in pages, emptied, removed."""
    path = "/v1/suppression-lists/hard%20bounces"
    refused(await admin.get(path), "not_found")
    assert (await admin.put(path, json={"description": "x"})).status_code == 201
    assert (await admin.put(path, json={"description": "y"})).status_code == 200
    names = ["b", "a", "ä", "Z"]
    added = await admin.post(f"{path}/names", json={"external_ids": names, "reason": "bounce"})
    assert added.json() == {"changed": 4}
    first = (await admin.get(f"{path}/names?limit=2")).json()
    rest = (await admin.get(f"{path}/names", params={"after": first["next"]})).json()
    assert [e["external_id"] for e in first["items"] + rest["items"]] == ["Z", "a", "b", "ä"]
    gone = await admin.post(f"{path}/names:remove", json={"external_ids": ["a", "q"]})
    assert gone.json() == {"changed": 1}
    assert (await admin.get(path)).json()["names"] == 3
    assert (await admin.delete(path)).status_code == 204
    refused(await admin.post(f"{path}/names", json={"external_ids": ["a"]}), "not_found")


async def test_a_person_is_exported_and_erased_with_a_proof(world: World) -> None:
    """Nothing of the name is left, the chain still holds, and the proof shows whom it was about."""
    async with world.client() as admin:
        await admin.post("/v1/devices", json=PHONE)
        await admin.patch("/v1/users/ann", json={"aliases": {"email": "ann@example.com"}})
        await consent(admin, evidence={"address": "203.0.113.7"})
        await admin.put("/v1/suppression-lists/l", json={})
        await admin.post("/v1/suppression-lists/l/names", json={"external_ids": ["ann"]})

        held = (await admin.get("/v1/users/ann/export")).json()
        assert held["person"]["aliases"] == {"email": "ann@example.com"}
        assert held["consent"][0]["evidence"] == {"address": "203.0.113.0/24"}
        assert held["state"]["suppressions"][0]["list"] == "l"
        assert [device["token"] for device in held["devices"]] == [None]

        erased = await admin.post("/v1/users/ann/erase")
        assert erased.status_code == 200, erased.text
        proof = erased.json()
        assert proof["state"] == "done"
        removed = proof["removed"]
        assert (removed["state.users"], removed["state.devices"]) == (1, 1)
        assert (removed["state.consent_entries"], removed["state.suppressions"]) == (1, 1)
        about = hashlib.sha256(bytes.fromhex(proof["salt"]) + b"ann").hexdigest()
        assert proof["subject"] == about
        assert (await admin.get(f"/v1/erasures/{proof['id']}")).json() == proof
        refused(await admin.get("/v1/users/ann"), "not_found")
        refused(await admin.post("/v1/users/ann/erase"), "not_found")
        verified = (await admin.get("/v1/consent:verify")).json()
        assert (verified["holds"], verified["entries"]) == (True, 1)


async def test_another_app_sees_nothing_of_it(world: World) -> None:
    """Neither consent, nor lists, nor erasures."""
    async with world.client() as admin, world.client("other") as other:
        await consent(admin)
        done = (await admin.post("/v1/users/ann/erase")).json()
        refused(await other.get(f"/v1/erasures/{done['id']}"), "not_found")
        refused(await other.get("/v1/users/ann/consent"), "not_found")
        assert (await other.get("/v1/consent:verify")).json()["entries"] == 0


async def test_people_choose_their_time_zone(world: World) -> None:
    """On their page and over the API; what is no zone changes nothing."""
    async with world.client() as admin:
        await admin.put("/v1/users/ann", json={})
        link = (await admin.post("/v1/users/ann/preference-link", json={})).json()["path"]
        shown = await admin.get(link)
        saved = await admin.post(link, data={"zone": "Europe/Paris", "lang": "en"})
        kept = await admin.post(link, data={"lang": "en", "pause": "3"})
        wrong = await admin.post(link, data={"zone": '"><script>', "lang": "en"})
        page = (await admin.get(link)).text
        told = (await admin.get("/v1/users/ann/preferences")).json()
        refused = await admin.put("/v1/users/ann/preferences", json={"time_zone": "Mars/Base"})
        cleared = await admin.put("/v1/users/ann/preferences", json={"time_zone": None})

    assert '<option value="Europe/Paris">' in shown.text
    assert (saved.status_code, kept.status_code, wrong.status_code) == (303, 303, 422)
    assert 'value="Europe/Paris" dir="ltr"' in page
    assert told["time_zone"] == "Europe/Paris"
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "/time_zone")
    assert cleared.json()["time_zone"] is None
