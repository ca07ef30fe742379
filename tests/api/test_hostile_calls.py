"""Calls that are meant to hurt: refused with a 4xx that says why, never a 500."""

import httpx
import pytest
from tests.api.conftest import World

HUGE = "9" * 30
DEEP = "(" * 50_000 + "country = FR" + ")" * 50_000
WIDE = " or ".join(["country = FR"] * 900)


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/templates/x?version={HUGE}",
        "/v1/templates/x?version=4294967296",
        "/v1/templates/x?version=-1",
        f"/v1/templates?limit={HUGE}",
        f"/v1/erasures/{HUGE}",
        "/v1/erasures/999999999999999",
        f"/v1/users/by-id/{HUGE}/preferences",
        "/v1/users/a%00b/consent",
        "/v1/users/%ED%A0%80/consent",
        "/v1/users/by-alias/a%0Ab/c/preferences",
        "/v1/prompts?since=0001-01-01T00:00:00Z&until=9999-12-31T23:59:59Z",
        "/v1/prompts?since=2026-01-01T00:00:00Z&until=1900-01-01T00:00:00Z",
        "/v1/suppression-lists/x/names?after=%00",
        "/v1/suppression-lists/" + "x" * 5_000,
        "/v1/lists/" + "x" * 5_000,
        "/v1/segments/" + "x" * 5_000,
        "/v1/users/ann/topics/a%00b",
        "/v1/audience/export?fields=" + "tag.x," * 600,
        "/v1/audience/export?fields=user,external_id,user",
        "/v1/audience/export?fields=device,bucket,token",
        "/v1/audience/export?list=%00",
        "/v1/audience/export?topic=%00",
        "/preferences/" + "A" * 67,
        "/preferences/" + "A" * 66 + "%C3%A9",
        "/preferences/" + "A" * 67 + "?lang=%00&saved=%FF",
        "/preferences/" + "A" * 67 + "/stop",
        "/r/" + "A" * 10_000,
        "/r/%0d%0aLocation:%20x",
        "/r/%C3%A9",
    ],
)
async def test_hostile_addresses(admin: httpx.AsyncClient, path: str) -> None:
    """Huge numbers, control characters, dates at the ends of the calendar."""
    answer = await admin.get(path, headers={"accept-language": "q=nan,a;q=inf,;;q=,*" * 300})
    assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/segments/check", {"expression": DEEP}),
        ("POST", "/v1/segments/check", {"expression": WIDE}),
        ("POST", "/v1/segments/check", {"expression": f"app_version > {HUGE}.{HUGE}"}),
        ("POST", "/v1/segments/check", {"expression": f"tag.a = {HUGE}{HUGE}"}),
        ("POST", "/v1/segments/check", {"expression": f"count(a, {HUGE}d) >= {HUGE}"}),
        ("POST", "/v1/segments/check", {"expression": f"last_active < {HUGE}d"}),
        ("POST", "/v1/segments/check", {"expression": f"near(1e999, {HUGE}, {HUGE}km)"}),
        ("POST", "/v1/segments/check", {"expression": 'tag.a = "\x00"'}),
        ("POST", "/v1/segments/check", {"expression": {"and": [{"and": []}] * 5_000}}),
        ("PUT", "/v1/segments/x", {"expression": "country = FR", "version": 2**53 - 1}),
        ("PUT", "/v1/segments/x", {"expression": 'tag.a = "\x00"'}),
        ("PUT", "/v1/segments/x", {"expression": f"last_active < {HUGE}d"}),
        ("POST", "/v1/segments/count", {"segment": f"last_active < {HUGE}d"}),
        ("POST", "/v1/segments/count", {"segment": "last_active < 9999999d"}),
        ("PUT", "/v1/lists/x", {"description": "a\x00"}),
        ("POST", "/v1/categories", {"slug": "x", "kind": "marketing", "name": "\x00"}),
        (
            "POST",
            "/v1/categories",
            {"slug": "x", "kind": "marketing", "name": "X", "caps": [{"count": 2**62}] * 4},
        ),
        (
            "POST",
            "/v1/categories",
            {"slug": "x", "kind": "marketing", "name": "X", "quiet_hours": {"windows": [{}] * 9}},
        ),
        ("PATCH", "/v1/app", {"throttle_per_minute": 2**40}),
        ("PATCH", "/v1/app", {"time_zone": "../../etc/passwd"}),
        ("PATCH", "/v1/app", {"quiet_hours": {"windows": [{"from": "24:01", "to": "\x00"}]}}),
        ("PUT", "/v1/users/ann/preferences", {"paused_until": "0001-01-01T00:00:00+14:00"}),
        ("PUT", "/v1/users/ann/preferences", {"paused_until": "1900-01-01T00:00:00Z"}),
        ("PUT", "/v1/users/ann/preferences", {"quiet_hours": [{"from": {}, "to": []}]}),
        ("PUT", "/v1/users/ann/preferences", {"quiet_hours": [{"days": [[]], "from": 1}]}),
        ("PUT", "/v1/users/ann/preferences", {"categories": {"__proto__": "off"}}),
        ("POST", "/v1/consent", {"consents": [
            {"user": 2**53 - 1, "category": "*", "change": "granted", "at": "1900-01-01T00:00:00Z"}
        ]}),
        ("POST", "/v1/templates/x/preview", {"version": 2**53}),
        ("PUT", "/v1/templates/x", {"title": "{{ 'a' | times: 1e308 | times: 1e308 }}"}),
        ("PUT", "/v1/templates/x", {"title": "{% for i in (1..99999999999) %}x{% endfor %}"}),
        ("PUT", "/v1/templates/x", {"title": "a", "newest": 2**53}),
        ("PUT", "/v1/partials/x", {"source": "{% if " * 5_000}),
        ("POST", "/v1/messages/preview", {"message": {"title": "{{ a | append: a }}" * 500}}),
    ],
)  # fmt: skip
async def test_hostile_bodies(
    admin: httpx.AsyncClient, method: str, path: str, body: dict[str, object]
) -> None:
    """Depth, width, huge numbers, control characters where text is expected."""
    await admin.put("/v1/users/ann", json={})
    await admin.put("/v1/templates/y", json={"title": "hello"})
    for where in {path, path.replace("templates/x", "templates/y")}:
        answer = await admin.request(method, where, json=body)
        assert answer.status_code < 500, answer.text


async def test_a_device_key_opens_nothing_of_other_people(world: World) -> None:
    """It is public: whoever has it reads and changes nobody by name."""
    async with world.client() as admin:
        await admin.put("/v1/users/ann", json={})
    async with world.client("device") as phone:
        for method, path in (
            ("GET", "/v1/users/ann/preferences"),
            ("PUT", "/v1/users/ann/preferences"),
            ("POST", "/v1/users/ann/preference-link"),
            ("GET", "/v1/users/ann/consent"),
            ("POST", "/v1/consent"),
            ("GET", "/v1/consent:verify"),
            ("GET", "/v1/users/ann/export"),
            ("POST", "/v1/users/ann/erase"),
            ("GET", "/v1/users/ann/topics"),
            ("PUT", "/v1/users/ann/topics/a"),
            ("GET", "/v1/topics"),
            ("POST", "/v1/topics/a/members"),
            ("GET", "/v1/lists"),
            ("POST", "/v1/lists/a/members"),
            ("GET", "/v1/segments"),
            ("POST", "/v1/segments/count"),
            ("GET", "/v1/audience/export"),
            ("GET", "/v1/suppression-lists"),
            ("GET", "/v1/prompts"),
            ("POST", "/v1/templates/a/preview"),
            ("POST", "/v1/app:rotate-links"),
        ):
            answer = await phone.request(method, path, json=None if method == "GET" else {})
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_insufficient"), path
        body = {"network": "fcm", "token": "nobody", "opted_out": True}
        assert (await phone.post("/v1/devices:preferences", json=body)).status_code == 404
        body = {"events": [{"user": 1, "name": "view"}]}
        assert (await phone.post("/v1/events", json=body)).status_code == 422


async def test_a_page_behind_a_link_is_kept_by_nobody(world: World) -> None:
    """Neither caches, nor frames, nor the next site's log learn of it."""
    async with world.client() as admin:
        await admin.put("/v1/users/ann", json={})
        link = (await admin.post("/v1/users/ann/preference-link", json={})).json()["path"]
    async with world.client(None) as person:
        for answer in (await person.get(link), await person.get(link[:-1] + "!")):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_the_title_of_a_page_has_no_markup_in_it(world: World) -> None:
    """A title is text: an element in it would be shown as it is written."""
    async with world.client() as admin:
        await admin.put("/v1/users/ann", json={})
        link = (await admin.post("/v1/users/ann/preference-link", json={})).json()["path"]
        name = (await admin.get("/v1/app")).json()["name"]
    async with world.client(None) as person:
        page = (await person.get(link)).text
    title = page.partition("<title>")[2].partition("</title>")[0]
    assert name in title
    assert "<" not in title
