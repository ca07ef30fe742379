"""Apps and UnifiedPush: subscriptions over HTTP, streams with a cursor, the gateway."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import Line, World, channel, open_socket, push_world

BODY = os.urandom(100)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


@dataclass
class App:
    """An app on a device."""

    world: World
    token: str

    @property
    def fields(self) -> dict[str, str]:
        """How it says who it is."""
        return {"Authorization": f"Bearer {self.token}"}

    async def subscribe(self, number: int = 1, **said: str) -> str:
        """An endpoint."""
        answer = await self.world.client.put(
            f"{self.world.origin}/v1/subscriptions/{channel(number)}",
            json=said,
            headers=self.fields,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["endpoint"])

    async def socket(self, query: str = "") -> Line:
        """The stream over a WebSocket."""
        path = f"/v1/stream?token={self.token}{query}"
        return await open_socket(self.world.port, path, "clarion-push")

    async def events(self, count: int, after: str = "", query: str = "") -> list[dict[str, str]]:
        """The first events of the stream; then the app leaves."""
        fields = self.fields | ({"Last-Event-ID": after} if after else {})
        url = f"{self.world.origin}/v1/stream{query}"
        found: list[dict[str, str]] = []
        async with (
            asyncio.timeout(PATIENCE_S),
            self.world.client.stream("GET", url, headers=fields) as stream,
        ):
            assert stream.headers["content-type"] == "text/event-stream"
            lines = aiter(stream.aiter_lines())
            while len(found) < count:
                line = await anext(lines)
                if line.startswith("data: "):
                    found.append(orjson.loads(line[6:]))
        return found


async def new_app(world: World) -> App:
    """An app that has just been installed."""
    answer = await world.client.post(f"{world.origin}/v1/devices")
    assert answer.status_code == 201
    return App(world, answer.json()["token"])


@asynccontextmanager
async def hearing(app: App, query: str = "") -> AsyncIterator[Line]:
    """A stream over a WebSocket that is cut at the end."""
    line = await app.socket(query)
    try:
        yield line
    finally:
        await line.end()


async def emptied(world: World) -> None:
    """Wait until nothing is stored."""
    async with asyncio.timeout(PATIENCE_S):
        while await world.count():  # noqa: ASYNC110  the store tells nobody
            await asyncio.sleep(0.02)


async def test_app_receives_over_a_websocket_and_acknowledges_up_to_an_id(world: World) -> None:
    """What waited comes first, then what is pushed; `ack` names the last one that is safe."""
    app = await new_app(world)
    endpoint = await app.subscribe()
    await world.push(endpoint, BODY)
    async with hearing(app) as line:
        first = orjson.loads((await line.frame())[1])
        assert first["subscription"] == channel(1)
        assert base64.urlsafe_b64decode(first["data"] + "==") == BODY
        assert first["encoding"] == "aes128gcm"
        pushing = asyncio.create_task(world.push(endpoint, b"second" * 20))
        second = orjson.loads((await line.frame())[1])
        line.send(1, orjson.dumps({"ack": second["id"]}))
        assert (await pushing).status_code == 201
        await emptied(world)


async def test_stream_of_events_resumes_after_its_cursor(world: World) -> None:
    """What the cursor covers has arrived; what it does not cover comes again."""
    app = await new_app(world)
    endpoint = await app.subscribe()
    for number in range(3):
        await world.push(endpoint, bytes([number]) * 90)
    first = await app.events(3)
    again = await app.events(1, after=first[1]["id"])
    assert again == first[2:]
    await world.push(endpoint, b"new" * 40)
    (last,) = await app.events(1, after=again[0]["id"])
    assert base64.urlsafe_b64decode(last["data"] + "==") == b"new" * 40


async def test_events_are_acknowledged_without_leaving_the_stream(world: World) -> None:
    """`POST /v1/acks` names messages one by one."""
    app = await new_app(world)
    endpoint = await app.subscribe()
    await world.push(endpoint, BODY)
    url = f"{world.origin}/v1/stream"
    async with world.client.stream("GET", url, headers=app.fields) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                said = {"ids": [line[4:]]}
                answer = await world.client.post(
                    f"{world.origin}/v1/acks", json=said, headers=app.fields
                )
                assert answer.status_code == 204
                break
        await emptied(world)


async def test_app_gets_only_what_is_urgent_enough(world: World) -> None:
    """RFC 8030 section 5.3: less urgent messages wait until they are asked for."""
    app = await new_app(world)
    endpoint = await app.subscribe()
    for urgency in ("low", "high", "normal"):
        await world.push(endpoint, urgency.encode() * 30, Urgency=urgency)
    urgent = await app.events(1, query="?urgency=high")
    assert base64.urlsafe_b64decode(urgent[0]["data"] + "==") == b"high" * 30
    assert len(await app.events(3)) == 3


async def test_subscription_of_an_app_ends(world: World) -> None:
    """204, then its endpoint is gone, and a second time there is nothing to end."""
    app = await new_app(world)
    endpoint = await app.subscribe()
    url = f"{world.origin}/v1/subscriptions/{channel(1)}"
    async with hearing(app):
        assert (await world.client.delete(url, headers=app.fields)).status_code == 204
        assert (await world.push(endpoint, BODY)).status_code == 410
    assert (await world.client.delete(url, headers=app.fields)).status_code == 404


async def test_subscription_keeps_its_key_and_its_endpoint(world: World) -> None:
    """The same again is the same endpoint; another key is a conflict."""
    app = await new_app(world)
    endpoint = await app.subscribe(key=world.key.public)
    assert await app.subscribe(key=world.key.public) == endpoint
    url = f"{world.origin}/v1/subscriptions/{channel(1)}"
    assert (await world.client.put(url, json={}, headers=app.fields)).status_code == 409


async def test_forged_device_token_is_401(world: World) -> None:
    """A token that we did not make names nobody."""
    for token in ("none", "x", "A" * 43, "A" * 10_000):
        answer = await world.client.get(
            f"{world.origin}/v1/stream", headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 401


async def test_newer_connection_replaces_the_older_one(world: World) -> None:
    """One connection serves a device."""
    app = await new_app(world)
    endpoint = await app.subscribe()
    async with hearing(app) as older:
        await world.push(endpoint, BODY)
        first = orjson.loads((await older.frame())[1])  # by now it is the device's connection
        older.send(1, orjson.dumps({"ack": first["id"]}))
        await emptied(world)
        async with hearing(app) as newer:
            assert await older.closed() == 1000
            pushing = asyncio.create_task(world.push(endpoint, BODY))
            assert orjson.loads((await newer.frame())[1])["subscription"] == channel(1)
            await pushing


async def test_endpoint_says_that_it_is_unified_push(world: World) -> None:
    """How senders find out; an endpoint has 1000 octets at most."""
    app = await new_app(world)
    endpoint = await app.subscribe(key=world.key.public)
    assert len(endpoint) <= 1000
    answer = await world.client.get(f"{endpoint}?up=1")
    assert answer.json() == {"unifiedpush": {"version": 1}}


async def test_matrix_gateway_pushes_to_our_endpoints_and_names_the_dead(world: World) -> None:
    """The homeserver's notification goes through as it is; foreign and dead keys are rejected."""
    app = await new_app(world)
    endpoint, dead = await app.subscribe(1), await app.subscribe(2)
    url = f"{world.origin}/v1/subscriptions/{channel(2)}"
    await world.client.delete(url, headers=app.fields)
    foreign = "https://push.example.org/x"
    keys = [{"app_id": "a", "pushkey": key} for key in (endpoint, dead, foreign)]
    gateway = f"{world.origin}/_matrix/push/v1/notify"
    assert (await world.client.get(gateway)).json() == {"unifiedpush": {"gateway": "matrix"}}
    said = {"notification": {"event_id": "$1", "devices": keys}}
    answer = await world.client.post(gateway, json=said)
    assert sorted(answer.json()["rejected"]) == sorted([dead, foreign])
    (heard,) = await app.events(1)
    body = orjson.loads(base64.urlsafe_b64decode(heard["data"] + "=="))
    assert body["notification"]["event_id"] == "$1"


PAGE = {"Origin": "https://shop.example"}
"""What a browser adds when a page of another origin asks."""


async def test_pages_may_speak_with_the_service_as_apps_do(world: World) -> None:
    """Fetch section 3.2: asked first, and readable after; also a refusal, and the stream."""
    for method, path in (
        ("POST", "/v1/devices"),
        ("PUT", f"/v1/subscriptions/{channel(1)}"),
        ("GET", "/v1/stream"),
        ("POST", "/v1/acks"),
    ):
        asked = await world.client.options(
            world.origin + path,
            headers=PAGE
            | {
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "authorization,content-type,last-event-id",
            },
        )
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "*"
        assert method in asked.headers["access-control-allow-methods"].split(", ")
        names = asked.headers["access-control-allow-headers"].lower().split(", ")
        assert {"authorization", "content-type", "last-event-id"} <= set(names)
        assert "access-control-allow-credentials" not in asked.headers
    made = await world.client.post(f"{world.origin}/v1/devices", headers=PAGE)
    assert made.headers["access-control-allow-origin"] == "*"
    app = App(world, made.json()["token"])
    url = f"{world.origin}/v1/stream"
    refused = await world.client.get(url, headers=PAGE | app.fields)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (410, "*")
    await app.subscribe()
    async with world.client.stream("GET", url, headers=PAGE | app.fields) as stream:
        assert stream.headers["access-control-allow-origin"] == "*"


async def test_origins_that_are_not_allowed_do_nothing(database_url: str) -> None:
    """The operator names origins; senders, which are no pages, are not touched by it."""
    allowed = frozenset({"https://shop.example"})
    async with push_world(database_url, allowed_origins=allowed) as world:
        for origin, status, shown in (
            ("https://shop.example", 201, "https://shop.example"),
            ("https://shop.example.evil.example", 403, None),
            ("http://shop.example", 403, None),
            ("null", 403, None),
        ):
            answer = await world.client.post(
                f"{world.origin}/v1/devices", headers={"Origin": origin}
            )
            assert answer.status_code == status
            assert answer.headers.get("access-control-allow-origin") == shown
            assert answer.headers["vary"] == "Origin"
        plain = await world.client.post(f"{world.origin}/v1/devices")
        assert "vary" not in plain.headers
        endpoint = await App(world, plain.json()["token"]).subscribe()
        pushed = await world.client.options(endpoint, headers=PAGE)
        assert pushed.status_code == 405
        assert "access-control-allow-origin" not in pushed.headers


async def test_pages_that_are_not_allowed_open_no_socket(database_url: str) -> None:
    """RFC 6455 section 10.2: browsers ask nobody before a page opens one. Firefox is no page."""
    allowed = frozenset({"https://shop.example"})
    async with push_world(database_url, allowed_origins=allowed) as world:
        made = await world.client.post(f"{world.origin}/v1/devices")
        app = App(world, made.json()["token"])
        await app.subscribe()
        for path, protocol in (
            ("/", "push-notification"),
            (f"/v1/stream?token={app.token}", "clarion-push"),
        ):
            for origin in ("https://shop.example", "ws://localhost/", "http://localhost"):
                line = await open_socket(world.port, path, protocol, f"Origin: {origin}")
                await line.end()
            for origin in ("https://evil.example", "http://localhost:8080", "null"):
                with pytest.raises(AssertionError, match=r"HTTP/1\.1 403 "):
                    await open_socket(world.port, path, protocol, f"Origin: {origin}")
