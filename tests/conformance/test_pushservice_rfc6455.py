"""RFC 6455 as our own push service keeps it towards devices, against a running node."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import Line, World, client_frame, open_socket, push_world

from clarion.wire.websocket import CloseCode

HANDSHAKE = {
    "Host": "localhost",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
HELLO = orjson.dumps({"messageType": "hello", "use_webpush": True})


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


async def shake(world: World, path: str = "/", **changes: str) -> tuple[int, dict[str, str]]:
    """Offer a handshake with changes (`_` for `-`, "" leaves out); status and fields answered."""
    fields = HANDSHAKE | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    try:
        writer.write("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
        async with asyncio.timeout(PATIENCE_S):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()
        await writer.wait_closed()
    status, *answered = head.rstrip().split("\r\n")
    pairs = (line.partition(": ") for line in answered)
    return int(status.split()[1]), {name.lower(): value for name, _, value in pairs}


async def test_accept_is_made_of_the_key(world: World) -> None:
    """Sections 4.2.2 and 1.3: the example's answer to the example's key."""
    status, fields = await shake(world)
    assert status == 101
    assert fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert (fields["upgrade"].lower(), fields["connection"].lower()) == ("websocket", "upgrade")


async def test_nothing_is_agreed_that_was_not_offered(world: World) -> None:
    """Section 4.2.2: sub-protocols and extensions are the client's to offer; ours takes none."""
    _, fields = await shake(world)
    assert "sec-websocket-protocol" not in fields
    _, fields = await shake(world, Sec_WebSocket_Protocol="chat, superchat")
    assert "sec-websocket-protocol" not in fields
    _, fields = await shake(
        world,
        Sec_WebSocket_Protocol="chat, push-notification",
        Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits",
    )
    assert fields["sec-websocket-protocol"] == "push-notification"
    assert "sec-websocket-extensions" not in fields


async def test_another_version_is_told_which_one_is_spoken(world: World) -> None:
    """Sections 4.2.2 and 4.4: an HTTP error, and `Sec-WebSocket-Version`; on both paths."""
    device = await world.client.post(f"{world.origin}/v1/devices")
    for path in ("/", f"/v1/stream?token={device.json()['token']}"):
        for version in ("8", "13, 8", "14"):
            status, fields = await shake(world, path, Sec_WebSocket_Version=version)
            assert (status, fields["sec-websocket-version"]) == (426, "13")


async def test_handshake_that_lacks_something_is_an_http_error(world: World) -> None:
    """Section 4.2.1: the server stops, and answers with a fitting status."""
    for name, value in (
        ("Host", ""),
        ("Sec_WebSocket_Key", ""),
        ("Sec_WebSocket_Key", "c2hvcnQ="),
        ("Sec_WebSocket_Key", "no base64 at all"),
        ("Sec_WebSocket_Version", ""),
    ):
        status, _ = await shake(world, "/", **{name: value})
        assert status == 400, (name, value)
    assert (await shake(world, "/nowhere"))[0] == 404


async def greeted(world: World) -> Line:
    """A connection on which hello was said and answered."""
    line = await open_socket(world.port, "/", "push-notification")
    line.send(1, HELLO)
    opcode, said = await line.frame()
    assert (opcode, orjson.loads(said)["status"]) == (1, 200)
    return line


async def test_server_masks_nothing(world: World) -> None:
    """Section 5.1: a server MUST NOT mask."""
    line = await open_socket(world.port, "/", "push-notification")
    line.send(1, HELLO)
    async with asyncio.timeout(PATIENCE_S):
        first, second = await line.reader.readexactly(2)
    assert first == 0x81
    assert not second & 0x80
    await line.end()


async def test_ping_is_answered_with_a_pong_of_the_same_data(world: World) -> None:
    """Sections 5.5.2 and 5.5.3; also between the fragments of a message (5.4)."""
    line = await greeted(world)
    for data in (b"", b"still there?", bytes(range(125))):
        line.send(9, data)
        assert await line.frame() == (10, data)
    line.writer.write(client_frame(1, b"{", fin=False) + client_frame(9, b"between"))
    assert await line.frame() == (10, b"between")
    line.writer.write(client_frame(0, b"}"))
    assert await line.frame() == (1, b"{}")  # Mozilla's own ping
    line.send(10, b"nobody asked")  # section 5.5.3: an unsolicited pong is no error
    line.send(9, b"last")
    assert await line.frame() == (10, b"last")
    await line.end()


async def test_close_is_answered_with_a_close_and_nothing_after_it(world: World) -> None:
    """Section 5.5.1; section 7.1.1: the server closes the connection."""
    line = await greeted(world)
    line.writer.write(client_frame(8, b"\x03\xe8") + client_frame(9, b"too late"))
    assert await line.closed() == CloseCode.NORMAL
    async with asyncio.timeout(PATIENCE_S):
        assert await line.reader.read() == b""
    await line.end()


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"\x81\x02{}", CloseCode.PROTOCOL_ERROR),  # 5.1: not masked
        (b"\xc1\x82abcd{}", CloseCode.PROTOCOL_ERROR),  # 5.2: a reserved bit
        (client_frame(3, b""), CloseCode.PROTOCOL_ERROR),  # 5.2: an unknown opcode
        (client_frame(9, b"a", fin=False), CloseCode.PROTOCOL_ERROR),  # 5.5: control in fragments
        (client_frame(9, b"a" * 126), CloseCode.PROTOCOL_ERROR),  # 5.5: control too long
        (client_frame(1, b"\xff"), CloseCode.INVALID_DATA),  # 8.1
        (client_frame(2, b"{}"), CloseCode.UNSUPPORTED),  # 7.4.1: only text is spoken
        (b"\x81\xff" + (2**63).to_bytes(8, "big"), CloseCode.TOO_BIG),  # 10.4, 5.2
    ],
)
async def test_broken_frame_fails_the_connection_with_its_code(
    world: World, octets: bytes, code: CloseCode
) -> None:
    """Sections 5 to 8 and 10.4: the connection MUST be failed."""
    line = await greeted(world)
    line.writer.write(octets)
    assert await line.closed() == code
    await line.end()
