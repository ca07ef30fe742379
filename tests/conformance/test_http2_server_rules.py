"""What RFC 9113 says a server must do about a client that breaks it, one row per rule."""
# ruff: noqa: E501 - a rule is read best on one line, as the row of a table

import struct
from typing import NamedTuple

import pytest
from hpack import Encoder, NeverIndexedHeaderTuple

from clarion.wire.http2 import frames
from clarion.wire.http2.errors import ErrorCode
from clarion.wire.http2.server import ServerConnection, ServerLimits
from clarion.wire.http2.server_events import (
    ConnectionFailed,
    PeerLeft,
    RequestRead,
    StreamCancelled,
    StreamRefused,
)

GET = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "example.com")]
POST = [(":method", "POST"), *GET[1:]]
E = ErrorCode


def block(fields: list[tuple[str, str]]) -> bytes:
    """A header block that leaves the dynamic table alone."""
    # Never-indexed literals (RFC 7541 section 6.2.3) enter no table.
    encoded: bytes = Encoder().encode(
        [NeverIndexedHeaderTuple(*field) for field in fields], huffman=False
    )
    return encoded


def headers(
    stream: int, fields: list[tuple[str, str]] = GET, *, flags: int = frames.END_STREAM
) -> bytes:
    """A HEADERS frame with a whole block; END_STREAM unless told otherwise."""
    return frames.frame(frames.HEADERS, flags | frames.END_HEADERS, stream, block(fields))


def data(stream: int, octets: bytes = b"x", flags: int = frames.END_STREAM) -> bytes:
    """A DATA frame; END_STREAM unless told otherwise."""
    return frames.frame(frames.DATA, flags, stream, octets)


def word(value: int) -> bytes:
    """Four octets."""
    return struct.pack(">I", value)


def setting(key: int, value: int) -> bytes:
    """A SETTINGS frame with one setting."""
    return frames.settings_frame({key: value})


def connected(**limits: int) -> ServerConnection:
    """A server that has read the preface and SETTINGS."""
    server = ServerConnection(ServerLimits(**limits))
    assert server.feed(frames.PREFACE + frames.settings_frame({})) == []
    server.pull()
    return server


def sent(server: ServerConnection) -> list[tuple[int, int, int, bytes]]:
    """(type, flags, stream, payload) of all frames written since the last call."""
    octets = server.pull()
    found = []
    while octets:
        head, flags, stream = struct.unpack_from(">IBI", octets)
        end = 9 + (head >> 8)
        found.append((head & 0xFF, flags, stream, octets[9:end]))
        octets = octets[end:]
    return found


class Fault(NamedTuple):
    """What a client does wrong, and the code it gets."""

    section: str
    what: str
    octets: bytes
    code: ErrorCode


PADDED_END = frames.PADDED | frames.END_STREAM
CONNECTION_FAULTS = [
    Fault("4.2", "a frame above MAX_FRAME_SIZE", data(1, bytes(16_385)), E.FRAME_SIZE_ERROR),
    Fault("4.3", "an undecodable header block", frames.frame(1, 5, 1, b"\xff\xff\xff\xff\xff\xff\xff"), E.COMPRESSION_ERROR),
    Fault("4.3", "an index outside the table", frames.frame(1, 5, 1, b"\xbe"), E.COMPRESSION_ERROR),
    Fault("4.3", "a truncated header block", frames.frame(1, 5, 1, b"\x04\x05/ab"), E.COMPRESSION_ERROR),
    Fault("5.1", "DATA on an idle stream", data(1), E.PROTOCOL_ERROR),
    Fault("5.1", "RST_STREAM on an idle stream", frames.reset_frame(1, E.CANCEL), E.PROTOCOL_ERROR),
    Fault("5.1", "WINDOW_UPDATE on an idle stream", frames.window_frame(1, 1), E.PROTOCOL_ERROR),
    Fault("5.1", "DATA on a stream the client has reset", headers(1, POST, flags=0) + frames.reset_frame(1, E.CANCEL) + data(1), E.STREAM_CLOSED),
    Fault("5.1.1", "HEADERS on an even stream", headers(2), E.PROTOCOL_ERROR),
    Fault("5.1.1", "a stream number that goes backwards", headers(5) + headers(3), E.PROTOCOL_ERROR),
    Fault("6.1", "DATA on stream 0", data(0), E.PROTOCOL_ERROR),
    Fault("6.1", "padding as long as the payload", headers(1, POST, flags=0) + data(1, b"\x04abc", PADDED_END), E.PROTOCOL_ERROR),
    Fault("6.2", "HEADERS on stream 0", headers(0), E.PROTOCOL_ERROR),
    Fault("6.2", "padding as long as the header block", frames.frame(1, 0xD, 1, b"\x09abc"), E.PROTOCOL_ERROR),
    Fault("6.2", "HEADERS too short for its priority", frames.frame(1, 0x25, 1, b"abc"), E.FRAME_SIZE_ERROR),
    Fault("6.3", "PRIORITY on stream 0", frames.frame(2, 0, 0, bytes(5)), E.PROTOCOL_ERROR),
    Fault("6.3", "PRIORITY of 4 octets", frames.frame(2, 0, 1, bytes(4)), E.FRAME_SIZE_ERROR),
    Fault("6.4", "RST_STREAM on stream 0", frames.reset_frame(0, E.CANCEL), E.PROTOCOL_ERROR),
    Fault("6.4", "RST_STREAM of 5 octets", headers(1) + frames.frame(3, 0, 1, bytes(5)), E.FRAME_SIZE_ERROR),
    Fault("6.5", "SETTINGS on a stream", frames.frame(4, 0, 1), E.PROTOCOL_ERROR),
    Fault("6.5", "SETTINGS of 5 octets", frames.frame(4, 0, 0, bytes(5)), E.FRAME_SIZE_ERROR),
    Fault("6.5", "SETTINGS ACK with a payload", frames.frame(4, 1, 0, bytes(6)), E.FRAME_SIZE_ERROR),
    Fault("6.5.2", "ENABLE_PUSH of 2", setting(frames.ENABLE_PUSH, 2), E.PROTOCOL_ERROR),
    Fault("6.5.2", "INITIAL_WINDOW_SIZE of 2^31", setting(frames.INITIAL_WINDOW_SIZE, 1 << 31), E.FLOW_CONTROL_ERROR),
    Fault("6.5.2", "MAX_FRAME_SIZE too small", setting(frames.MAX_FRAME_SIZE, 16_383), E.PROTOCOL_ERROR),
    Fault("6.5.2", "MAX_FRAME_SIZE too large", setting(frames.MAX_FRAME_SIZE, 1 << 24), E.PROTOCOL_ERROR),
    Fault("6.5.3", "a second ACK of one SETTINGS", frames.frame(4, 1, 0) * 2, E.PROTOCOL_ERROR),
    Fault("6.6", "PUSH_PROMISE", headers(1) + frames.frame(5, 4, 1, word(2)), E.PROTOCOL_ERROR),
    Fault("6.7", "PING on a stream", frames.frame(6, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
    Fault("6.7", "PING of 7 octets", frames.frame(6, 0, 0, bytes(7)), E.FRAME_SIZE_ERROR),
    Fault("6.8", "GOAWAY on a stream", frames.frame(7, 0, 1, bytes(8)), E.PROTOCOL_ERROR),
    Fault("6.8", "GOAWAY of 7 octets", frames.frame(7, 0, 0, bytes(7)), E.FRAME_SIZE_ERROR),
    Fault("6.9", "WINDOW_UPDATE of 0 for the connection", frames.window_frame(0, 0), E.PROTOCOL_ERROR),
    Fault("6.9", "WINDOW_UPDATE of 3 octets", frames.frame(8, 0, 0, bytes(3)), E.FRAME_SIZE_ERROR),
    Fault("6.9.1", "a connection window above 2^31 - 1", frames.window_frame(0, (1 << 31) - 1), E.FLOW_CONTROL_ERROR),
    Fault("6.9.2", "INITIAL_WINDOW_SIZE that overflows a window", headers(1) + frames.window_frame(1, 1 << 30) + setting(frames.INITIAL_WINDOW_SIZE, (1 << 31) - 1), E.FLOW_CONTROL_ERROR),
    Fault("6.10", "CONTINUATION without HEADERS", frames.frame(9, 4, 1, b""), E.PROTOCOL_ERROR),
    Fault("6.10", "CONTINUATION on stream 0", frames.frame(9, 4, 0, b""), E.PROTOCOL_ERROR),
    Fault("6.10", "PING inside a header block", frames.frame(1, 1, 1, block(GET)) + frames.frame(6, 0, 0, bytes(8)), E.PROTOCOL_ERROR),
    Fault("6.10", "an unknown frame inside a header block", frames.frame(1, 1, 1, block(GET)) + frames.frame(0xFA, 0, 0), E.PROTOCOL_ERROR),
    Fault("6.10", "CONTINUATION of another stream", frames.frame(1, 1, 1, block(GET)) + frames.frame(9, 4, 3), E.PROTOCOL_ERROR),
    Fault("10.5.1", "a header block without end", frames.frame(1, 1, 1) + frames.frame(9, 0, 1, b"\x86" * 16_384) * 5, E.ENHANCE_YOUR_CALM),
    Fault("10.5.1", "a header list that is too long", frames.frame(1, 5, 1, block(GET) + b"\x86" * 2000), E.ENHANCE_YOUR_CALM),
]  # fmt: skip


@pytest.mark.parametrize("fault", CONNECTION_FAULTS, ids=lambda f: f"{f.section} {f.what}")
def test_a_connection_error_ends_the_connection_with_goaway(fault: Fault) -> None:
    """Section 5.4.1: GOAWAY carries the error code; nothing is read afterwards."""
    server = connected()
    events = server.feed(fault.octets)
    assert isinstance(events[-1], ConnectionFailed)
    assert events[-1].code == fault.code, events[-1].reason
    kind, _, stream, payload = sent(server)[-1]
    assert (kind, stream) == (frames.GOAWAY, 0)
    assert payload[4:8] == word(fault.code)
    assert server.finished
    assert server.feed(headers(99)) == []


def request(*fields: tuple[str, str], base: list[tuple[str, str]] = GET) -> bytes:
    """A request on stream 1 with more fields."""
    return headers(1, [*base, *fields])


def without(name: str) -> list[tuple[str, str]]:
    """The fields of GET without one of them."""
    return [field for field in GET if field[0] != name]


STREAM_FAULTS = [
    Fault("5.1", "DATA after END_STREAM", headers(1) + data(1), E.STREAM_CLOSED),
    Fault("5.1", "HEADERS after END_STREAM", headers(1) + headers(1), E.STREAM_CLOSED),
    Fault("6.9", "WINDOW_UPDATE of 0 for a stream", headers(1) + frames.window_frame(1, 0), E.PROTOCOL_ERROR),
    Fault("6.9.1", "a stream window above 2^31 - 1", headers(1) + frames.window_frame(1, (1 << 31) - 1), E.FLOW_CONTROL_ERROR),
    Fault("8.1", "trailers without END_STREAM", headers(1, POST, flags=0) + headers(1, [("a", "b")], flags=0), E.PROTOCOL_ERROR),
    Fault("8.1", "a pseudo-header field in trailers", headers(1, POST, flags=0) + headers(1, [(":path", "/")]), E.PROTOCOL_ERROR),
    Fault("8.1.1", "content-length above the content", headers(1, [*POST, ("content-length", "2")], flags=0) + data(1), E.PROTOCOL_ERROR),
    Fault("8.1.1", "content-length below the content", headers(1, [*POST, ("content-length", "0")], flags=0) + data(1), E.PROTOCOL_ERROR),
    Fault("8.1.1", "content-length without content", request(("content-length", "1")), E.PROTOCOL_ERROR),
    Fault("8.1.1", "content-length that is no number", request(("content-length", "+1")), E.PROTOCOL_ERROR),
    Fault("8.1.1", "content-length of 5000 digits", request(("content-length", "9" * 5000)), E.PROTOCOL_ERROR),
    Fault("8.1.1", "two content-lengths", request(("content-length", "0"), ("content-length", "1")), E.PROTOCOL_ERROR),
    Fault("8.2.1", "an upper-case field name", request(("X-A", "b")), E.PROTOCOL_ERROR),
    Fault("8.2.1", "an empty field name", request(("", "b")), E.PROTOCOL_ERROR),
    Fault("8.2.1", "a space in a field name", request(("a b", "b")), E.PROTOCOL_ERROR),
    Fault("8.2.1", "a line feed in a value", request(("a", "b\nc")), E.PROTOCOL_ERROR),
    Fault("8.2.1", "a value that ends in a line feed", request(("a", "b\n")), E.PROTOCOL_ERROR),
    Fault("8.2.1", "NUL in a value", request(("a", "\0")), E.PROTOCOL_ERROR),
    Fault("8.2.1", "a value that starts with a space", request(("a", " b")), E.PROTOCOL_ERROR),
    Fault("8.2.1", "a value that ends in a tab", request(("a", "b\t")), E.PROTOCOL_ERROR),
    Fault("8.2.2", "connection", request(("connection", "close")), E.PROTOCOL_ERROR),
    Fault("8.2.2", "transfer-encoding", request(("transfer-encoding", "chunked")), E.PROTOCOL_ERROR),
    Fault("8.2.2", "te other than trailers", request(("te", "gzip")), E.PROTOCOL_ERROR),
    Fault("8.3", "a pseudo-header field after a regular one", headers(1, [*GET[:3], ("a", "b"), GET[3]]), E.PROTOCOL_ERROR),
    Fault("8.3", "an unknown pseudo-header field", request((":protocol", "x"), base=GET[:3]), E.PROTOCOL_ERROR),
    Fault("8.3", "a response's pseudo-header field", headers(1, [*GET, (":status", "200")]), E.PROTOCOL_ERROR),
    Fault("8.3.1", "two paths", headers(1, [*GET, (":path", "/")]), E.PROTOCOL_ERROR),
    Fault("8.3.1", "no method", headers(1, without(":method")), E.PROTOCOL_ERROR),
    Fault("8.3.1", "no scheme", headers(1, without(":scheme")), E.PROTOCOL_ERROR),
    Fault("8.3.1", "no path", headers(1, without(":path")), E.PROTOCOL_ERROR),
    Fault("8.3.1", "an empty path", headers(1, [*without(":path"), (":path", "")]), E.PROTOCOL_ERROR),
    Fault("8.3.1", "a path without a slash", headers(1, [*without(":path"), (":path", "a")]), E.PROTOCOL_ERROR),
    Fault("8.3.1", "neither authority nor host", headers(1, without(":authority")), E.PROTOCOL_ERROR),
    Fault("8.3.1", "host unlike the authority", request(("host", "other.example")), E.PROTOCOL_ERROR),
    Fault("8.3.1", "user information in the authority", headers(1, [*GET[:3], (":authority", "u@example.com")]), E.PROTOCOL_ERROR),
    Fault("8.5", "CONNECT with a path", headers(1, [(":method", "CONNECT"), *GET[1:]]), E.PROTOCOL_ERROR),
]  # fmt: skip


@pytest.mark.parametrize("fault", STREAM_FAULTS, ids=lambda f: f"{f.section} {f.what}")
def test_a_stream_error_resets_the_stream_and_nothing_else(fault: Fault) -> None:
    """Section 5.4.2: RST_STREAM carries the error code and the connection goes on."""
    server = connected()
    events = server.feed(fault.octets)
    refused = events[-1]
    assert isinstance(refused, StreamRefused)
    assert (refused.stream, refused.code) == (1, fault.code), refused.reason
    assert (frames.RST_STREAM, 0, 1, word(fault.code)) in sent(server)
    following = server.feed(headers(3))
    assert [event.stream for event in following if isinstance(event, RequestRead)] == [3]


FIRST_OCTETS = [
    ("another protocol", b"GET / HTTP/1.1\r\n\r\n"),
    ("a wrong preface", frames.PREFACE[:-1] + b"x"),
    ("HEADERS before SETTINGS", frames.PREFACE + headers(1)),
    ("an ACK before SETTINGS", frames.PREFACE + frames.frame(4, 1, 0)),
]


@pytest.mark.parametrize(
    ("what", "octets"), FIRST_OCTETS, ids=lambda p: p if isinstance(p, str) else ""
)
def test_the_connection_must_start_with_the_preface_and_settings(what: str, octets: bytes) -> None:
    """Section 3.4: anything else is a connection error PROTOCOL_ERROR."""
    events = ServerConnection(ServerLimits()).feed(octets)
    assert [type(event) for event in events] == [ConnectionFailed], what
    assert isinstance(events[0], ConnectionFailed)
    assert events[0].code == E.PROTOCOL_ERROR


ALLOWED = [
    ("5.1 frames for a stream we have just reset", headers(1, [("x", "y")], flags=0) + data(1)),
    ("4.1 an unknown frame type", frames.frame(0xFA, 0xFF, 7, b"?") + headers(3)),
    ("6.3 PRIORITY in any state", frames.frame(2, 0, 9, bytes(5)) + headers(3)),
    ("6.5.2 an unknown setting", setting(0xFFFF, 1)),
    ("6.7 an ACK of a PING nobody sent", frames.frame(6, 1, 0, bytes(8))),
    ("6.9 WINDOW_UPDATE on a stream the client has reset", headers(1) + frames.reset_frame(1, E.CANCEL) + frames.window_frame(1, 1)),
    ("6.10 an empty CONTINUATION", frames.frame(1, 1, 1, block(GET)) + frames.frame(9, 0, 1) + frames.frame(9, 4, 1)),
    ("6.2 priority and padding", frames.frame(1, 0x2D, 1, b"\x02" + bytes(5) + block(GET) + b"\0\0")),
    ("4.1 the reserved bit of the stream number", frames.frame(1, 5, 1, block(GET)).replace(b"\0\0\0\x01", b"\x80\0\0\x01", 1)),
]  # fmt: skip


@pytest.mark.parametrize(("what", "octets"), ALLOWED, ids=lambda p: p if isinstance(p, str) else "")
def test_what_the_rfc_allows_or_tells_to_ignore_does_no_harm(what: str, octets: bytes) -> None:
    """The connection still takes requests afterwards."""
    server = connected()
    events = [*server.feed(octets), *server.feed(headers(11))]
    assert not any(isinstance(event, ConnectionFailed) for event in events), what
    assert isinstance(events[-1], RequestRead)
    assert events[-1].stream == 11


def test_ping_is_answered_with_the_same_octets() -> None:
    """Section 6.7."""
    server = connected()
    server.feed(frames.frame(frames.PING, 0, 0, b"12345678"))
    assert sent(server) == [(frames.PING, frames.ACK, 0, b"12345678")]


def test_streams_beyond_the_limit_are_refused_and_their_fields_still_decoded() -> None:
    """Section 5.1.2; the header table belongs to the connection (4.3)."""
    server = connected(max_streams=2)
    encoder = Encoder()
    octets = b""
    for stream in (1, 3, 5):
        fields = [*GET, ("marker", str(stream))]
        octets += frames.frame(frames.HEADERS, 5, stream, encoder.encode(fields))
    events = server.feed(octets)
    assert [type(event) for event in events] == [RequestRead, RequestRead, StreamRefused]
    server.respond(1, 200)
    sent(server)
    again = encoder.encode([*GET, ("marker", "5")])
    (event,) = server.feed(frames.frame(frames.HEADERS, 5, 7, again))
    assert isinstance(event, RequestRead)
    assert event.fields == ((b"marker", b"5"),)


def test_a_lower_limit_binds_once_the_client_has_acknowledged_it() -> None:
    """Section 6.5.3: until then the client may act on the old value."""
    server = connected(max_streams=3)
    server.feed(frames.frame(4, frames.ACK, 0))
    server.announce_max_streams(1)
    assert len(server.feed(headers(1) + headers(3))) == 2
    assert server.open_streams == 2
    server.feed(frames.frame(4, frames.ACK, 0))
    (event,) = server.feed(headers(5))
    assert isinstance(event, StreamRefused)
    assert event.code == E.REFUSED_STREAM


def test_after_goaway_promised_streams_finish_and_later_ones_are_ignored() -> None:
    """Section 6.8."""
    server = connected()
    server.feed(headers(1) + headers(3))
    server.go_away(b"bye")
    assert sent(server) == [(frames.GOAWAY, 0, 0, word(3) + word(0) + b"bye")]
    assert server.feed(headers(5) + headers(7, POST, flags=0) + data(7)) == []
    server.respond(5, 200)
    assert sent(server) == []
    server.respond(1, 200)
    assert server.open_streams == 1
    server.respond(3, 200)
    assert server.finished
    assert [frame[2] for frame in sent(server)] == [1, 3]


def test_a_client_that_leaves_is_reported() -> None:
    """Section 6.8: GOAWAY from the client, with its debug data."""
    assert connected().feed(frames.goaway_frame(0, E.NO_ERROR, b"done")) == [PeerLeft(0, b"done")]


def test_a_cancelled_stream_gets_no_answer() -> None:
    """Section 5.4.2: after RST_STREAM nothing more is sent on the stream."""
    server = connected()
    events = server.feed(headers(1) + frames.reset_frame(1, E.CANCEL))
    assert events[-1] == StreamCancelled(1, E.CANCEL)
    server.respond(1, 200, (), b"late")
    assert sent(server) == []


def test_status_200_alone_is_one_octet_once_the_table_size_is_settled() -> None:
    """RFC 7541 section 6.1; a smaller table is first acknowledged in a block (RFC 9113 4.3.1)."""
    server = connected()
    server.feed(frames.settings_frame({frames.HEADER_TABLE_SIZE: 0}) + headers(1) + headers(3))
    sent(server)
    server.respond(1, 200)
    server.respond(3, 200)
    assert [frame[3] for frame in sent(server)] == [b"\x20\x88", b"\x88"]


def test_a_flood_of_data_is_a_flow_control_error() -> None:
    """Section 6.9.1: of the stream where its window is exceeded, else of the connection."""
    server = connected(stream_window=65_535, connection_window=1 << 20)
    server.feed(headers(1, POST, flags=0))
    first = server.feed(data(1, bytes(16_384), 0) * 4)
    assert first == []
    small = connected(stream_window=100)
    (event,) = small.feed(headers(1, POST, flags=0) + data(1, bytes(101), 0))
    assert isinstance(event, StreamRefused)
    assert event.code == E.FLOW_CONTROL_ERROR


def test_content_above_the_limit_is_reset() -> None:
    """Section 10.5: a server bounds what it keeps."""
    server = connected(body=1000)
    (event,) = server.feed(headers(1, POST, flags=0) + data(1, bytes(1001), 0))
    assert isinstance(event, StreamRefused)
    assert event.code == E.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("field", [(b"a", b"b\r\nc"), (b"Upper", b"x"), (b"connection", b"close")])
def test_answers_that_http2_cannot_carry_are_refused(field: tuple[bytes, bytes]) -> None:
    """Section 8.2: a malformed answer is a bug of the caller."""
    server = connected()
    server.feed(headers(1))
    with pytest.raises(ValueError, match=r"field name|forbidden octet"):
        server.respond(1, 200, (field,))
