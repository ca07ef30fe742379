"""The browser's protocol against a running node: subscribe, push, receive, acknowledge, leave."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import UNHURRIED, World, channel, open_socket, push_world

from clarion.pushservice.http_connection import MAX_PIPELINED
from clarion.wire.vapid import VapidKey

BODY = os.urandom(200)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


async def test_push_reaches_a_connected_browser_and_is_answered_201(world: World) -> None:
    """Location names the message, TTL is the granted one, the body arrives as it was."""
    browser = await world.browser()
    endpoint = await browser.register()
    body = os.urandom(200)
    pushing = asyncio.create_task(world.push(endpoint, body))
    heard = await browser.hear()
    browser.ack(heard)
    answer = await pushing
    assert answer.status_code == 201
    assert answer.headers["location"].startswith(f"{world.origin}/m/")
    assert answer.headers["ttl"] == "86400"
    assert heard["messageType"] == "notification"
    assert heard["channelID"] == channel(1)
    assert heard["headers"] == {"encoding": "aes128gcm"}
    assert base64.urlsafe_b64decode(heard["data"] + "==") == body
    await browser.line.end()


async def test_message_for_an_absent_browser_waits_and_keeps_its_order(world: World) -> None:
    """Stored while it is away, delivered when it is back with its name, gone once acknowledged."""
    browser = await world.browser()
    endpoint = await browser.register()
    await browser.line.end()
    for number in range(5):
        assert (await world.push(endpoint, bytes([number]) * 90)).status_code == 201
    assert await world.count() == 5
    again = await world.browser(browser.uaid)
    assert again.uaid == browser.uaid
    heard = [await again.hear() for _ in range(5)]
    bodies = [base64.urlsafe_b64decode(one["data"] + "==")[0] for one in heard]
    assert bodies == [0, 1, 2, 3, 4]
    again.ack(*heard)
    async with asyncio.timeout(PATIENCE_S):
        while await world.count():  # noqa: ASYNC110  the store tells nobody
            await asyncio.sleep(0.02)
    await again.line.end()


async def test_unacknowledged_message_comes_again_with_the_same_version(world: World) -> None:
    """At least once; the version is what tells a repeat."""
    browser = await world.browser()
    endpoint = await browser.register()
    await world.push(endpoint, os.urandom(90))
    first = await browser.hear()
    await browser.line.end()
    again = await world.browser(browser.uaid)
    assert await again.hear() == first
    await again.line.end()


async def test_unregistered_endpoint_is_gone(world: World) -> None:
    """410 with Mozilla's errno, to be remembered for a day."""
    browser = await world.browser()
    endpoint = await browser.register()
    await browser.unregister()
    answer = await world.push(endpoint, os.urandom(90))
    assert answer.status_code == 410
    assert answer.json()["errno"] == 106
    assert answer.headers["cache-control"] == "max-age=86400"
    await browser.line.end()


async def test_unknown_browser_gets_a_new_name(world: World) -> None:
    """It drops its subscriptions then, which is right: nobody knows them here."""
    browser = await world.browser("0" * 32)
    assert browser.uaid != "0" * 32
    await browser.line.end()


async def test_restricted_subscription_takes_only_its_key(world: World) -> None:
    """RFC 8292 section 4.2: 401 without, 403 with another one, 201 with the right one."""
    browser = await world.browser()
    endpoint = await browser.register(key=world.key)
    assert "/wpush/v2/" in endpoint
    assert (await world.push(endpoint)).status_code == 401
    other = await world.push(
        endpoint, Authorization=world.authorization(endpoint, type(world.key).generate())
    )
    assert other.status_code == 403
    right = await world.push(endpoint, Authorization=world.authorization(endpoint))
    assert right.status_code == 201
    await browser.line.end()


async def test_ping_is_answered(world: World) -> None:
    """`{}` for `{}`."""
    browser = await world.browser()
    await browser.quiet()
    await browser.line.end()


async def test_command_before_hello_ends_the_connection(world: World) -> None:
    """Nobody subscribes without a name."""
    line = await open_socket(world.port, "/", "push-notification")
    line.send(1, b'{"messageType":"ack","updates":[]}')
    assert await line.closed() == 1008
    await line.end()


async def test_sender_is_answered_when_the_browser_has_the_message(database_url: str) -> None:
    """It does not wait for the commit that stores what nobody has acknowledged."""
    limits = replace(UNHURRIED, commit_every_s=3600.0)
    async with push_world(database_url, limits) as world:
        browser = await world.browser()
        endpoint = await browser.register()
        pushing = asyncio.create_task(world.push(endpoint, BODY))
        browser.ack(await browser.hear())
        assert (await pushing).status_code == 201
        assert await world.count() == 0
        await browser.line.end()


async def test_a_remembered_token_ends_when_it_ends(world: World) -> None:
    """The same fields again are judged anew where their token is no longer good."""
    browser = await world.browser()
    endpoint = await browser.register(key=world.key)
    other = await browser.register(2, key=VapidKey.generate())
    soon = world.authorization(endpoint)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)

    async def post(to: str) -> bytes:
        path = to.removeprefix(world.origin)
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: a\r\nTTL: 60\r\nContent-Encoding: aes128gcm\r\n"
            f"Authorization: {soon}\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
            + BODY
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        return head.split(b" ")[1]

    assert [await post(to) for to in (endpoint, other, endpoint)] == [b"201", b"403", b"201"]
    world.clock.ahead = timedelta(days=1, seconds=1)  # RFC 8292 section 2: none lives longer
    assert await post(endpoint) == b"403"
    writer.close()
    await writer.wait_closed()
    await browser.line.end()


async def test_a_sender_that_writes_many_requests_at_once_is_read_on(world: World) -> None:
    """More than are taken at once: each is answered, and so is what comes after them."""
    browser = await world.browser()
    path = (await browser.register()).removeprefix(world.origin)
    await browser.line.end()
    request = f"POST {path} HTTP/1.1\r\nHost: a\r\nTTL: 60\r\nContent-Length: 0\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    many = MAX_PIPELINED + 8
    for times in (many, 1):
        writer.write(request * times)
        for _ in range(times):
            async with asyncio.timeout(PATIENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 201 ")
            assert b"content-length: 0" in head
    writer.close()
    await writer.wait_closed()
    assert await world.count() == many + 1
