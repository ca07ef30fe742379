"""Categories and the app's own rules over the API."""

from typing import Any

import httpx
import pytest
from tests.api.conftest import World
from tests.api.test_edge import refused

OFFERS: dict[str, Any] = {
    "slug": "offers",
    "kind": "marketing",
    "name": "Offers",
    "description": "What is cheap this week",
    "names": {"de": {"name": "Angebote"}, "FR": {"name": "Promotions"}},
    "quiet_hours": {"windows": [{"from": "21:00", "to": "08:00"}], "action": "drop"},
    "caps": [{"count": 3, "per": "7d"}],
    "digest": {"at": "09:30", "weekday": "fri"},
}


async def test_an_app_is_born_with_three_categories(admin: httpx.AsyncClient) -> None:
    """Calls, transactional and marketing."""
    items = (await admin.get("/v1/categories")).json()["items"]
    assert [(item["slug"], item["kind"]) for item in items] == [
        ("calls", "call"),
        ("transactional", "transactional"),
        ("marketing", "marketing"),
    ]


async def test_a_category_is_made_read_changed_archived_and_restored(
    admin: httpx.AsyncClient,
) -> None:
    """What is left out follows from its kind; what is absent in a change stays."""
    made = await admin.post("/v1/categories", json=OFFERS)
    assert made.status_code == 201, made.text
    view = made.json()
    assert (view["can_opt_out"], view["default_state"], view["caps_apply"]) == (True, "out", True)
    assert view["names"] == {
        "de": {"name": "Angebote", "description": ""},
        "fr": {"name": "Promotions", "description": ""},
    }
    assert view["digest"] == {"at": "09:30", "weekday": "fri"}
    assert (await admin.get("/v1/categories/offers")).json() == view

    changed = await admin.patch("/v1/categories/offers", json={"quiet_hours": None, "caps": []})
    assert changed.json() == {**view, "quiet_hours": None, "caps": []}

    gone = await admin.delete("/v1/categories/offers")
    assert gone.json()["archived_at"] is not None
    again = await admin.post("/v1/categories", json=OFFERS)
    refused(again, "name_taken")
    back = await admin.post("/v1/categories/offers:restore")
    assert back.json()["archived_at"] is None


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"default_state": "in"}, "/default_state"),
    ({"can_opt_out": False}, "/can_opt_out"),
    ({"slug": "Offers"}, "/slug"),
    ({"slug": "offers\n"}, "/slug"),
    ({"kind": "spam"}, "/kind"),
    ({"priority": 255}, "/priority"),
    ({"names": {"nonsense!": {"name": "x"}}}, "/names/nonsense!"),
    ({"quiet_hours": {}}, "/quiet_hours/windows"),
    ({"quiet_hours": {"windows": [], "action": {}}}, "/quiet_hours/action"),
    ({"quiet_hours": {"windows": [{"from": "25:00", "to": "1"}]}}, "/quiet_hours/windows/0/from"),
    ({"quiet_hours": {"windows": [{"from": "00:00", "to": "24:00"}]}}, "/quiet_hours/windows"),
    ({"caps": [{"count": 0, "per": "day"}]}, "/caps/0/count"),
    ({"caps": [{"count": 1, "per": "9" * 5000 + "d"}]}, "/caps/0/per"),
    ({"caps": [{"count": 1, "per": "32d"}]}, "/caps/0/per"),
    ({"caps": [{"count": 1, "per": "day", "scope": []}]}, "/caps/0/scope"),
    ({"caps": [{"count": 1, "per": "day", "action": "wait"}]}, "/caps/0/action"),
    ({"caps": [{"count": 1, "per": "day", "counts_exempt": 1}]}, "/caps/0/counts_exempt"),
    ({"caps": [{"limit": 1, "per": "day"}]}, "/caps/0/limit"),
    ({"caps": [3]}, "/caps/0"),
    ({"caps": [{"count": 1, "per": "day"}] * 5}, "/caps"),
    ({"digest": {"at": "24:00"}}, "/digest/at"),
    ({"nonsense": 1}, "/nonsense"),
]


@pytest.mark.parametrize(("change", "path"), WRONG)
async def test_what_a_category_can_not_be_is_refused_by_its_field(
    admin: httpx.AsyncClient, change: dict[str, Any], path: str
) -> None:
    """Each refusal points to the field."""
    problem = refused(
        await admin.post("/v1/categories", json={**OFFERS, **change}), "request_invalid"
    )
    assert problem["errors"][0]["path"] == path


async def test_an_app_has_at_most_sixty_three(admin: httpx.AsyncClient) -> None:
    """One bit each; an archived one keeps its place."""
    for number in range(60):
        body = {"slug": f"c{number}", "kind": "system", "name": "C"}
        assert (await admin.post("/v1/categories", json=body)).status_code == 201
    await admin.delete("/v1/categories/c1")
    full = await admin.post("/v1/categories", json=OFFERS)
    refused(full, "state_conflict")


async def test_what_messages_fall_back_to_can_not_be_archived(admin: httpx.AsyncClient) -> None:
    """Neither calls nor the default category."""
    for slug in ("calls", "transactional"):
        refused(await admin.delete(f"/v1/categories/{slug}"), "state_conflict")
    refused(await admin.delete("/v1/categories/nothing"), "not_found")
    refused(await admin.post("/v1/categories/nothing:restore"), "not_found")
    refused(await admin.patch("/v1/categories/nothing", json={}), "not_found")


async def test_the_apps_own_rules_are_read_and_changed(admin: httpx.AsyncClient) -> None:
    """With what is wrong named by its field."""
    await admin.post("/v1/categories", json=OFFERS)
    rules = (await admin.get("/v1/app/rules")).json()
    assert rules["default_category"] == "transactional"
    change = {
        "time_zone": "Europe/Berlin",
        "default_category": "offers",
        "quiet_hours": {"windows": [{"days": ["sat"], "from": "20:00", "to": "10:00"}]},
        "caps": [{"count": 5, "per": "day", "action": "defer"}],
        "throttle_per_minute": 60_000,
        "unknown_zone": "app_zone",
    }
    answer = await admin.patch("/v1/app", json=change)
    assert answer.status_code == 200, answer.text
    assert (await admin.get("/v1/app/rules")).json() == answer.json()
    for wrong, path in [
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
        ({"language": "!"}, "/language"),
        ({"default_category": "nothing"}, "/default_category"),
        ({"caps": [{"count": 5, "per": "day"}] * 4}, "/caps"),
        ({"throttle_per_minute": 0}, "/throttle_per_minute"),
        ({"unknown_zone": "guess"}, "/unknown_zone"),
    ]:
        problem = refused(await admin.patch("/v1/app", json=wrong), "request_invalid")
        assert problem["errors"][0]["path"] == path
    assert (await admin.get("/v1/app/rules")).json() == answer.json()


async def test_categories_of_another_app_are_not_there(world: World) -> None:
    """And a `send` key reads, but does not write."""
    async with world.client("admin") as mine, world.client("other") as other:
        await mine.post("/v1/categories", json=OFFERS)
        refused(await other.get("/v1/categories/offers"), "not_found")
    async with world.client("send") as client:
        assert (await client.get("/v1/categories/offers")).status_code == 200
        refused(await client.patch("/v1/categories/offers", json={}), "scope_insufficient")
