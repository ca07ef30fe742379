"""Answers of our own push service where HTTP says what goes with them (RFC 9110)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import World, push_world


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


async def test_method_that_is_not_taken_is_told_which_are(world: World) -> None:
    """Section 15.5.6: 405 MUST come with `Allow`."""
    browser = await world.browser()
    endpoint = await browser.register()
    location = (await world.push(endpoint, TTL="0")).headers["location"]
    receipts = (await world.push(endpoint, Prefer="respond-async")).headers["link"]
    receipts = receipts.partition(">")[0].removeprefix("<")
    for method, url, allow in (
        ("PUT", endpoint, "GET, HEAD, POST"),
        ("GET", location, "DELETE"),
        ("POST", receipts, "GET, HEAD"),
        ("DELETE", f"{world.origin}/", "GET, HEAD"),
        ("GET", f"{world.origin}/v1/devices", "POST"),
        ("POST", f"{world.origin}/v1/stream", "GET"),
        ("GET", f"{world.origin}/v1/acks", "POST"),
        ("GET", f"{world.origin}/v1/subscriptions/x", "PUT, DELETE"),
        ("PUT", f"{world.origin}/_matrix/push/v1/notify", "GET, HEAD, POST"),
    ):
        answer = await world.client.request(method, url)
        assert (answer.status_code, answer.headers.get("allow")) == (405, allow), url
    await browser.line.end()


async def test_who_is_not_let_in_is_told_how(world: World) -> None:
    """Section 11.6.1: 401 MUST come with a challenge; RFC 8292 section 3: `vapid`, bare."""
    browser = await world.browser()
    endpoint = await browser.register(key=world.key)
    for fields in ({}, {"Authorization": "vapid t=x"}):
        answer = await world.push(endpoint, b"", **fields)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "vapid")
    answer = await world.client.get(f"{world.origin}/v1/stream")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    await browser.line.end()


async def exchange(world: World, *lines: str) -> tuple[str, dict[str, str]]:
    """The status line and the fields that are answered to a request; then the client leaves."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    try:
        writer.write("\r\n".join([*lines, "", ""]).encode())
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()
        await writer.wait_closed()
    status, *fields = head.rstrip().split("\r\n")
    return status, {name.lower(): value for name, _, value in (f.partition(": ") for f in fields)}


async def test_protocols_that_we_do_not_speak_are_ignored_in_an_upgrade(world: World) -> None:
    """Section 7.8: a server MAY ignore `Upgrade`, and in HTTP/1.0 it MUST."""
    h2c = ["Host: a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"]
    for path in ("/", "/health"):
        status, _ = await exchange(world, f"GET {path} HTTP/1.1", *h2c)
        assert status == "HTTP/1.1 200 OK"
    websocket = [
        "Host: a", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]  # fmt: skip
    status, _ = await exchange(world, "GET / HTTP/1.0", *websocket)
    assert status == "HTTP/1.1 200 OK"
    status, _ = await exchange(world, "GET / HTTP/1.1", *websocket)
    assert status == "HTTP/1.1 101 Switching Protocols"
