"""Segments over the API: both forms, places of mistakes, live counts."""

from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from tests.api.conftest import World
from tests.facts.test_owner import owner

from clarion.adapters.state.pool import open_pool

Json = dict[str, Any]
PRO: Final = {"field": "tag.plan", "op": "=", "value": "pro"}


async def put(
    client: httpx.AsyncClient, name: str, expression: object, **more: object
) -> httpx.Response:
    """Put a segment; the answer."""
    return await client.put(f"/v1/segments/{name}", json={"expression": expression, **more})


async def test_a_segment_is_shown_in_both_forms_whichever_it_came_in(
    admin: httpx.AsyncClient,
) -> None:
    """And a second time it is no longer new."""
    made = await put(admin, "pro", 'tag.plan  =  "pro"', description="Who pays")
    assert made.status_code == 201
    assert made.json() | {"created_at": "", "updated_at": ""} == {
        "name": "pro",
        "description": "Who pays",
        "text": 'tag.plan = "pro"',
        "expression": PRO,
        "version": 1,
        "created_at": "",
        "updated_at": "",
    }
    again = await put(admin, "pro", {"or": [PRO, {"segment": "none"}]})
    assert again.status_code == 422
    other = await put(admin, "pro", {"not": PRO})
    assert (other.status_code, other.json()["text"]) == (200, 'not tag.plan = "pro"')
    assert (await admin.get("/v1/segments/pro")).json() == other.json()
    assert (await admin.get("/v1/segments")).json() == {"items": [other.json()]}


async def test_a_version_that_has_been_replaced_meanwhile_is_refused(
    admin: httpx.AsyncClient,
) -> None:
    """Whoever edits says what they had seen."""
    await put(admin, "a", "everyone")
    late = await put(admin, "a", "not everyone", version=0)
    assert (late.status_code, late.json()["code"]) == (409, "state_conflict")
    assert late.json()["errors"][0]["path"] == "/version"
    assert (await put(admin, "a", "not everyone", version=1)).json()["version"] == 2


async def test_every_version_is_kept(admin: httpx.AsyncClient) -> None:
    """Whatever was said since, the newest first; saying the same again is no version."""
    for said in ("everyone", "everyone", "country = FR"):
        await put(admin, "a", said)
    kept = (await admin.get("/v1/segments/a/versions")).json()["items"]
    assert [(one["version"], one["text"]) for one in kept] == [(2, "country = FR"), (1, "everyone")]
    assert kept[0]["expression"] == {"field": "country", "op": "=", "value": "FR"}
    missing = await admin.get("/v1/segments/none/versions")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


async def test_versions_outlive_their_segment(admin: httpx.AsyncClient) -> None:
    """And one of the same name goes on from there: no version means two things."""
    await put(admin, "a", "everyone")
    await admin.delete("/v1/segments/a")
    assert len((await admin.get("/v1/segments/a/versions")).json()["items"]) == 1

    made = await put(admin, "a", "country = FR", version=0)

    assert (made.status_code, made.json()["version"]) == (201, 2)
    kept = (await admin.get("/v1/segments/a/versions")).json()["items"]
    assert [one["text"] for one in kept] == ["country = FR", "everyone"]


async def test_what_is_named_is_not_removed(admin: httpx.AsyncClient) -> None:
    """The sentence says by whom."""
    await put(admin, "a", "everyone")
    await put(admin, "b", "in segment(a)")
    kept = await admin.delete("/v1/segments/a")
    assert (kept.status_code, kept.json()["detail"]) == (409, "Segment 'a' is named by 'b'.")
    assert (await admin.delete("/v1/segments/b")).status_code == 204
    assert (await admin.delete("/v1/segments/a")).status_code == 204
    assert (await admin.delete("/v1/segments/a")).status_code == 404


@pytest.mark.parametrize(
    ("expression", "path", "words"),
    [
        ("countryy = FR", "/expression", "line 1, column 1: there is no field 'countryy'"),
        (
            "everyone and\n in segment(gone)",
            "/expression",
            "line 2, column 13: there is no segment",
        ),
        ("in segment(mine)", "/expression", "circle: mine → mine"),
        ({"and": [PRO, {"list": "gone"}]}, "/expression/and/1/list", "There is no list 'gone'"),
        ({"field": "tag.x", "op": "~", "value": 1}, "/expression/op", "~"),
        ({"not": {}}, "/expression/not", ""),
    ],
)
async def test_a_mistake_has_its_place(
    admin: httpx.AsyncClient, expression: object, path: str, words: str
) -> None:
    """A line and a column in text, a pointer in JSON."""
    refused = await put(admin, "mine", expression)
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert error["path"] == path
    assert words.lower() in error["detail"].lower()


async def test_a_check_tells_the_normal_form_or_the_place(admin: httpx.AsyncClient) -> None:
    """Always with status 200, for whoever writes in an editor."""
    await put(admin, "a", "everyone")
    ask = "/v1/segments/check"
    good = await admin.post(ask, json={"expression": "in segment(a) or (in topic(news))"})
    assert good.json() == {
        "valid": True,
        "text": "in segment(a) or in topic(news)",
        "expression": {"or": [{"segment": "a"}, {"topic": "news"}]},
        "mistake": None,
        "segments": ["a"],
        "lists": [],
        "topics": ["news"],
    }
    bad = (await admin.post(ask, json={"expression": "everyone and cuntry = FR"})).json()
    place = {name: bad["mistake"][name] for name in ("offset", "length", "line", "column")}
    assert not bad["valid"]
    assert place == {"offset": 13, "length": 6, "line": 1, "column": 14}
    assert bad["mistake"]["suggestion"] == "country"
    form = (await admin.post(ask, json={"expression": {"not": {"segment": "b"}}})).json()
    assert (form["mistake"]["pointer"], form["mistake"]["offset"]) == ("/not/segment", None)


async def test_a_count_is_live_and_says_why_not(
    world: World, database_url: str, short_dir: Path
) -> None:
    """By network and reason; a category adds consent."""
    pool = await open_pool(database_url)
    async with owner(pool, short_dir) as columns, world.client("send", counts=columns) as client:
        for number in range(4):
            row = {"external_id": f"u{number}", "attributes": {"plan": "pro"}}
            await client.put(f"/v1/users/u{number}", json={"attributes": row["attributes"]})
            device = {
                "network": "webpush",
                "token": f"https://push.example.org/{number}",
                "keys": {"p256dh": P256DH, "auth": "MDEyMzQ1Njc4OWFiY2RlZg"},
                "external_id": f"u{number}",
            }
            assert (await client.post("/v1/devices", json=device)).is_success
        await pool.execute("update users set suppressed = true where external_id = 'u0'")
        await pool.execute(
            "update users set granted = 4, xid = pg_current_xact_id() where external_id = 'u1'"
        )
        xid = await pool.fetchval("select pg_current_xact_id()::text::bigint")
        await columns.rebuild()
        del xid
        all_of = (await client.post("/v1/segments/count", json={})).json()
        some = await client.post(
            "/v1/segments/count", json={"segment": 'tag.plan = "pro"', "category": "marketing"}
        )
        none = await client.post("/v1/segments/count", json={"segment": {"not": PRO}})
        unknown = await client.post("/v1/segments/count", json={"category": "nothing"})
        missing = await client.post("/v1/segments/count", json={"segment": "gone"})
    await pool.close()
    assert (all_of["people"], all_of["devices"], all_of["devices_reachable"]) == (4, 4, 0)
    assert all_of["by_reason"] == {"credential_missing": 3, "suppression_list": 1}
    assert some.json()["by_reason"] == all_of["by_reason"]
    assert none.json()["people"] == 0
    assert (unknown.status_code, unknown.json()["code"]) == (422, "category_unknown")
    assert (missing.status_code, missing.json()["errors"][0]["path"]) == (422, "/segment")


P256DH: Final = (
    "BIPUL12DLfytvTajnryr2PRdAgXS3HGKiLqndGcJGabyhHheJYlNGCeXl1dn18gSJ1WAkAPIxr4gK0_dQds4yiI"
)

HOSTILE: Final[list[Any]] = [
    None,
    0,
    [],
    "",
    " ",
    "(" * 60_000,
    "not " * 20_000,
    "a" * 100_000,
    "\u0000",
    "tag.x = \u0000",
    'tag.x = "\\u0000"',
    'tag.x = "\\ud800"',
    'in topic("\\ud800")',
    {"near": {"latitude": 10**400, "longitude": -(10**400), "radius_m": 10**400}},
    {"engagement": "opened", "category": "\u0000"},
    "tag.x = 1e999",
    "tag.x = " + "9" * 400,
    "near(1,2,3km) and near(999,0,1m)",
    "count(x, 999999999999999d) >= 1",
    "in segment('; drop table segment; --)",
    "everyone or " * 5_000 + "everyone",
    {},
    {"and": []},
    {"and": [{"everyone": True}] * 2_000},
    {"field": "tag.x", "op": "=", "value": 10**30},
    {"field": "tag.x", "op": "=", "value": "\u0000"},
    {"field": "tag.\u0000", "op": "exists"},
    {"field": "tag.x", "op": "in", "value": [[]]},
    {"list": "\u0000"},
    {"topic": "\u0000"},
    {"count": {"event": "\u0000"}, "op": ">=", "value": 1},
    {"near": {"latitude": "x", "longitude": None, "radius_m": -1}},
    {"engagement": "opened", "message": "x"},
    {"everyone": 1, "and": 2},
]


@pytest.mark.parametrize("given", range(len(HOSTILE)))
async def test_nothing_that_is_sent_as_an_expression_is_a_fault_of_ours(
    admin: httpx.AsyncClient, given: int
) -> None:
    """Refused with a reason, or taken for what it says; never a 500, and never stored wrongly."""
    expression = HOSTILE[given]
    answers = [
        await admin.put("/v1/segments/x", json={"expression": expression}),
        await admin.post("/v1/segments/check", json={"expression": expression}),
        await admin.post("/v1/segments/count", json={"segment": expression}),
    ]
    for answer in answers:
        fine = answer.json().get("code") == "facts_unavailable"
        assert answer.status_code < 500 or fine, answer.text
    if answers[0].is_success:
        assert (await admin.get("/v1/segments/x")).json()["text"] == answers[0].json()["text"]


@pytest.mark.parametrize("name", ["a b", "é", "x" * 129, "%2e%2e%2fx", "-a", "a%00", "'--"])
async def test_names_are_plain(admin: httpx.AsyncClient, name: str) -> None:
    """So that a name is never taken for an expression."""
    assert (await put(admin, name, "everyone")).status_code in {404, 422}
    assert (await admin.get("/v1/segments")).json() == {"items": []}


async def test_segments_belong_to_their_app_and_device_keys_see_none(world: World) -> None:
    """Nothing leaks from one app into another."""
    async with world.client() as mine, world.client("other") as theirs:
        await put(mine, "a", "everyone")
        assert (await theirs.get("/v1/segments/a")).status_code == 404
        assert (await put(theirs, "b", "in segment(a)")).status_code == 422
    async with world.client("device") as device:
        assert (await device.get("/v1/segments")).status_code == 403
        assert (await device.post("/v1/segments/count", json={})).status_code == 403
