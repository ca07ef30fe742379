"""What FCM receives for each kind of push."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.content import Action, Content, Json, Message, Priority, PushType
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network, TokenKind
from clarion.providers.fcm import payload

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ID = MessageId("019aa5f0-0000-7000-8000-000000000001")
ALERT = Message(
    id=ID, app=AppId(1), lane=Lane.CAMPAIGN, content=Content(title="T", body="B", data={"n": 7})
)


def body_of(given_message: Message, kind: TokenKind = TokenKind.TOKEN) -> Any:  # noqa: ANN401 - JSON of unknown shape
    """The body for one recipient, as a value."""
    (body,) = payload.prepare(given_message, NOW).bodies([b"tok:1"], kind)
    return orjson.loads(body)


def test_an_alert_fills_every_platform() -> None:
    """The golden of a plain alert."""
    topic = body_of(ALERT)["message"]["webpush"]["headers"]["Topic"]
    assert len(topic) == 32
    assert body_of(ALERT) == {
        "message": {
            "token": "tok:1",
            "data": {"n": "7", "clarion": f'{{"id":"{ID}"}}'},
            "notification": {"title": "T", "body": "B"},
            "android": {"priority": "HIGH", "notification": {"tag": ID}},
            "apns": {
                "headers": {
                    "apns-priority": "10",
                    "apns-push-type": "alert",
                    "apns-collapse-id": ID,
                },
                "payload": {"aps": {"alert": {"title": "T", "body": "B"}}},
            },
            "webpush": {
                "headers": {"Urgency": "high", "Topic": topic},
                "notification": {"tag": ID},
            },
        }
    }


def test_everything_has_its_place() -> None:
    """Image, buttons, link, sound, badge, category, thread, subtitle, collapse id, life."""
    content = Content(
        title="T",
        subtitle="S",
        body="B",
        image="https://e.example/i.png",
        icon="https://e.example/c.png",
        actions=(Action(id="yes", title="Yes"),),
        link="https://e.example/o/1",
        sound="ding",
        badge=3,
        action_set="ORDER",
        thread="orders",
    )
    full = replace(
        ALERT, content=content, collapse_id="order-1", ttl=timedelta(hours=1),
        priority=Priority.NORMAL,
    )  # fmt: skip
    message = body_of(full)["message"]
    assert message["notification"]["image"] == "https://e.example/i.png"
    assert message["android"] == {
        "priority": "NORMAL",
        "ttl": "3600s",
        "collapse_key": "order-1",
        "notification": {
            "tag": "order-1",
            "icon": "https://e.example/c.png",
            "sound": "ding",
            "click_action": "ORDER",
            "notification_count": 3,
        },
    }
    assert message["apns"]["headers"]["apns-expiration"] == str(int(NOW.timestamp()) + 3600)
    assert message["apns"]["headers"]["apns-priority"] == "5"
    assert message["apns"]["payload"]["aps"]["mutable-content"] == 1
    assert message["apns"]["payload"]["aps"]["thread-id"] == "orders"
    assert message["apns"]["fcm_options"] == {"image": "https://e.example/i.png"}
    assert message["webpush"]["headers"]["TTL"] == "3600"
    assert message["webpush"]["fcm_options"] == {"link": "https://e.example/o/1"}
    assert message["webpush"]["notification"]["actions"] == [{"action": "yes", "title": "Yes"}]
    assert orjson.loads(message["data"]["clarion"]) == {
        "id": ID,
        "link": "https://e.example/o/1",
        "actions": [{"id": "yes", "title": "Yes"}],
    }


def test_a_background_push_is_data_only_and_modest_for_apple() -> None:
    """Apple refuses priority 10 without an alert."""
    message = body_of(replace(ALERT, push_type=PushType.BACKGROUND))["message"]
    assert "notification" not in message
    assert "notification" not in message["android"]
    assert message["apns"]["headers"]["apns-priority"] == "5"
    assert message["apns"]["payload"] == {"aps": {"content-available": 1}}
    assert orjson.loads(message["data"]["clarion"])["title"] == "T"


def test_a_call_is_urgent_data_that_rings_for_half_a_minute() -> None:
    """No collapse key: a second call must not swallow the first."""
    message = body_of(replace(ALERT, push_type=PushType.VOIP, collapse_id="c"))["message"]
    assert "notification" not in message
    assert message["android"] == {"priority": "HIGH", "ttl": "30s", "direct_boot_ok": True}


def test_an_installation_id_is_another_kind_of_target() -> None:
    """The device says which it has."""
    message = body_of(ALERT, TokenKind.FID)["message"]
    assert message["fid"] == "tok:1"
    assert "token" not in message


def test_the_time_to_live_stays_within_four_weeks() -> None:
    """FCM refuses more; zero means now or never."""
    assert payload.ttl_s(replace(ALERT, ttl=timedelta(days=90)), NOW) == 2_419_200
    assert payload.ttl_s(replace(ALERT, ttl=timedelta(0)), NOW) == 0
    assert payload.ttl_s(replace(ALERT, expires_at=NOW + timedelta(seconds=9)), NOW) == 9
    assert payload.ttl_s(ALERT, NOW) is None


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda key: not payload.reserved(key)),
        st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text(max_size=20)
        | st.lists(st.text(max_size=4), max_size=3),
        max_size=4,
    )
)  # fmt: skip
def test_every_data_value_travels_as_text(data: dict[str, Json]) -> None:
    """Text as it is, everything else as its JSON."""
    content = Content(title="T", data=data)
    sent = body_of(replace(ALERT, content=content))["message"]["data"]
    for key, value in data.items():
        assert sent[key] == value if isinstance(value, str) else orjson.loads(sent[key]) == value


def test_overrides_are_merged_deeply_and_null_removes() -> None:
    """RFC 7396 over what we build."""
    over: dict[str, Json] = {
        "android": {"notification": {"channel_id": "news"}, "priority": "NORMAL"},
        "webpush": None,
    }
    content = replace(ALERT.content, overrides={Network.FCM: over})
    message = body_of(replace(ALERT, content=content))["message"]
    assert message["android"] == {
        "priority": "NORMAL",
        "notification": {"tag": ID, "channel_id": "news"},
    }
    assert "webpush" not in message


@pytest.mark.parametrize(
    ("over", "path"),
    [
        ({"token": "x"}, "/overrides/fcm/token"),
        ({"topic": "x"}, "/overrides/fcm/topic"),
        ({"android": 3}, "/overrides/fcm/android"),
        ({"android": {"ttl": 3}}, "/overrides/fcm/android/ttl"),
        ({"android": {"ttl": "3"}}, "/overrides/fcm/android/ttl"),
        ({"data": {"a": 1}}, "/overrides/fcm/data/a"),
        ({"data": {"google.x": "1"}}, "/overrides/fcm/data/google.x"),
    ],
)
def test_an_impossible_override_is_named(over: dict[str, Any], path: str) -> None:
    """Before anything is sent."""
    content = Content(body="B", overrides={Network.FCM: over})
    assert [p.path for p in payload.problems(replace(ALERT, content=content), NOW)] == [path]


@pytest.mark.parametrize(
    "key", ["from", "message_type", "google", "google.c.a", "gcm", "gcmX", "clarion"]
)
def test_reserved_data_keys_are_refused(key: str) -> None:
    """By FCM, or because our SDK reads them."""
    content = Content(body="B", data={key: "1"})
    (problem,) = payload.problems(replace(ALERT, content=content), NOW)
    assert (problem.path, problem.code) == (f"/data/{key}", "field_invalid")


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (Content(title="x" * 50, body="y" * 5000), "/body"),
        (Content(title="x", data={"a": 1, "b/c": "x" * 5000}), "/data/b~1c"),
        (Content(title="x", link="https://" + "x" * 5000), "/link"),
        (Content(title="x", subtitle="x" * 5000), "/subtitle"),
    ],
)
def test_an_oversize_payload_names_the_field_to_shorten(content: Content, path: str) -> None:
    """The largest one."""
    (problem,) = payload.problems(replace(ALERT, content=content), NOW)
    assert (problem.path, problem.code) == (path, "payload_too_large")


@given(length=st.integers(1800, 4300), letter=st.sampled_from(["x", "ü", '"']), where=st.booleans())
def test_the_size_check_counts_keys_and_values(length: int, letter: str, *, where: bool) -> None:
    """Octets of UTF-8 of data and notification, whatever the escaping in JSON."""
    text = letter * (length // len(letter.encode()))
    content = Content(title="T", data={"k": text}) if where else Content(title="T", body=text)
    message = body_of(replace(ALERT, content=content))["message"]
    counted = sum(
        len(key.encode()) + len(value.encode())
        for block in ("data", "notification")
        for key, value in message[block].items()
    )
    apple = len(orjson.dumps(message["apns"]["payload"]))
    refused = bool(payload.problems(replace(ALERT, content=content), NOW))
    assert refused == (max(counted, apple) > 4096)


def test_content_without_a_json_form_is_a_problem_not_an_exception() -> None:
    """Lone surrogates, numbers beyond 64 bits, endless nesting."""
    bomb: Json = []
    for _ in range(5000):
        bomb = [bomb]
    for value in ("\ud800", 1 << 80, bomb):
        content = Content(body="B", data={"k": value})
        found = payload.problems(replace(ALERT, content=content), NOW)
        assert [p.path for p in found] == ["/data"]


@given(st.lists(st.text(st.sampled_from(payload.TOKEN_OCTETS.decode()), min_size=1), min_size=1))
def test_the_spliced_body_is_the_json_of_each_token(tokens: list[str]) -> None:
    """No escape is ever needed for what counts as a token."""
    bodies = payload.prepare(ALERT, NOW).bodies([t.encode() for t in tokens], TokenKind.TOKEN)
    assert [orjson.loads(body)["message"]["token"] for body in bodies] == tokens
