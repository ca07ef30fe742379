"""RFC 6455, frame by frame."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.e2e.push_world import client_frame

from clarion.wire.websocket import (
    Binary,
    Close,
    CloseCode,
    Event,
    FrameReader,
    Ping,
    Pong,
    Text,
    WebSocketError,
    close_frame,
    ping_frame,
    read_upgrade,
    text_frame,
)

LIMIT = 1000


def refused(data: bytes) -> CloseCode:
    """How a reader closes upon octets."""
    with pytest.raises(WebSocketError) as caught:
        FrameReader(LIMIT).feed(data)
    return caught.value.code


@given(st.lists(st.binary(max_size=900), max_size=5), st.integers(1, 40))
def test_messages_are_read_however_they_are_cut(bodies: list[bytes], step: int) -> None:
    """The network cuts anywhere."""
    data = b"".join(client_frame(2, body) for body in bodies)
    reader = FrameReader(LIMIT)
    events: list[Event] = []
    for at in range(0, len(data), step):
        events += reader.feed(data[at : at + step])
    assert events == [Binary(body) for body in bodies]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=6))
def test_fragments_make_one_message_with_pings_between(parts: list[str]) -> None:
    """Section 5.4: control frames may stand between fragments."""
    reader = FrameReader(LIMIT)
    events: list[Event] = []
    for number, part in enumerate(parts):
        opcode = 1 if number == 0 else 0
        events += reader.feed(
            client_frame(opcode, part.encode(), fin=number == len(parts) - 1)
            + client_frame(9, b"?")
        )
    assert events.count(Ping(b"?")) == len(parts)
    assert [event for event in events if isinstance(event, Text)] == [Text("".join(parts).encode())]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01a", CloseCode.PROTOCOL_ERROR),  # unmasked
        (b"\xc1\x80abcd", CloseCode.PROTOCOL_ERROR),  # a reserved bit
        (client_frame(3, b""), CloseCode.PROTOCOL_ERROR),
        (client_frame(11, b""), CloseCode.PROTOCOL_ERROR),
        (client_frame(9, b"", fin=False), CloseCode.PROTOCOL_ERROR),
        (client_frame(9, b"a" * 126), CloseCode.PROTOCOL_ERROR),
        (client_frame(0, b"a"), CloseCode.PROTOCOL_ERROR),
        (client_frame(1, b"a", fin=False) + client_frame(1, b"b"), CloseCode.PROTOCOL_ERROR),
        (client_frame(1, b"\xff"), CloseCode.INVALID_DATA),
        (client_frame(8, b"a"), CloseCode.PROTOCOL_ERROR),
        (client_frame(8, b"\x03\xee"), CloseCode.PROTOCOL_ERROR),  # 1006 is never sent
        (client_frame(8, b"\x03\xe8\xff"), CloseCode.INVALID_DATA),
        (client_frame(1, b"a" * (LIMIT + 1)), CloseCode.TOO_BIG),
        (b"\x81\xff" + (2**62).to_bytes(8, "big"), CloseCode.TOO_BIG),  # before it is sent
        (client_frame(1, b"", fin=False) + client_frame(0, b"", fin=False) * 1100,
         CloseCode.TOO_BIG),
    ],
)  # fmt: skip
def test_broken_frames_are_refused_with_their_code(data: bytes, code: CloseCode) -> None:
    """Sections 5 and 7.4.1."""
    assert refused(data) is code


@given(st.binary(max_size=200))
def test_garbage_never_does_more_than_refuse(data: bytes) -> None:
    """Any octets are events, patience, or a refusal."""
    with suppress(WebSocketError):
        FrameReader(LIMIT).feed(data)


def test_close_and_pong_are_read() -> None:
    """With and without a code."""
    reader = FrameReader(LIMIT)
    data = client_frame(10, b"x") + client_frame(8, b"") + client_frame(8, b"\x12\xa6bye")
    assert reader.feed(data) == [Pong(b"x"), Close(None, ""), Close(4774, "bye")]


def test_frames_are_written_with_the_shortest_length() -> None:
    """Section 5.2."""
    assert text_frame(b"a" * 125)[:2] == bytes([0x81, 125])
    assert text_frame(b"a" * 126)[:4] == bytes([0x81, 126, 0, 126])
    assert text_frame(b"a" * 65536)[:3] == bytes([0x81, 127, 0])
    assert ping_frame() == b"\x89\x00"
    assert len(close_frame(1000, "ä" * 200)) <= 2 + 125


def test_upgrade_example_of_the_rfc_is_answered_as_printed() -> None:
    """Section 1.3."""
    fields = {
        "host": "server.example.com", "upgrade": "websocket", "connection": "keep-alive, Upgrade",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-protocol": "chat, superchat",
    }  # fmt: skip
    upgrade = read_upgrade(fields)
    assert upgrade.accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert upgrade.offered == ("chat", "superchat")
    for name in ("upgrade", "connection", "sec-websocket-version", "sec-websocket-key"):
        with pytest.raises(WebSocketError):
            read_upgrade({**fields, name: "x"})
