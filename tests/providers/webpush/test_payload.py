"""What a message becomes under the encryption, and which fields stand beside it."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.providers.webpush.local_service import PUBLIC, SECRET, START, make_message

from clarion.domain.content import Action, Content, Message, Priority, PushType
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.providers.webpush import payload
from clarion.providers.webpush.credential import problems
from clarion.wire.push_headers import PushFields

LINKS = (
    st.none()
    | st.text(max_size=40)
    | st.sampled_from(
        [
            "https://shop.example.org/a",
            "https://shop.example.org/a?",
            "/orders",
            "orders",
            "?q",
            "//host/x",
            "//[",
            "https://[::1",
            "https:x",
        ]
    )
)
SITE = "https://shop.example.org/"


def rendered(message: Message, site: str | None = SITE) -> Mapping[str, object]:
    """The plaintext, parsed."""
    document = orjson.loads(payload.render(message, site))
    assert isinstance(document, dict)
    return document


def with_content(content: Content) -> Message:
    """The usual message with this content."""
    return make_message(content)


def test_a_full_message_is_a_declared_notification_that_our_worker_reads_too() -> None:
    """Safari shows it without a worker; the worker finds our part in `notification.data`."""
    message = with_content(
        Content(
            title="Parcel",
            subtitle="Locker 12",
            body="Code 4711",
            image="https://cdn.example.org/a.png",
            icon="/icon.png",
            actions=(
                Action(id="open", title="Open", link="/open"),
                Action(id="later", title="Later"),
            ),
            link="/orders/1",
            badge=3,
            data={"order": 1},
            action_set="parcel",
            thread="t",
        )
    )
    assert rendered(message) == {
        "web_push": 8030,
        "notification": {
            "title": "Parcel",
            "body": "Locker 12\nCode 4711",
            "navigate": "https://shop.example.org/orders/1",
            "tag": message.id,
            "icon": "/icon.png",
            "image": "https://cdn.example.org/a.png",
            "actions": [
                {
                    "action": "open",
                    "title": "Open",
                    "navigate": "https://shop.example.org/open",
                },
                {
                    "action": "later",
                    "title": "Later",
                    "navigate": "https://shop.example.org/orders/1",
                },
            ],
            "app_badge": "3",
            "data": {
                "message": message.id,
                "data": {"order": 1},
                "link": "/orders/1",
                "action_set": "parcel",
                "thread": "t",
            },
        },
        "app_badge": 3,
        "mutable": True,
    }


def test_a_message_without_any_web_address_is_an_ordinary_push() -> None:
    """Without an absolute address there is nothing to declare: no mark, no `navigate`."""
    document = rendered(with_content(Content(title="Hi", link="myapp://orders/1")), site=None)
    assert "web_push" not in document
    notification = document["notification"]
    assert isinstance(notification, dict)
    assert "navigate" not in notification
    assert notification["data"]["link"] == "myapp://orders/1"


def test_a_link_that_no_browser_opens_gives_way_to_the_site() -> None:
    """A deep link of a phone app still leaves a web user somewhere."""
    notification = rendered(with_content(Content(title="Hi", link="myapp://x")))["notification"]
    assert isinstance(notification, dict)
    assert notification["navigate"] == SITE


def test_a_body_alone_becomes_the_title_that_a_notification_must_have() -> None:
    """Declared notifications need a title that is not empty."""
    notification = rendered(with_content(Content(body="Just this")))["notification"]
    assert isinstance(notification, dict)
    assert notification["title"] == "Just this"
    assert "body" not in notification


def test_a_background_message_shows_nothing() -> None:
    """Only our part is left, at the top."""
    message = replace(
        with_content(Content(title="Hidden", data={"sync": True})),
        push_type=PushType.BACKGROUND,
    )
    assert rendered(message) == {"data": {"message": message.id, "data": {"sync": True}}}


def test_overrides_are_merged_over_the_payload_and_null_removes() -> None:
    """RFC 7396, so that an operator can say anything that we do not."""
    content = Content(
        title="Hi",
        body="there",
        overrides={
            Network.WEBPUSH: {
                "notification": {"silent": True, "body": None, "lang": "de"},
                "mutable": False,
            },
            Network.APNS: {"notification": {"title": "not this"}},
        },
    )
    document = rendered(with_content(content))
    notification = document["notification"]
    assert isinstance(notification, dict)
    assert notification["silent"] is True
    assert notification["lang"] == "de"
    assert notification["title"] == "Hi"
    assert "body" not in notification
    assert document["mutable"] is False


def test_an_override_may_not_break_the_declaration() -> None:
    """A user agent would silently treat it as an ordinary push."""
    content = Content(
        title="Hi",
        overrides={Network.WEBPUSH: {"notification": {"title": "", "navigate": "nowhere"}}},
    )
    assert [problem.path for problem in payload.check(with_content(content))] == [
        "/overrides/webpush/notification/title",
        "/overrides/webpush/notification/navigate",
    ]


@pytest.mark.parametrize(
    ("content", "path"),
    [
        (Content(title="t", body="x" * 4000), "/body"),
        (Content(title="x" * 4000, body="b"), "/title"),
        (Content(title="t", data={"k": "x" * 4000}), "/data"),
        (Content(title="t", image="https://a.example/" + "x" * 4000), "/image"),
        (Content(title="t", actions=(Action(id="a", title="x" * 4000),)), "/actions/0"),
        (
            Content(title="t", overrides={Network.WEBPUSH: {"more": "x" * 4000}}),
            "/overrides/webpush",
        ),
    ],
)
def test_a_payload_too_large_names_the_field_to_shorten(content: Content, path: str) -> None:
    """The longest field is the one worth shortening."""
    (problem,) = payload.check(with_content(content))
    assert (problem.path, problem.code) == (path, "payload_too_large")
    assert path in problem.detail


def test_the_limit_is_exact_for_a_message_with_a_link() -> None:
    """3993 octets pass, 3994 do not (RFC 8291 section 4)."""
    link = "https://shop.example.org/"
    empty = len(payload.render(with_content(Content(title="t", body="b", link=link))))
    room = payload.MAX_PLAINTEXT - empty + 1
    fits = with_content(Content(title="t", body="x" * room, link=link))
    assert len(payload.render(fits)) == payload.MAX_PLAINTEXT
    assert payload.check(fits) == []
    over = with_content(Content(title="t", body="x" * (room + 1), link=link))
    assert [problem.path for problem in payload.check(over)] == ["/body"]


def test_a_lone_surrogate_is_named_by_its_field() -> None:
    """It has no UTF-8 form, so it can't be sent."""
    problems = payload.check(with_content(Content(title="t", body="\ud800")))
    assert [(problem.path, problem.code) for problem in problems] == [("/body", "field_invalid")]


@settings(max_examples=50)
@given(
    title=st.text(max_size=300),
    link=LINKS,
    other=LINKS,
    site=st.none()
    | st.sampled_from(["https://", "http://a.b/", "https://a.b/c/"]).map(
        lambda lead: lead.ljust(payload.MAX_SITE, "x")
    )
    | st.just("https://a.b/c/" + "x" * 241 + "/"),
)
def test_what_check_passes_fits_whatever_the_site(
    title: str, link: str | None, other: str | None, site: str | None
) -> None:
    """The check does not know the credential, and must still be right: at the longest body."""
    actions = (Action(id="a", title="A", link=other), Action(id="b", title="B"))

    def message(octets: int) -> Message:
        body = "x" * octets
        return with_content(Content(title=title, body=body, link=link, actions=actions))

    lengths = range(payload.MAX_PLAINTEXT)
    too_long = bisect_left(lengths, 1, key=lambda octets: len(payload.check(message(octets))))
    assert len(payload.render(message(too_long - 1), site)) <= payload.MAX_PLAINTEXT


@pytest.mark.parametrize(
    ("ttl", "expires_in", "expected"),
    [
        (None, None, 28 * 86_400),
        (timedelta(0), None, 0),
        (timedelta(hours=1), None, 3600),
        (timedelta(hours=1), timedelta(minutes=1), 60),
        (None, timedelta(seconds=-5), 0),
        (timedelta(days=365), None, 28 * 86_400),
    ],
)
def test_ttl_says_the_nearer_deadline(
    ttl: timedelta | None, expires_in: timedelta | None, expected: int
) -> None:
    """TTL is mandatory; silence means the longest that every service keeps."""
    message = replace(
        make_message(),
        ttl=ttl,
        expires_at=None if expires_in is None else START + expires_in,
    )
    assert payload.ttl_s(message, START) == expected


@pytest.mark.parametrize(
    ("lane", "priority", "expected"),
    [
        (Lane.CALL, Priority.LOW, b"high"),
        (Lane.TRANSACTIONAL, Priority.HIGH, b"high"),
        (Lane.TRANSACTIONAL, Priority.LOW, b"low"),
        (Lane.CAMPAIGN, Priority.NORMAL, b"normal"),
        (Lane.BULK, Priority.HIGH, b"normal"),
        (Lane.BULK, Priority.NORMAL, b"low"),
        (Lane.BULK, Priority.LOW, b"very-low"),
    ],
)
def test_urgency_follows_priority_and_lane(lane: Lane, priority: Priority, expected: bytes) -> None:
    """A call wakes the device; bulk is a step less urgent than it asks."""
    assert payload.urgency(replace(make_message(), lane=lane, priority=priority)) == expected


@given(
    lane=st.sampled_from(Lane),
    priority=st.sampled_from(Priority),
    collapse=st.none() | st.text(min_size=1, max_size=64),
)
def test_the_fields_obey_the_grammar_of_rfc_8030(
    lane: Lane, priority: Priority, collapse: str | None
) -> None:
    """Whatever the collapse id is, Topic is legal."""
    message = replace(make_message(), lane=lane, priority=priority, collapse_id=collapse)
    fields = {name.decode(): value.decode() for name, value in payload.headers(message, START)}
    PushFields.parse(fields)
    assert fields["content-encoding"] == "aes128gcm"


@pytest.mark.parametrize(
    ("public", "secret", "paths"),
    [
        ({}, {}, []),
        ({"site": "https://shop.example.org"}, {}, []),
        ({"site": "shop.example.org"}, {}, ["/public/site"]),
        ({"site": "https://a.example/" + "x" * 300}, {}, ["/public/site"]),
        ({"site": 'https://a.example/"'}, {}, ["/public/site"]),
        ({"subject": "ops"}, {}, ["/public/subject"]),
        ({"subject": ""}, {}, ["/public/subject"]),
        ({"public_key": "B" * 87}, {}, ["/public/public_key"]),
        ({}, {"private_key": "no key"}, ["/secret/private_key"]),
        ({}, {"private_key": ""}, ["/secret/private_key"]),
    ],
)
def test_a_credential_is_judged_without_the_network(
    public: Mapping[str, str], secret: Mapping[str, str], paths: list[str]
) -> None:
    """Key pair, contact and site each have a path of their own."""
    found = problems({**PUBLIC, **public}, {**SECRET, **secret}, None)
    assert [problem.path for problem in found] == paths
