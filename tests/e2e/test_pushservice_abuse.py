"""Bad input and abuse: clear answers, and nothing lost for others."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import (
    UNHURRIED,
    Browser,
    Line,
    World,
    channel,
    open_socket,
    push_world,
)

CUT = (AssertionError, ConnectionError, asyncio.IncompleteReadError)
"""How a connection that is not let in ends: refused, or cut."""
LIMITS = replace(
    UNHURRIED, frames_burst=50, frames_per_s=0.01, register_burst=5, register_per_s=1e-6
)
HASTY = replace(LIMITS, head_s=0.5, hello_s=0.5)


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node that gives nobody much."""
    async with push_world(database_url, LIMITS, subscriptions=3) as made:
        yield made


@pytest.fixture
async def hasty(database_url: str) -> AsyncIterator[World]:
    """A node with little patience."""
    async with push_world(database_url, HASTY) as made:
        yield made


async def raw(world: World, data: bytes) -> bytes:
    """What is answered to octets, up to the end of the connection."""
    line = socket.create_connection(("127.0.0.1", world.port))
    line.sendall(data)  # they are there before the node takes the connection, however busy it is
    reader, writer = await asyncio.open_connection(sock=line)
    async with asyncio.timeout(PATIENCE_S):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00garbage\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40_000, b"431"),
        (b"POST /wpush/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         + (b"400\r\n" + b"a" * 1024 + b"\r\n") * 5, b"413"),
        (b"POST /wpush/v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nslow", b"408"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nSlow", b"408"),
    ],
)  # fmt: skip
async def test_bad_request_is_answered_and_the_connection_ends(
    hasty: World, data: bytes, status: bytes
) -> None:
    """What can't be read, is too large, or does not arrive."""
    assert (await raw(hasty, data)).startswith(b"HTTP/1.1 " + status)


async def test_noise_behind_a_message_waits_for_its_answer(world: World) -> None:
    """Who sends it is told of the message before the connection ends; the others lose nothing."""
    browser = await world.browser()
    endpoint = await browser.register()
    path = endpoint.removeprefix(world.origin)
    message = f"POST {path} HTTP/1.1\r\nHost: a\r\nTTL: 60\r\nContent-Length: 0\r\n\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    blocked = "select count(*) from pg_locks where relation = 'push_message'::regclass"
    async with asyncio.timeout(PATIENCE_S), world.pool.acquire() as connection:
        async with connection.transaction():
            await connection.execute("lock table push_message")
            writer.write(message.encode())
            while not await connection.fetchval(f"{blocked} and not granted"):  # noqa: ASYNC110  another task of the node waits
                await asyncio.sleep(0.01)
            writer.write(message.encode() + b"noise\r\n\r\n")
            assert (await world.client.get(f"{world.origin}/health")).status_code == 200
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in answer
    writer.close()
    await writer.wait_closed()
    assert (await world.push(endpoint, os.urandom(90))).status_code == 201
    await browser.line.end()


async def test_noise_behind_a_stream_of_events_ends_it(world: World) -> None:
    """Nothing else is written into it, then or later."""
    devices = await world.client.post(f"{world.origin}/v1/devices")
    fields = {"Authorization": f"Bearer {devices.json()['token']}"}
    made = await world.client.put(
        f"{world.origin}/v1/subscriptions/{channel(1)}", json={}, headers=fields
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    asked = f"GET /v1/stream HTTP/1.1\r\nHost: a\r\nAuthorization: {fields['Authorization']}"
    async with asyncio.timeout(PATIENCE_S):
        writer.write(f"{asked}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"noise\r\n\r\n")
        rest = await reader.read()
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"HTTP/1.1" not in rest
    writer.close()
    await writer.wait_closed()
    assert (await world.push(made.json()["endpoint"], os.urandom(90))).status_code == 201


async def test_many_slow_posts_hold_up_nobody(world: World) -> None:
    """Two hundred senders that never finish, and one that does."""
    browser = await world.browser()
    endpoint = await browser.register()
    slow = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(200)]
    for _, writer in slow:
        writer.write(b"POST /wpush/v1/x HTTP/1.1\r\nContent-Le")
    assert (await world.push(endpoint, os.urandom(90))).status_code == 201
    for _, writer in slow:
        writer.close()
        await writer.wait_closed()
    await browser.line.end()


@pytest.mark.parametrize(
    "text",
    [
        b"", b"x", b"[]", b"null", b'{"messageType":"nothing"}', b'{"messageType":7}',
        b'{"messageType":"ack","updates":[{"channelID":7}]}', b"[" * 50_000,
        b'{"messageType":"register","channelID":"NOT-A-UUID"}',
    ],
)  # fmt: skip
async def test_malformed_command_ends_the_connection(world: World, text: bytes) -> None:
    """With the code for a broken policy; the node lives on."""
    browser = await world.browser()
    browser.line.send(1, text)
    assert await browser.line.closed() == 1008
    await browser.line.end()


async def test_binary_and_oversize_frames_end_the_connection(world: World) -> None:
    """1003 and 1009."""
    for opcode, payload, code in ((2, b"x", 1003), (1, b"x" * 70_000, 1009)):
        browser = await world.browser()
        browser.line.send(opcode, payload)
        assert await browser.line.closed() == code
        await browser.line.end()


async def test_flood_of_frames_ends_the_connection(world: World) -> None:
    """More than a browser ever says."""
    browser = await world.browser()
    for _ in range(100):
        browser.say({})
    assert await browser.line.closed() == 1008
    await browser.line.end()


async def test_silent_connection_without_hello_ends(hasty: World) -> None:
    """Nobody holds a connection without a name."""
    line = await open_socket(hasty.port, "/", "push-notification")
    assert await line.closed() == 1008
    await line.end()


async def test_subscriptions_of_one_device_are_bounded(world: World) -> None:
    """429 for the one too many, by number and by rate; the others stay."""
    browser = await world.browser()
    endpoints = [await browser.register(number) for number in range(1, 4)]
    statuses = []
    for number in range(4, 8):
        browser.say({"messageType": "register", "channelID": channel(number)})
        statuses.append((await browser.hear())["status"])
    assert statuses == [429] * 4
    assert (await world.push(endpoints[0])).status_code == 201
    await browser.line.end()


async def test_bad_key_is_refused(world: World) -> None:
    """400, and the connection stays."""
    browser = await world.browser()
    browser.say({"messageType": "register", "channelID": channel(1), "key": "AAAA"})
    assert (await browser.hear())["status"] == 400
    await browser.quiet()
    await browser.line.end()


async def test_device_that_never_acknowledges_gets_a_window_and_no_more(world: World) -> None:
    """What is on its way is bounded; the rest waits in the store."""
    browser = await world.browser()
    endpoint = await browser.register()
    for _ in range(100):
        assert (await world.push(endpoint, os.urandom(90))).status_code == 201
    for _ in range(LIMITS.window):
        assert (await browser.hear())["messageType"] == "notification"
    await browser.quiet()
    assert await world.count() == 100
    await browser.line.end()


async def test_one_that_never_acknowledges_holds_up_nobody(world: World) -> None:
    """Another browser gets its message while the first one's wait, and when it has left."""
    silent, other = await world.browser(), await world.browser()
    endpoint, wanted = await silent.register(), await other.register()
    for _ in range(LIMITS.window + 20):
        assert (await world.push(endpoint, os.urandom(90))).status_code == 201
    for _ in range(2):
        pushing = asyncio.create_task(world.push(wanted, os.urandom(90)))
        other.ack(await other.hear())
        assert (await pushing).status_code == 201
        await silent.line.end()
    again = await world.browser(silent.uaid)
    heard = {(await again.hear())["version"] for _ in range(LIMITS.window)}
    assert len(heard) == LIMITS.window
    await again.line.end()
    await other.line.end()


async def test_subscriptions_of_one_address_are_bounded_whatever_its_names(
    database_url: str,
) -> None:
    """A client that takes a new name for each few gets its address's share, others get theirs."""
    limits = replace(LIMITS, register_burst=2)
    async with push_world(database_url, limits) as world:
        made = refused = 0
        for _ in range(30):
            browser = await world.browser()
            browser.say({"messageType": "register", "channelID": channel(1)})
            status = (await browser.hear())["status"]
            made, refused = made + (status == 200), refused + (status == 429)
            await browser.line.end()
        assert (made, refused) == (10 * limits.register_burst, 10)
        assert await world.pool.fetchval("select count(*) from push_device") == made
        line = await open_socket(
            world.port, "/", "push-notification", "X-Forwarded-For: 198.51.100.7"
        )
        other = Browser(line)
        other.say({"messageType": "hello", "use_webpush": True})
        await other.hear()
        await other.register()
        await line.end()


@pytest.mark.parametrize("trusted", [frozenset[str](), frozenset({"127.0.0.1"})])
async def test_connections_of_one_address_are_bounded(
    database_url: str, trusted: frozenset[str]
) -> None:
    """By the peer's address, or by the one that a proxy names whom we trust: never by another's."""
    limits = replace(UNHURRIED, connections_per_address=5)
    async with push_world(database_url, limits, trusted=trusted) as world:

        async def connect(number: int) -> Line:
            # Of a stranger, the name of an address means nothing: another one each time.
            named = 1 if trusted else number
            field = f"X-Forwarded-For: 198.51.100.{named}"
            return await open_socket(world.port, "/", "push-notification", field)

        # Where nobody is trusted, the client that asks for the node's health is one of the five.
        held = [await connect(number) for number in range(5 if trusted else 4)]
        with pytest.raises(CUT):
            await connect(9)
        if trusted:  # the proxy itself, and the others behind it, go on
            field = "X-Forwarded-For: 198.51.100.2"
            held.append(await open_socket(world.port, "/", "push-notification", field))
        assert (await world.client.get(f"{world.origin}/health")).status_code == 200
        await held.pop(0).end()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    held.append(await connect(9))
                except CUT:  # the end of the other one is on its way
                    await asyncio.sleep(0.05)
                else:
                    break
        for line in held:
            await line.end()


async def test_handshakes_of_one_address_are_slowed(database_url: str) -> None:
    """Whoever connects again and again is closed at once, until time has passed."""
    limits = replace(UNHURRIED, handshakes_burst=5, handshakes_per_s=1e-6)
    async with push_world(database_url, limits, trusted=frozenset()) as world:
        answered = 0
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            with suppress(ConnectionError):  # cut before it was read
                answered += (await reader.read()).startswith(b"HTTP/1.1 ")
            writer.close()
        assert 0 < answered <= limits.handshakes_burst
        asked = await world.client.get(f"{world.origin}/health")  # on the connection that it has
        assert asked.status_code == 200


async def test_flood_of_posts_is_bounded_by_subscription_and_by_sender(database_url: str) -> None:
    """429 with Retry-After; another subscription, and another sender, are served."""
    limits = replace(
        UNHURRIED, subscription_burst=3, subscription_per_s=1e-6, origin_burst=5,
        origin_per_s=1e-6,
    )  # fmt: skip
    async with push_world(database_url, limits) as world:
        browser = await world.browser()
        first, second, third = [await browser.register(number) for number in (1, 2, 3)]
        answers = [await world.push(first, os.urandom(90)) for _ in range(5)]
        assert [answer.status_code for answer in answers] == [201] * 3 + [429] * 2
        assert int(answers[-1].headers["retry-after"]) > 0
        assert (await world.push(second, os.urandom(90))).status_code == 201
        assert (await world.push(second, os.urandom(90))).status_code == 201
        assert (await world.push(second, os.urandom(90))).status_code == 429
        assert (await world.push(third, os.urandom(90))).status_code == 429
        named = {"Authorization": world.authorization(third)}
        assert (await world.push(third, os.urandom(90), **named)).status_code == 201
        await browser.line.end()
