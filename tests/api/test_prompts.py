"""Asking for the permission is counted, also of those who say no."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from tests.api.conftest import World
from tests.api.test_edge import refused


def step(what: str, **more: object) -> dict[str, Any]:
    """A step of a visitor, as the SDK tells it."""
    return {"id": str(uuid4()), "what": what, **more}


async def counted(admin: httpx.AsyncClient) -> dict[tuple[str, str], int]:
    """(text, step) -> times."""
    funnel = (await admin.get("/v1/prompts")).json()
    return {(one["version"], one["what"]): one["times"] for one in funnel["versions"]}


async def test_visitors_who_say_no_are_counted_by_the_text_they_saw(world: World) -> None:
    """An experiment of two texts has its numbers without a single device."""
    async with world.client("device") as device, world.client() as admin:
        for version, no in (("a", "decline_primer"), ("a", "decline_primer"), ("b", "deny")):
            said = {"steps": [step("show_primer", version=version), step(no, version=version)]}
            assert (await device.post("/v1/prompts", json=said)).status_code == 204
        assert await counted(admin) == {
            ("a", "show_primer"): 2,
            ("a", "decline_primer"): 2,
            ("b", "show_primer"): 1,
            ("b", "deny"): 1,
        }
        steps = {one["what"]: one for one in (await admin.get("/v1/prompts")).json()["steps"]}
        assert (steps["show_primer"]["times"], steps["show_primer"]["devices"]) == (3, 0)
        refused(await device.get("/v1/prompts"), "scope_insufficient")


async def test_a_step_that_is_told_again_counts_once(world: World) -> None:
    """The answer may be lost on the way."""
    async with world.client("device") as device, world.client() as admin:
        said = {"steps": [step("deny", version="a")]}
        for _ in range(3):
            assert (await device.post("/v1/prompts", json=said)).status_code == 204
        assert await counted(admin) == {("a", "deny"): 1}


async def test_a_devices_step_that_is_told_again_is_taken_once(world: World) -> None:
    """The place it led to is answered again; without an id it would count, or be refused."""
    phone = {"network": "fcm", "token": "t-1"}
    async with world.client("device") as device, world.client() as admin:
        await device.post("/v1/devices", json=phone)
        for what in ("show_primer", "accept_primer", "show_prompt", "dismiss"):
            said = phone | step(what, version="b")
            places = [(await device.post("/v1/devices:prompt", json=said)).json() for _ in range(3)]
            assert [place["state"] for place in places] == [places[0]["state"]] * 3
            assert (await counted(admin))["b", what] == 1
        refused(
            await device.post("/v1/devices:prompt", json=phone | step("deny", id="1")),
            "request_invalid",
        )


async def test_steps_of_devices_name_their_text_too(world: World) -> None:
    """Those who say yes are told under their device."""
    phone = {"network": "fcm", "token": "t-1"}
    async with world.client("device") as device, world.client() as admin:
        await device.post("/v1/devices", json=phone)
        for what in ("show_primer", "accept_primer", "show_prompt", "dismiss", "show_primer"):
            said = phone | {"what": what, "version": "b"}
            assert (await device.post("/v1/devices:prompt", json=said)).status_code == 200
        assert await counted(admin) == {
            ("b", "show_primer"): 2,
            ("b", "accept_primer"): 1,
            ("b", "show_prompt"): 1,
            ("b", "dismiss"): 1,
        }


async def test_nothing_personal_is_taken_from_visitors(world: World) -> None:
    """Whatever else is said is refused; old and wrong steps too."""
    async with world.client("device") as device:
        for wrong in (
            step("show_primer", external_id="ada"),
            step("reset"),
            step("deny", id="1"),
            step("deny", version="x" * 101),
            step("deny", at="2999-01-01T00:00:00Z"),
        ):
            answer = await device.post("/v1/prompts", json={"steps": [wrong]})
            refused(answer, "request_invalid")
        refused(await device.post("/v1/prompts", json={"steps": []}), "request_invalid")


async def test_a_network_of_visitors_has_a_quota(world: World) -> None:
    """Of steps, not of requests: whoever copies the key out of a page can't write for ever."""
    async with world.client("device") as device:
        steps = [
            await device.post("/v1/prompts", json={"steps": [step("deny") for _ in range(50)]})
            for _ in range(20)
        ]
        first = next(answer for answer in steps if answer.status_code != 204)
        refused(first, "rate_limited")
        assert int(first.headers["retry-after"]) >= 1


async def test_steps_of_visitors_are_forgotten_in_the_end(world: World) -> None:
    """Nobody measures with what is more than a year old."""
    async with world.client("device") as device, world.client() as admin:
        for at in ("2020-01-01T00:00:00Z", "2026-01-01T00:00:00Z"):
            await device.post("/v1/prompts", json={"steps": [step("deny", at=at)]})
        funnel = await admin.get("/v1/prompts?since=2019-01-01T00:00:00Z")
        assert next(s for s in funnel.json()["steps"] if s["what"] == "deny")["times"] == 1


KEYS = {
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4"
    "bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}
"""Of RFC 8291 section 5."""


def web(address: str) -> dict[str, Any]:
    """A browser's registration."""
    return {"network": "webpush", "token": f"https://push.example.net/{address}", "keys": KEYS}


async def test_a_browser_that_renews_its_address_stays_the_person_it_was(world: World) -> None:
    """Also where nobody knows who it is: what that person consented to comes along."""
    async with world.client("device") as device, world.client() as admin:
        first = (await device.post("/v1/devices", json=web("old"))).json()
        for what in ("show_primer", "accept_primer", "show_prompt", "grant"):
            await device.post("/v1/devices:prompt", json={**_named("old"), "what": what})
        await device.post(
            "/v1/devices:preferences", json={**_named("old"), "categories": {"marketing": "all"}}
        )
        renewed = web("new") | {"replaces": web("old")["token"]}
        for _ in range(2):  # the first answer may be lost
            second = await device.post("/v1/devices", json=renewed)
            assert second.status_code == 200
            assert second.json() == first | {"created": False}
        preferences = (await device.post("/v1/devices:preferences", json=_named("new"))).json()
        shown = {one["slug"]: one["frequency"] for one in preferences["categories"]}
        assert shown["marketing"] == "all"
        place = (await admin.get(f"/v1/devices/{first['id']}/prompt")).json()
        assert place["state"] == "granted"
        refused(await device.post("/v1/devices:preferences", json=_named("old")), "not_found")


async def test_an_address_that_was_renewed_under_two_names_is_one_device(world: World) -> None:
    """The new address was registered before anybody said what it replaces."""
    async with world.client("device") as device, world.client() as admin:
        await device.post("/v1/devices", json=web("old"))
        await device.post("/v1/devices", json=web("new"))
        await device.post("/v1/devices", json=web("new") | {"replaces": web("old")["token"]})
        assert len((await admin.get("/v1/devices")).json()["items"]) == 1


async def test_a_renewal_that_is_refused_changes_nothing(world: World) -> None:
    """A wrong address or key leaves the old one where it was; nobody's address renews nothing."""
    async with world.client("device") as device, world.client() as admin:
        await device.post("/v1/devices", json=web("old"))
        wrong = {"network": "webpush", "token": "http://127.0.0.1/x", "keys": KEYS}
        answer = await device.post("/v1/devices", json=wrong | {"replaces": web("old")["token"]})
        refused(answer, "request_invalid")
        (held,) = (await admin.get("/v1/devices")).json()["items"]
        assert held["token"] == web("old")["token"]
        made = await device.post("/v1/devices", json=web("other") | {"replaces": "nobody's"})
        assert made.status_code == 201


def _named(address: str) -> dict[str, str]:
    return {"network": "webpush", "token": f"https://push.example.net/{address}"}


async def test_the_funnel_is_told_by_day_language_and_text(world: World) -> None:
    """Visitors' steps and devices' steps, each under the text that was shown."""
    phone = {"network": "fcm", "token": "t-1"}
    yesterday = datetime.now(UTC) - timedelta(days=1)
    async with world.client("device") as device, world.client() as admin:
        await device.post("/v1/devices", json={**phone, "language": "de"})
        told = {**phone, "what": "show_primer", "version": "b"}
        assert (await device.post("/v1/devices:prompt", json=told)).status_code == 200
        said = [step("deny", version="a"), step("deny", version="a")]
        said.append(step("deny", version="a", at=yesterday.isoformat()))
        assert (await device.post("/v1/prompts", json={"steps": said})).status_code == 204
        funnel = (await admin.get("/v1/prompts")).json()

    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert funnel["days_cut"] is False
    assert funnel["days"] == [
        {"day": f"{yesterday:%Y-%m-%d}", "language": "", "version": "a", "steps": {"deny": 1}},
        {"day": today, "language": "", "version": "a", "steps": {"deny": 2}},
        {"day": today, "language": "de", "version": "b", "steps": {"show_primer": 1}},
    ]
