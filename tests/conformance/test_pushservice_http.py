"""Answers of our own push service where HTTP says what goes with them (RFC 9110)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import World, push_world
from tests.providers.webpush.local_service import ManualClock

from clarion.pushservice.dating import Dates
from clarion.wire.push_headers import parse_http_date


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


async def test_sender_that_waits_is_told_to_go_on(world: World) -> None:
    """Section 10.1.1: `Expect: 100-continue` MUST be answered 100, or with the final status."""
    browser = await world.browser()
    endpoint = await browser.register()
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    path = endpoint.removeprefix(world.origin)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nTTL: 60\r\nContent-Encoding: aes128gcm\r\n"
        "Expect: 100-Continue\r\nContent-Length: {octets}\r\n\r\n"
    )
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(2):  # the connection goes on, too
            writer.write(head.format(octets=4000).encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"x" * 2000)
            writer.write(b"x" * 2000)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
        writer.write(head.format(octets=10).encode() + b"x" * 10)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
        writer.write(head.format(octets=4097).encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()
    await browser.line.end()


async def test_answers_to_earlier_requests_come_before_the_word_to_go_on(world: World) -> None:
    """RFC 9112 section 9.3.2: answers come in the order of the requests."""
    browser = await world.browser()
    endpoint = await browser.register()
    path = endpoint.removeprefix(world.origin)
    first = f"POST {path} HTTP/1.1\r\nHost: a\r\nTTL: 60\r\nContent-Length: 0\r\n\r\n"
    second = first.replace("Length: 0", "Length: 5\r\nExpect: 100-continue")
    second = second.replace("TTL: 60", "TTL: 0\r\nContent-Encoding: aes128gcm")
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write((first + second).encode())
    async with asyncio.timeout(PATIENCE_S):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"xxxxx")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 201 ")
    writer.close()
    await writer.wait_closed()
    await browser.line.end()


async def test_request_names_one_host(world: World) -> None:
    """RFC 9112 section 3.2: none, or more than one, MUST be answered 400; HTTP/1.0 has none."""
    for hosts in ([], ["Host: a", "Host: b"]):
        status, _ = await exchange(world, "GET /health HTTP/1.1", *hosts)
        assert status == "HTTP/1.1 400 Bad Request"
    status, _ = await exchange(world, "GET /health HTTP/1.0")
    assert status == "HTTP/1.1 200 OK"


async def test_answers_say_when_they_were_made(world: World) -> None:
    """Section 6.6.1: `Date` MUST be there in the 200s, 300s and 400s; also before a stream."""
    before = datetime.now(UTC).replace(microsecond=0)
    browser = await world.browser()
    endpoint = await browser.register()
    receipt = await world.push(endpoint, Prefer="respond-async")
    reader = receipt.headers["link"].partition(">")[0].removeprefix("<")
    dates = [
        receipt.headers["date"],
        (await world.push(endpoint, TTL="0")).headers["date"],
        (await world.push(endpoint + "x")).headers["date"],
        (await world.client.get(f"{world.origin}/health")).headers["date"],
        (await exchange(world, "GET /health HTTP/1.1"))[1]["date"],
    ]
    streaming = world.client.stream("GET", reader, headers={"Accept": "text/event-stream"})
    async with asyncio.timeout(PATIENCE_S), streaming as answer:
        dates.append(answer.headers["date"])
    after = datetime.now(UTC)
    for date in dates:
        assert before <= parse_http_date(date, after) <= after, date
    await browser.line.end()


def test_date_is_that_of_the_second() -> None:
    """It is written anew when the next second begins, and not before."""
    clock = ManualClock()
    clock.at += timedelta(milliseconds=250)
    dates = Dates(clock)
    first = dates.line(clock.monotonic())
    assert first == b"date: Sun, 01 Mar 2026 12:00:00 GMT\r\n"
    clock.at += timedelta(milliseconds=740)
    assert dates.line(clock.monotonic()) is first
    clock.at += timedelta(milliseconds=10)
    assert dates.line(clock.monotonic()) == b"date: Sun, 01 Mar 2026 12:00:01 GMT\r\n"
