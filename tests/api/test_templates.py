"""Templates, partials, previews and messages that use them, over the API."""

from typing import Any

import httpx
import msgspec
import pytest
from tests.api.conftest import World

from clarion.domain.content import Message
from clarion.domain.ids import MessageId

HELLO = {
    "title": "Hi {{ user.first_name }}",
    "body": "{% render 'order' %} {{ message.code }}",
    "language": "en",
    "localized": {"de": {"title": "Hallo {{ user.first_name }}", "body": "{{ message.code }}"}},
    "fallbacks": {"user.first_name": "friend"},
    "note": "First try.",
}
ORDER = {"source": "Order of {{ user.country | default: 'nowhere' }}:"}


async def saved(admin: httpx.AsyncClient) -> None:
    """The partial and the template."""
    assert (await admin.put("/v1/partials/order", json=ORDER)).status_code == 200
    answer = await admin.put("/v1/templates/hello", json=HELLO)
    assert answer.status_code == 200, answer.text


async def envelope(world: World, message: str) -> Message:
    """The message as it is kept."""
    pool: Any = world.deps.messages._pool  # type: ignore[attr-defined]
    raw = await pool.fetchval("select envelope from message where id = $1::text::uuid", message)
    return msgspec.json.decode(raw, type=Message)


async def test_a_template_has_versions(admin: httpx.AsyncClient) -> None:
    """A change makes the next one, the same words none; old ones stay."""
    await saved(admin)
    again = (await admin.put("/v1/templates/hello", json={**HELLO, "note": "x"})).json()
    assert again["version"] == 1
    changed = {**HELLO, "title": "Dear {{ user.first_name }}", "note": "Politer.", "newest": 1}
    second = (await admin.put("/v1/templates/hello", json=changed)).json()
    assert (second["version"], second["newest"], second["note"]) == (2, 2, "Politer.")
    assert second["variables"] == ["message.code", "user.country", "user.first_name"]
    first = (await admin.get("/v1/templates/hello?version=1")).json()
    assert first["template"]["title"] == HELLO["title"]
    assert first["template"]["localized"] == HELLO["localized"]
    versions = (await admin.get("/v1/templates/hello/versions")).json()["items"]
    assert [item["version"] for item in versions] == [2, 1]
    overtaken = await admin.put("/v1/templates/hello", json=changed)
    assert overtaken.status_code == 409
    assert (await admin.get("/v1/templates/hello?version=9")).status_code == 404


async def test_an_archived_template_is_out_of_use(admin: httpx.AsyncClient) -> None:
    """Not in the list, not for new messages; it can come back."""
    await saved(admin)
    assert (await admin.post("/v1/templates/hello:archive")).json()["archived_at"]
    assert (await admin.get("/v1/templates")).json()["items"] == []
    assert len((await admin.get("/v1/templates?archived=true")).json()["items"]) == 1
    body = {"to": {"users": ["a"]}, "template": {"name": "hello", "variables": {"code": 1}}}
    assert (await admin.post("/v1/messages", json=body)).status_code == 422
    assert (await admin.post("/v1/templates/hello:restore")).json()["archived_at"] is None
    assert (await admin.post("/v1/messages", json=body)).status_code == 202
    assert (await admin.post("/v1/templates/nobody:archive")).status_code == 404


async def test_a_partial_in_use_stays(admin: httpx.AsyncClient) -> None:
    """Deleting it would break the template."""
    await saved(admin)
    assert (await admin.delete("/v1/partials/order")).status_code == 409
    await admin.post("/v1/templates/hello:archive")
    assert (await admin.delete("/v1/partials/order")).status_code == 204
    assert (await admin.get("/v1/partials")).json() == {"items": []}
    assert (await admin.get("/v1/templates/hello")).json()["variables"] == []


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"body": "line\n{{ user.name"}, "/body", "line 2, column 1"),
        ({"body": "{{ name }}"}, "/body", "a variable begins with one of"),
        ({"body": "{{ user.x | shout }}"}, "/body", "no filter `shout`"),
        ({"body": "{% render 'gone' %}"}, "/body", "no partial gone"),
        (
            {"language": "en", "localized": {"de": {"title": "{% render 'weg' %}"}}},
            "/localized/de/title",
            "no partial weg",
        ),
        ({"localized": {"fr": {"title": "{% if %}"}}}, "/localized/fr/title", ""),
        ({"localized": {"zz-": {"title": "a"}}}, "", ""),
        ({"body": "{{ event.total }}"}, "", "event.total"),
        ({"title": None, "body": None, "localized": {}}, "", "Say something"),
        ({"language": None}, "/language", "Say in which language"),
        ({"data": {"a": ["{{ user. }}"]}}, "/data/a/0", ""),
    ],
)
async def test_a_mistake_is_told_with_its_place(
    admin: httpx.AsyncClient, change: dict[str, Any], path: str, words: str
) -> None:
    """The field, and the line and column in its text."""
    await saved(admin)
    answer = await admin.put("/v1/templates/other", json={**HELLO, **change})
    assert answer.status_code == 422
    problem = answer.json()
    assert path in [error["path"] for error in problem["errors"]] or path == ""
    assert words in problem["detail"]


async def test_a_message_keeps_the_words_it_was_accepted_with(
    world: World, admin: httpx.AsyncClient
) -> None:
    """Version and partials are in its envelope; its own fields replace the template's."""
    await saved(admin)
    use = {"name": "hello", "variables": {"code": 42}}
    body = {"to": {"all": True}, "template": use, "link": "https://x.test/{{ user.external_id }}"}
    sent = await admin.post("/v1/messages", json=body)
    assert sent.status_code == 202, sent.text
    await admin.put("/v1/partials/order", json={"source": "Changed."})
    await admin.put("/v1/templates/hello", json={**HELLO, "title": "Changed."})
    kept = await envelope(world, sent.json()["id"])
    assert kept.content.title == HELLO["title"]
    assert kept.content.link == body["link"]
    assert kept.wording is not None
    assert kept.wording.template is not None
    assert kept.wording.template.version == 1
    assert kept.wording.partials == {"order": ORDER["source"]}
    assert kept.wording.localized["de"].link == body["link"]
    assert kept.wording.fallbacks == {"user.first_name": "friend"}


async def test_a_plain_message_keeps_no_wording(world: World, admin: httpx.AsyncClient) -> None:
    """Braces are braces unless the message says that its texts are Liquid."""
    sent = await admin.post("/v1/messages", json={"to": {"all": True}, "title": "{{ a }} {%"})
    assert sent.status_code == 202
    assert (await envelope(world, MessageId(sent.json()["id"]))).wording is None


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ({"template": {"name": "nobody"}}, "/template"),
        ({"template": {"name": "hello", "version": 7}}, "/template"),
        ({"template": {"name": "hello"}}, "/variables/code"),
        ({"title": "{{ user.", "liquid": True}, "/title"),
        ({"title": "a", "localized": {"de": {"title": "b"}}}, "/language"),
        ({"title": "a", "liquid": True, "fallbacks": {"name": "b"}}, "/fallbacks/name"),
        ({"title": "a", "missing": "never"}, "/missing"),
        ({"liquid": True}, ""),
        ({"liquid": True, "data": {"aps": "{{ user.x }}"}}, "/data/aps"),
    ],
)
async def test_words_that_can_not_be_sent_are_refused(
    admin: httpx.AsyncClient, words: dict[str, Any], path: str
) -> None:
    """Before anything is accepted."""
    await saved(admin)
    answer = await admin.post("/v1/messages", json={"to": {"all": True}, **words})
    assert answer.status_code == 422, answer.text
    assert path in [error["path"] for error in answer.json()["errors"]]


async def test_a_preview_says_what_real_people_would_read(admin: httpx.AsyncClient) -> None:
    """Rendered for them as they are now; where it is cut; how large it is."""
    await saved(admin)
    person = {"language": "de", "attributes": {"first_name": 'Änn "A"'}}
    assert (await admin.put("/v1/users/ann", json=person)).status_code < 300
    asked = {"users": ["ann", "nobody"], "variables": {"code": "7"}, "platforms": ["ios"]}
    answer = await admin.post("/v1/templates/hello/preview", json=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["unknown"] == ["nobody"]
    (ann,) = told["samples"]
    assert (ann["user"], ann["language"], ann["missing"]) == ("ann", "de", [])
    assert ann["content"]["title"] == 'Hallo Änn "A"'
    assert ann["content"]["body"] == "7"
    assert ann["visible"]["ios"]["title"] == {"lines": ['Hallo Änn "A"'], "cut": False}
    assert 0 < ann["payloads"]["apns"]["octets"] < ann["payloads"]["apns"]["limit"]


async def test_a_message_can_be_previewed_with_made_up_people(admin: httpx.AsyncClient) -> None:
    """Nothing is sent; what they miss and what is too large is told."""
    message = {
        "title": "{{ user.name }}, {{ user.n | currency: 'EUR' }}",
        "body": "{{ user.long }}",
        "liquid": True,
        "missing": "skip",
        "track_links": True,
        "link": "https://x.test/",
    }
    samples = [
        {"language": "fr", "values": {"user.name": "Zoé", "user.n": 2.5, "user.long": "x" * 5000}},
        {"values": {"user.name": "A", "user.n": "many"}},
    ]
    answer = await admin.post(
        "/v1/messages/preview", json={"message": message, "preview": {"samples": samples}}
    )
    assert answer.status_code == 200, answer.text
    first, second = answer.json()["samples"]
    assert first["content"]["title"] == "Zoé, 2,50\u00a0€"
    assert first["content"]["link"].startswith("https://push.example/r/")
    assert {name: told["too_large"] for name, told in first["payloads"].items()} == {
        "apns": True, "fcm": True, "webpush": True,
    }  # fmt: skip
    assert first["visible"]["android"]["body"]["cut"]
    assert second["missing"] == ["user.long"]
    assert second["failed"]
    assert (await admin.get("/v1/messages")).json()["items"] == []


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"title": "x", "data": {"n": [2**64]}}, "/message/data/n/0"),
        ({"title": "x", "overrides": {"apns": {"headers": {"apns-topic": "a\nb"}}}}, None),
        ({"title": "x", "overrides": {"fcm": {"token": "t"}}}, None),
    ],
)
async def test_what_no_network_can_be_written_is_refused_by_a_preview(
    admin: httpx.AsyncClient, message: dict[str, object], path: str | None
) -> None:
    """As it is by a message."""
    asked = {"message": message, "preview": {}}
    answer = await admin.post("/v1/messages/preview", json=asked)
    assert answer.status_code == 422, answer.text
    assert path is None or answer.json()["errors"][0]["path"] == path


async def test_a_preview_without_people_shows_every_language(admin: httpx.AsyncClient) -> None:
    """One sample each, with the fallbacks."""
    await saved(admin)
    asked = {"variables": {"code": 1}, "platforms": ["android"]}
    told = (await admin.post("/v1/templates/hello/preview", json=asked)).json()["samples"]
    titles = [(sample["language"], sample["content"]["title"]) for sample in told]
    assert titles == [("en", "Hi friend"), ("de", "Hallo friend")]


async def test_another_app_sees_nothing(world: World, admin: httpx.AsyncClient) -> None:
    """Neither templates nor partials; a name is taken once an app."""
    await saved(admin)
    async with world.client("other") as other:
        assert (await other.get("/v1/templates/hello")).status_code == 404
        assert (await other.get("/v1/templates")).json()["items"] == []
        assert (await other.get("/v1/partials")).json()["items"] == []
        assert (await other.put("/v1/templates/hello", json={"title": "x"})).status_code == 200
    async with world.client("send") as sender:
        assert (await sender.put("/v1/templates/hello", json=HELLO)).status_code == 403
