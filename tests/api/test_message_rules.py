"""What a message may ask for beyond its words: category, people, moment."""

import httpx
import orjson
import pytest
from tests.api.conftest import World

from clarion.adapters.state.pool import open_pool

MESSAGE = {"to": {"all": True}, "title": "Hi"}


async def send(client: httpx.AsyncClient, **changes: object) -> httpx.Response:
    """A message with these fields."""
    return await client.post("/v1/messages", json={**MESSAGE, **changes})


async def stored(url: str, message: object) -> dict[str, object]:
    """What the store keeps of a message."""
    pool = await open_pool(url)
    row = await pool.fetchrow(
        """select c.slug, m.policy::text as policy, m.target::text as target, m.send_at, m.lane
           from message m join category c on c.id = m.category_id where m.id = $1""",
        message,
    )
    await pool.close()
    return dict(row)


async def test_an_unknown_category_is_refused_with_those_there_are(
    admin: httpx.AsyncClient,
) -> None:
    """A typing error would send past people's consent."""
    answer = await send(admin, category="newz")

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    problem = answer.json()
    assert problem["code"] == "category_unknown"
    assert problem["errors"][0]["path"] == "/category"
    assert "marketing" in problem["detail"]


@pytest.mark.parametrize(
    ("fields", "slug"),
    [({}, "transactional"), ({"lane": "call"}, "calls"), ({"category": "marketing"}, "marketing")],
)
async def test_a_message_has_a_category(
    admin: httpx.AsyncClient, database_url: str, fields: dict[str, object], slug: str
) -> None:
    """Its own, or that of its lane, or the app's default."""
    answer = await send(admin, **fields)

    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    assert (await stored(database_url, answer.json()["id"]))["slug"] == slug


async def test_a_moment_is_kept_as_it_was_asked_for(
    admin: httpx.AsyncClient, database_url: str
) -> None:
    """Local time, importance, quiet hours and rate."""
    answer = await send(
        admin,
        local_time={"time": "09:30", "if_passed": "send_now", "grace_s": 600},
        importance=9,
        quiet_hours="drop",
        throttle_per_minute=600,
    )

    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    policy = (await stored(database_url, answer.json()["id"]))["policy"]
    assert orjson.loads(str(policy)) == {
        "local": {
            "clock": "09:30:00",
            "day": None,
            "if_passed": "send_now",
            "grace_us": 600_000_000,
        },
        "importance": 9,
        "quiet_hours": "drop",
        "throttle_per_minute": 600,
        "digest": False,
    }


async def test_people_of_a_message_for_a_day_are_chosen_before_its_first_clock(
    admin: httpx.AsyncClient,
) -> None:
    """Kiritimati is fourteen hours ahead."""
    answer = await send(admin, local_time={"date": "2090-05-02", "time": "09:00"})

    assert answer.json()["send_at"] == "2090-05-01T18:45:00Z"
    assert answer.json()["state"] == "scheduled"


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"local_time": {"date": "2090-02-30", "time": "09:00"}}, "/local_time/date"),
        ({"local_time": {"date": "2090-02-20\n", "time": "09:00"}}, "/local_time/date"),
        ({"local_time": {"time": "25:00"}}, "/local_time/time"),
        ({"local_time": {"time": "09:00\n"}}, "/local_time/time"),
        ({"local_time": {"time": "0\N{ARABIC-INDIC DIGIT NINE}:00"}}, "/local_time/time"),
        ({"language": "de\n"}, "/language"),
        ({"template": {"name": "hello\n"}}, "/template/name"),
        ({"importance": 255}, "/importance"),
        ({"quiet_hours": "loud"}, "/quiet_hours"),
        ({"throttle_per_minute": 0}, "/throttle_per_minute"),
        ({"to": {"all": True, "segment": "x"}}, "/to"),
        ({"to": {"segment": "missing"}}, "/to/segment"),
        ({"to": {"segment": "country in (FR"}}, "/to/segment"),
        ({"to": {"segment": {"field": "country", "op": "=", "value": 3}}}, "/to/segment/value"),
        ({"to": {"lists": ["nobodys"]}}, "/to/lists/0"),
        ({"to": {"users": ["u1"], "exclude": "country = FR"}}, "/to/exclude"),
        ({"to": {"all": True, "exclude": "segment(gone)"}}, "/to/exclude"),
    ],
)
async def test_what_can_not_be_is_refused_at_its_place(
    admin: httpx.AsyncClient, fields: dict[str, object], path: str
) -> None:
    """Field by field."""
    answer = await send(admin, **fields)

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    assert answer.json()["errors"][0]["path"] == path


async def test_a_target_is_kept_as_one_expression(
    world: World, admin: httpx.AsyncClient, database_url: str
) -> None:
    """Segment, lists and topics together, without the excluded."""
    pool = await open_pool(database_url)
    await pool.execute(
        "insert into list (app_id, name, created_at) values ($1, 'vips', now())", world.app
    )
    await pool.close()
    to = {
        "segment": "country in (FR, BE)",
        "lists": ["vips"],
        "topics": ["news"],
        "exclude": {"field": "language", "op": "=", "value": "fr"},
        "networks": ["apns"],
    }
    answer = await send(admin, to=to)

    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    target = orjson.loads(str((await stored(database_url, answer.json()["id"]))["target"]))
    wanted, unwanted = target["segment"]["and"]
    assert ["field" in wanted["or"][0], *wanted["or"][1:]] == [
        True,
        {"list": "vips"},
        {"topic": "news"},
    ]
    assert unwanted["not"]["value"] == "fr"
    assert not target["everybody"]


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"link": "javascript:alert(1)"}, "/link"),
        ({"link": "https://ann:secret@shop.example/"}, "/link"),
        ({"link": "http://shop.example/"}, "/link"),
        ({"image": "data:image/png;base64,AAAA"}, "/image"),
        ({"image": "myapp://picture"}, "/image"),
        ({"icon": "file:///icon.png"}, "/icon"),
        ({"actions": [{"id": "a", "title": "A", "link": "vbscript:x"}]}, "/actions/0/link"),
        ({"liquid": True, "link": "javascript:{{ user.x }}"}, "/link"),
        (
            {"language": "en", "localized": {"de": {"link": "blob:x"}}, "link": "/x"},
            "/localized/de/link",
        ),
    ],
)
async def test_a_message_leads_nobody_where_nobody_may_be_led(
    admin: httpx.AsyncClient, fields: dict[str, object], path: str
) -> None:
    """The field is named; a template that says the same is not stored either."""
    answer = await send(admin, **fields)

    assert answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY
    told = [(error["path"], error["code"]) for error in answer.json()["errors"]]
    assert told == [(path, "link_forbidden")]
    template = {"title": "Hi", **fields}
    template.pop("liquid", None)
    stored_as = await admin.put("/v1/templates/leading", json=template)
    told = [(error["path"], error["code"]) for error in stored_as.json()["errors"]]
    assert told == [(path, "link_forbidden")]


@pytest.mark.parametrize("link", ["myapp://orders/1", "/orders/1", "http://localhost:3000/x"])
async def test_a_message_leads_into_an_app_and_to_the_web(
    admin: httpx.AsyncClient, link: str
) -> None:
    """Deep links, the site's own pages, and a page that is being written."""
    answer = await send(admin, link=link, actions=[{"id": "a", "title": "A", "link": link}])

    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
