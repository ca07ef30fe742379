"""What Apple receives for each kind of push."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.content import Action, Content, Message, Priority, PushType
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.providers.apns import payload

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ID = MessageId("019aa5f0-0000-7000-8000-000000000001")
FULL = Content(
    title="T",
    subtitle="S",
    body="B",
    image="https://e.example/i.png",
    actions=(Action(id="yes", title="Yes", link="app://yes"),),
    link="app://home",
    sound="ding.wav",
    badge=3,
    data={"order": 7},
    action_set="ORDER",
    thread="orders",
)


def message(
    push_type: PushType = PushType.ALERT,
    *,
    content: Content | None = None,
    priority: Priority = Priority.HIGH,
    ttl: timedelta | None = None,
    expires_at: datetime | None = None,
) -> Message:
    """A message of one kind."""
    return Message(
        id=ID,
        app=AppId(1),
        lane=Lane.CAMPAIGN,
        content=content or Content(body="B"),
        push_type=push_type,
        priority=priority,
        ttl=ttl,
        expires_at=expires_at,
    )


def body_of(given: Message) -> object:
    """The body as a value."""
    return orjson.loads(payload.prepare(given, NOW).body)


def test_an_alert_carries_every_field_in_its_place() -> None:
    """Apple's keys inside `aps`, the app's beside it, ours under one key."""
    assert body_of(message(content=FULL)) == {
        "order": 7,
        "aps": {
            "alert": {"title": "T", "subtitle": "S", "body": "B"},
            "badge": 3,
            "sound": "ding.wav",
            "category": "ORDER",
            "thread-id": "orders",
            "mutable-content": 1,
        },
        "clarion": {
            "id": ID,
            "link": "app://home",
            "image": "https://e.example/i.png",
            "actions": [{"id": "yes", "title": "Yes", "link": "app://yes"}],
        },
    }


OURS = {"clarion": {"id": ID}}


@pytest.mark.parametrize(
    ("push_type", "content", "body", "topic", "priority", "expiration"),
    [
        ("alert", Content(body="B"), {"aps": {"alert": {"body": "B"}}}, "", b"10", None),
        ("background", Content(data={"k": 1}), {"k": 1, "aps": {"content-available": 1}}, "",
         b"5", None),
        ("voip", Content(data={"call": "c1"}), {"call": "c1", "aps": {}}, ".voip", b"10", b"0"),
        ("complication", Content(data={"k": 1}), {"k": 1, "aps": {}}, ".complication", b"10", None),
        ("fileprovider", Content(data={"container-identifier": "c"}),
         {"container-identifier": "c", "aps": {}}, ".pushkit.fileprovider", b"10", None),
        ("liveactivity", Content(body="B", data={"score": 2}),
         {"aps": {"alert": {"body": "B"}, "timestamp": 1795262400, "event": "update",
                  "content-state": {"score": 2}}}, ".push-type.liveactivity", b"10", None),
        ("location", Content(), {"aps": {}}, ".location-query", b"10", None),
        ("pushtotalk", Content(data={"who": "x"}), {"who": "x", "aps": {}}, ".voip-ptt", b"10",
         None),
        ("widgets", Content(), {"aps": {"content-changed": True}}, ".push-type.widgets", b"10",
         None),
        ("controls", Content(), {"aps": {"content-changed": True}}, ".push-type.controls", b"10",
         None),
    ],
)  # fmt: skip
def test_each_push_type_has_its_body_topic_priority_and_expiration(
    push_type: str,
    content: Content,
    body: dict[str, Any],
    topic: str,
    priority: bytes,
    expiration: bytes | None,
) -> None:
    """The table of push types, one golden each."""
    given = message(PushType(push_type), content=content)
    ready = payload.prepare(given, NOW)
    assert orjson.loads(ready.body) == body | OURS
    assert ready.topic_for("com.example.app") == "com.example.app" + topic
    assert (ready.priority, ready.expiration) == (priority, expiration)
    assert list(payload.problems(given, NOW)) == []


def test_an_mdm_push_holds_nothing_but_the_magic() -> None:
    """The device management protocol wants one key."""
    given = message(PushType.MDM, content=Content(data={"mdm": "magic"}))
    assert body_of(given) == {"mdm": "magic"}
    assert payload.problems(message(PushType.MDM), NOW)[0].path == "/data/mdm"


@pytest.mark.parametrize(
    ("push_type", "wished", "sent"),
    [
        (PushType.ALERT, Priority.HIGH, 10),
        (PushType.ALERT, Priority.NORMAL, 5),
        (PushType.ALERT, Priority.LOW, 5),
        (PushType.BACKGROUND, Priority.HIGH, 5),
        (PushType.BACKGROUND, Priority.LOW, 5),
        (PushType.VOIP, Priority.LOW, 10),
        (PushType.WIDGETS, Priority.LOW, 1),
    ],
)
def test_the_priority_is_one_that_the_push_type_takes(
    push_type: PushType, wished: Priority, sent: int
) -> None:
    """Apple refuses 10 for background pushes."""
    assert payload.priority(message(push_type, priority=wished)) == sent


def test_the_expiration_is_the_nearer_of_ttl_and_deadline() -> None:
    """In seconds since the epoch, at most 30 days ahead, 0 for one attempt."""
    at = int(NOW.timestamp())
    assert payload.expiration(message(ttl=timedelta(hours=1)), NOW) == at + 3600
    soon = NOW + timedelta(minutes=5)
    assert payload.expiration(message(ttl=timedelta(hours=1), expires_at=soon), NOW) == at + 300
    assert payload.expiration(message(ttl=timedelta(0)), NOW) == 0
    assert payload.expiration(message(ttl=timedelta(days=90)), NOW) == at + 30 * 86400
    assert payload.expiration(message(), NOW) is None


@given(st.text(max_size=120))
def test_a_collapse_id_fits_and_is_a_function_of_the_text(text: str) -> None:
    """Long ones and those a header can't carry are hashed."""
    got = payload.collapse_id(text)
    assert 0 < len(got) <= 64
    assert got == payload.collapse_id(text)
    assert got.isascii()
    if text.isascii() and text.isprintable() and text.strip() == text and 0 < len(text) <= 64:
        assert got == text.encode()


def test_two_long_collapse_ids_with_the_same_beginning_stay_apart() -> None:
    """Cutting would make them replace each other."""
    assert payload.collapse_id("x" * 99 + "1") != payload.collapse_id("x" * 99 + "2")


def test_overrides_are_merged_deeply_and_null_removes() -> None:
    """RFC 7396 over what we build."""
    over = {
        "payload": {"aps": {"interruption-level": "time-sensitive", "badge": None}, "k": {"a": 1}},
        "headers": {"apns-priority": "5", "apns-topic": "com.other"},
    }
    content = replace(FULL, overrides={Network.APNS: over})
    ready = payload.prepare(message(content=content), NOW)
    whole = orjson.loads(ready.body)
    assert whole["aps"]["interruption-level"] == "time-sensitive"
    assert "badge" not in whole["aps"]
    assert whole["aps"]["sound"] == "ding.wav"
    assert whole["k"] == {"a": 1}
    assert (ready.priority, ready.topic_for("com.example")) == (b"5", "com.other")


@pytest.mark.parametrize(
    ("over", "path"),
    [
        ({"aps": {}}, "/overrides/apns/aps"),
        ({"payload": 3}, "/overrides/apns/payload"),
        ({"headers": {"authorization": "x"}}, "/overrides/apns/headers/authorization"),
        ({"headers": {"apns-priority": "7"}}, "/overrides/apns/headers/apns-priority"),
        ({"headers": {"apns-priority": 5}}, "/overrides/apns/headers/apns-priority"),
        ({"headers": {"apns-topic": "a\r\nb"}}, "/overrides/apns/headers/apns-topic"),
        ({"headers": {"apns-expiration": "soon"}}, "/overrides/apns/headers/apns-expiration"),
    ],
)
def test_an_impossible_override_is_named(over: dict[str, Any], path: str) -> None:
    """Before anything is sent."""
    content = Content(body="B", overrides={Network.APNS: over})
    assert [p.path for p in payload.problems(message(content=content), NOW)] == [path]


@pytest.mark.parametrize("key", ["aps", "clarion"])
def test_reserved_data_keys_are_refused(key: str) -> None:
    """They would be overwritten."""
    content = Content(body="B", data={key: 1})
    assert payload.problems(message(content=content), NOW)[0].path == f"/data/{key}"


def test_a_background_push_that_shows_something_is_refused() -> None:
    """It would be dropped by the device."""
    given = message(PushType.BACKGROUND, content=Content(title="T", badge=0))
    assert [p.path for p in payload.problems(given, NOW)] == ["/title", "/badge"]


def test_starting_a_live_activity_needs_attributes_and_an_alert() -> None:
    """Apple ignores it otherwise."""
    over = {"payload": {"aps": {"event": "start", "attributes-type": "A"}}}
    given = message(PushType.LIVEACTIVITY, content=Content(overrides={Network.APNS: over}))
    assert [p.path for p in payload.problems(given, NOW)] == [
        "/overrides/apns/payload/aps/attributes",
        "/overrides/apns/payload/aps/alert",
    ]


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (Content(title="x" * 50, body="y" * 5000), "/body"),
        (Content(title="x" * 5000, body="y"), "/title"),
        (Content(body="y", data={"a": 1, "b/c": {"d": ["x" * 5000]}}), "/data/b~1c/d/0"),
        (Content(body="y", link="app://" + "x" * 5000), "/link"),
        (Content(body="y", actions=(Action(id="a", title="x" * 5000),)), "/actions/0/title"),
        (
            Content(overrides={Network.APNS: {"payload": {"aps": {"alert": "x" * 5000}}}}),
            "/overrides/apns/payload/aps/alert",
        ),
    ],
)
def test_an_oversize_payload_names_the_field_to_shorten(content: Content, path: str) -> None:
    """The largest one."""
    (problem,) = payload.problems(message(content=content), NOW)
    assert (problem.path, problem.code) == (path, "payload_too_large")


@given(
    title=st.text(max_size=40),
    length=st.integers(3800, 5300),
    voip=st.booleans(),
    letter=st.sampled_from(["x", "ü", '"', "\n", "🎺"]),
)
def test_the_size_check_is_the_length_of_what_is_sent(
    title: str, length: int, letter: str, *, voip: bool
) -> None:
    """To the byte, whatever the escaping, with the limit of the push type."""
    push_type = PushType.VOIP if voip else PushType.ALERT
    content = Content(title=title, body=letter * (length // len(orjson.dumps(letter)[1:-1])))
    given_message = message(push_type, content=content)
    size = len(payload.prepare(given_message, NOW).body)
    refused = bool(payload.problems(given_message, NOW))
    assert refused == (size > (5120 if voip else 4096))


@pytest.mark.parametrize("value", ["\ud800", 1 << 80, float("nan")])
def test_content_without_a_json_form_is_a_problem_not_an_exception(
    value: str | float,
) -> None:
    """Lone surrogates and numbers beyond 64 bits; NaN has a form, null."""
    given_message = message(content=Content(body="B", data={"k": value}))
    found = payload.problems(given_message, NOW)
    assert [p.path for p in found] == ([] if isinstance(value, float) else ["/data"])


def test_endless_nesting_is_a_problem_not_an_exception() -> None:
    """A bomb of brackets."""
    bomb: Any = []
    for _ in range(5000):
        bomb = [bomb]
    found = payload.problems(message(content=Content(body="B", data={"k": bomb})), NOW)
    assert [p.code for p in found] == ["field_invalid"]


@given(st.lists(st.integers(1, (1 << 63) - 1), min_size=1, max_size=50, unique=True))
def test_apns_ids_are_canonical_distinct_and_the_same_again(devices: list[int]) -> None:
    """A resend carries the id of the first send; another message another one."""
    first, second = message(), replace(message(), id=MessageId("m2"))
    column = np.array(devices, np.int64)
    which = np.zeros(len(devices), np.uint16)
    fields = payload.id_fields([first], which, column)
    ids = payload.texts(payload.id_fields([first, second], which, column))
    assert [str(UUID(text)) for text in ids] == ids
    assert len(set(ids)) == len(ids)
    assert payload.texts(payload.id_fields([second, first], which + 1, column)) == ids
    assert not set(payload.texts(payload.id_fields([second], which, column))) & set(ids)
    assert [field.tobytes()[-36:].decode() for field in fields] == ids
