"""The short way of plain messages: it answers as the long one does, and shares the groups' work."""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.platform.conftest import Platform, apns_token
from tests.platform.test_faults import deliveries, ready
from tests.platform.test_urgent import Resting, resting

from clarion.adapters.state import keys
from clarion.api import plain_messages
from clarion.api.quick import PATH, PlainBody, PlainTo, QuickWay
from clarion.api.shapes.messages import MessageBody
from clarion.app.http_protocol import LeanHttp
from clarion.app.known_heads import KnownHeads
from clarion.stages.delivery import urgent
from clarion.stages.delivery.urgent import NAMES_PER_GROUP

__all__ = ["resting"]

_LONG = {"content-type": "application/json; charset=utf-8"}
"""What the short way does not take, and the long way reads alike."""
_OWN = re.compile(
    rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{4}-\d\d-\d\dT[0-9:.]+Z|r=\d+;t=\d+"
)
_text = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=120)


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is checked anew meanwhile, however slow the machine is."""
    monkeypatch.setattr(plain_messages, "RULED_FOR", timedelta(hours=1))
    monkeypatch.setattr(keys, "REMEMBERED", timedelta(hours=1))


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch, remembering: None) -> list[bool]:
    """What the short way said of each request that it was asked about."""
    del remembering
    said: list[bool] = []
    take = QuickWay.take

    def noting(*args: object) -> bool:
        said.append(take(*args))  # type: ignore[arg-type]
        return said[-1]

    monkeypatch.setattr(QuickWay, "take", noting)
    return said


@pytest.fixture
def recognised(monkeypatch: pytest.MonkeyPatch, remembering: None) -> list[bool]:
    """Of each request that met no other on its connection: whether its head was of a known form."""
    del remembering
    said: list[bool] = []
    read = KnownHeads.read

    def noting(heads: KnownHeads, data: bytes) -> object:
        found = read(heads, data)
        said.append(found is not None)
        return found

    monkeypatch.setattr(KnownHeads, "read", noting)
    return said


def plain(user: int, **more: object) -> Mapping[str, object]:
    """A message to one person in plain words."""
    return {"to": {"users": [f"u{user}"]}, "title": "Hi", **more}


_REFUSED: Final[list[object]] = [
    b"{",
    b'{"to": {"users": ["u0"]}, "title": "\xff"}',
    {"to": {"users": ["u0"]}},
    plain(0, heading="x"),
    plain(0, title="a\u0000b"),
    plain(0, title=5),
    plain(0, title="x" * 1001),
    plain(0, body="x" * 5000),
    plain(0, category="nobody-made-it"),
    plain(0, lane="soon"),
    {"to": {"users": []}, "title": "Hi"},
    {"to": {"users": [""]}, "title": "Hi"},
    {"to": {"users": ["u0"], "all": True}, "title": "Hi"},
]


async def ask(platform: Platform, body: object, headers: Mapping[str, str]) -> httpx.Response:
    """A request with this body, which may be anything."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await platform.http.post(PATH, content=raw, headers=headers)


def told(answer: httpx.Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The answer but for ids and instants, the same however the body came in."""
    headers = [
        (name.lower(), _OWN.sub(b"*", value))
        for name, value in answer.headers.raw
        if name.lower() != b"date"
    ]
    return answer.status_code, headers, _OWN.sub(b"*", answer.content)


@given(
    title=st.none() | _text,
    body=st.none() | _text,
    users=st.lists(_text.filter(bool), min_size=1, max_size=10),
    category=st.none() | _text.filter(bool),
    lane=st.none() | st.sampled_from(["call", "transactional"]),
)
def test_a_plain_body_is_kept_as_the_whole_shape_would_write_it(**members: object) -> None:
    """What is stored as the request does not tell which way it came."""
    users = members.pop("users")
    body = PlainBody(to=PlainTo(users=users), **members)  # type: ignore[arg-type]
    raw = msgspec.json.encode(body)
    assert msgspec.json.encode(msgspec.json.decode(raw, type=MessageBody)) == raw
    assert msgspec.json.decode(raw, type=PlainBody) == body


async def test_the_short_way_answers_octet_by_octet_like_the_long_one(
    platform: Platform, taken: list[bool]
) -> None:
    """Header fields and their order too; and the message reads the same afterwards."""
    await ready(platform, 2)
    long = await ask(platform, plain(0, body="x"), _LONG)
    json_type = {"content-type": "application/json"}
    await ask(platform, plain(0, body="x"), json_type)
    taken.clear()

    short = await ask(platform, plain(1, body="x"), json_type)

    assert taken == [True]
    assert told(short) == told(long)
    views = [await platform.finished(one.json()["id"]) for one in (long, short)]
    assert [view["by_outcome"] for view in views] == [{"accepted": 1}] * 2
    assert views[1]["request"] == plain(1, body="x")
    assert {name: views[0][name] for name in ("lane", "state", "progress")} == {
        name: views[1][name] for name in ("lane", "state", "progress")
    }


async def test_what_is_refused_is_refused_alike(platform: Platform) -> None:
    """The same status, fields and problem, whichever way was tried first."""
    await ready(platform, 1)
    await ask(platform, plain(0), {"content-type": "application/json"})

    for body in _REFUSED:
        long = await ask(platform, body, _LONG)
        short = await ask(platform, body, {"content-type": "application/json"})
        assert short.is_client_error, body
        assert told(short) == told(long), body


async def test_keys_and_request_ids_are_heeded_on_the_short_way(
    platform: Platform, taken: list[bool]
) -> None:
    """A replay, another body, a client's own request id, and what is no key."""
    await ready(platform, 1)
    kind = {"content-type": "application/json"}
    await ask(platform, plain(0), kind)
    taken.clear()
    headers = {"idempotency-key": "k1", "x-request-id": "order-7"}

    first = await ask(platform, plain(0), headers | kind)
    again = await ask(platform, plain(0), headers | kind)
    other = await ask(platform, plain(0, title="Bye"), headers | kind)
    nobody = await ask(platform, plain(0), kind | {"authorization": "Bearer x"})

    assert taken == [True, True, True, False]
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 422)
    assert again.content == first.content
    assert again.headers["idempotency-replayed"] == "true"
    assert other.json()["code"] == "idempotency_key_reused"
    assert {one.headers["x-request-id"] for one in (first, again, other)} == {"order-7"}
    assert nobody.status_code == httpx.codes.UNAUTHORIZED
    await platform.idle()
    assert deliveries(platform) == {apns_token(0): 2}


async def test_only_the_path_as_it_is_written_goes_the_short_way(
    platform: Platform, taken: list[bool]
) -> None:
    """Paths are matched before percent-decoding, on both ways; a query changes nothing."""
    await ready(platform, 1)
    kind = {"content-type": "application/json"}
    await ask(platform, plain(0), kind)
    taken.clear()

    other = await platform.http.post("/v1/%6Dessages", json=plain(0))
    query = await platform.http.post(f"{PATH}?x=1", json=plain(0))

    assert (other.status_code, other.json()["code"]) == (404, "route_unknown")
    assert query.status_code == httpx.codes.ACCEPTED
    assert taken == [True]


async def test_a_key_that_was_revoked_opens_nothing_from_then_on(platform: Platform) -> None:
    """The short way goes by what the process remembers, and the process has forgotten it."""
    await ready(platform, 1)
    new = await platform.post("/v1/keys", {"scope": "send", "name": "shop"}, 201)
    headers = {"content-type": "application/json", "authorization": f"Bearer {new['key']}"}
    before = [await ask(platform, plain(0), headers) for _ in range(3)]
    assert (await platform.http.delete(f"/v1/keys/{new['id']}")).is_success

    after = await ask(platform, plain(0), headers)

    assert [one.status_code for one in before] == [202] * 3
    assert (after.status_code, after.json()["code"]) == (401, "key_revoked")


async def test_requests_in_one_piece_are_answered_in_their_order(
    platform: Platform, taken: list[bool]
) -> None:
    """HTTP/1.1 pipelining (RFC 9112 section 9.3.2); the last one closes the connection."""
    await ready(platform, 3)
    await ask(platform, plain(0), {"content-type": "application/json"})
    taken.clear()
    url, key = platform.http.base_url, platform.http.headers["authorization"]
    pieces = []
    for user, more in enumerate(("", "", "connection: close\r\n")):
        body = json.dumps(plain(user))
        pieces.append(
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\nx-request-id: r{user}\r\n"
            f"content-type: application/json\r\n{more}content-length: {len(body)}\r\n\r\n{body}"
        )
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write("".join(pieces).encode())
    async with asyncio.timeout(150):
        answers = (await reader.read()).split(b"HTTP/1.1 ")[1:]
    writer.close()

    assert [answer[:3] for answer in answers] == [b"202"] * 3
    assert [re.findall(rb"x-request-id: (r\d)", answer) for answer in answers] == [
        [b"r0"], [b"r1"], [b"r2"],
    ]  # fmt: skip
    assert taken == [True] * 3


@pytest.mark.parametrize("kind", [{"content-type": "application/json"}, _LONG])
async def test_a_request_that_gets_a_400_for_what_follows_it_sends_nothing(
    platform: Platform, kind: Mapping[str, str]
) -> None:
    """Whoever is told so sends it again; it goes for both ways."""
    await ready(platform, 1)
    await ask(platform, plain(0), {"content-type": "application/json"})
    url, key = platform.http.base_url, platform.http.headers["authorization"]
    body = json.dumps(plain(0))
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(
        f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n"
        f"content-type: {kind['content-type']}\r\ncontent-length: {len(body)}\r\n\r\n"
        f"{body}and more\r\n\r\n".encode()
    )
    async with asyncio.timeout(150):
        statuses = re.findall(rb"^HTTP/1\.1 (\d{3}) ", await reader.read(), re.MULTILINE)
    writer.close()

    assert statuses == [b"400"]
    await platform.idle()
    assert deliveries(platform) == {apns_token(0): 1}


async def test_a_failed_commit_is_told_with_what_is_known_and_what_is_safe(
    platform: Platform,
) -> None:
    """The push may be out: who asks again with the same key gets it shown once."""
    await ready(platform, 1)
    await ask(platform, plain(0), {"content-type": "application/json"})
    await platform.idle()
    await platform.ask(
        "create function no_space() returns trigger language plpgsql as "
        "$$ begin raise exception 'no space' using errcode = '53100'; end $$"
    )
    await platform.ask(
        "create trigger no_space before insert on message execute function no_space()"
    )

    headers = {"content-type": "application/json", "idempotency-key": "again"}
    failed = await ask(platform, plain(0), headers)
    await platform.ask("drop trigger no_space on message")
    repeated = await ask(platform, plain(0), headers)

    assert failed.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert failed.json()["code"] == "store_unavailable"
    assert "may have gone out" in failed.json()["detail"]
    assert "Idempotency-Key" in failed.json()["detail"]
    assert failed.headers["retry-after"] == "1"
    assert repeated.status_code == httpx.codes.ACCEPTED
    await platform.idle()
    assert platform.apns.record is not None
    assert deliveries(platform)[apns_token(0)] == 3


async def test_messages_that_come_close_together_share_a_group(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first goes at once; the next wait for each other, or until a group is full."""
    await ready(platform, NAMES_PER_GROUP)
    monkeypatch.setattr(urgent, "REST_S", 3600.0)
    monkeypatch.setattr(urgent, "REST_FOR_MESSAGE_S", 3600.0)
    async with asyncio.timeout(150):
        await ask(platform, plain(0), {})
        await asyncio.gather(*(ask(platform, plain(n), {}) for n in range(NAMES_PER_GROUP)))

    sizes = await platform.ask(
        "select array_agg(size order by size)::text from batch where key like 'urgent:%'"
    )
    assert sizes == f"{{1,{NAMES_PER_GROUP}}}"


async def test_a_recognised_head_changes_nothing_of_the_answer(
    platform: Platform, recognised: list[bool]
) -> None:
    """New, replayed, refused for its key, its caller or its text: as when it was parsed."""
    await ready(platform, 1)
    kind, key = {"content-type": "application/json"}, platform.http.headers["authorization"]
    cases: list[tuple[object, dict[str, str]]] = [
        (plain(0), {"x-request-id": "r"}),
        (plain(0), {"x-request-id": "r", "idempotency-key": "NAME"}),
        (plain(0), {"x-request-id": "r", "idempotency-key": "NAME"}),
        (plain(0, title="Bye"), {"x-request-id": "r", "idempotency-key": "NAME"}),
        (plain(0), {"x-request-id": "r", "authorization": "Bearer x"}),
        (plain(0, title=5), {"x-request-id": "r"}),
        (plain(0, body="x" * 9000), {"x-request-id": "r"}),
    ]
    await ask(platform, plain(0), kind)  # what is said of its kind is known from now on
    for more in ({}, {"idempotency-key": "first"}):
        await ask(platform, plain(0), {**kind, "x-request-id": "r", **more})
    told_of: dict[str, list[object]] = {"parsed": [], "recognised": []}
    for way, answers in told_of.items():
        recognised.clear()
        for number, (body, headers) in enumerate(cases):
            named = {name: value.replace("NAME", way) for name, value in headers.items()}
            platform.http.headers["authorization"] = named.pop("authorization", key)
            odd = {f"x-{number}-{way}": "1"} if way == "parsed" else {}
            answers.append(told(await ask(platform, body, {**kind, **named, **odd})))
        assert recognised == [way == "recognised"] * len(cases)

    assert told_of["recognised"] == told_of["parsed"]


async def test_requests_behind_a_recognised_one_wait_for_its_answer(
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    recognised: list[bool],
    resting: Resting,
) -> None:
    """And a client that leaves has been heard: what was complete is sent."""
    await ready(platform, 2)
    pieces: list[bytes] = []
    received = LeanHttp.data_received

    def noting(protocol: LeanHttp, data: bytes) -> None:
        pieces.append(data)
        received(protocol, data)

    monkeypatch.setattr(LeanHttp, "data_received", noting)
    url, key = platform.http.base_url, platform.http.headers["authorization"]

    def request(name: str, user: int) -> bytes:
        body = json.dumps(plain(user))
        return (
            f"POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\nx-request-id: {name}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    reader, writer = await asyncio.open_connection(url.host, url.port)
    for name in ("checked", "taken", "known"):
        writer.write(request(name, 0))
        await reader.readuntil(b"}")
    assert recognised[-1]
    resting.begin()
    recognised.clear()
    writer.write(request("rests", 0))
    await reader.readuntil(b"}")

    for name in ("first", "behind"):
        pieces.clear()
        writer.write(request(name, 0))
        await platform.until(lambda: b"".join(pieces).endswith(b"}"))
    resting.end()
    answers = [await reader.readuntil(b"}") for _ in range(2)]
    writer.write(request("left", 1))
    await platform.until(lambda: len(recognised) == 3)
    writer.close()

    assert recognised == [True, True, True]  # the one behind it was not asked about
    for answer, expected in zip(answers, (b"first", b"behind"), strict=True):
        assert (answer[9:12], expected in answer) == (b"202", True)
    await platform.until(lambda: apns_token(1) in deliveries(platform))
