"""What RFC 9113 demands of a client, section by section."""

import struct
from typing import TypeVar

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from clarion.wire.http2 import (
    Answer,
    Batch,
    Cause,
    Connection,
    ErrorCode,
    Failure,
    HeaderSet,
    LocalSettings,
    State,
    literal_field,
)
from clarion.wire.http2.states import TRANSITIONS, Input

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS = HeaderSet(path_prefix=b"/3/device/", headers=((b"apns-topic", b"org.example"),))
OK = b"\x88"
GONE = b"\x48\x03410"
MANY = 1000
FrameT = TypeVar("FrameT", bound=Frame)


def raw(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    """A frame of our own making, lawful or not."""
    return (
        struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream_id) + payload
    )


def frames_of(data: bytes) -> list[Frame]:
    """The frames in some octets, read by `hyperframe`."""
    out: list[Frame] = []
    data = data.removeprefix(PREFACE)
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        frame.parse_body(memoryview(data[9 : 9 + length]))
        out.append(frame)
        data = data[9 + length :]
    return out


def _only(data: bytes, kind: type[FrameT]) -> list[FrameT]:
    return [frame for frame in frames_of(data) if isinstance(frame, kind)]


def opened(
    settings: dict[int, int] | None = None, local: LocalSettings | None = None
) -> Connection:
    """A connection whose server has said its SETTINGS, with nothing left to write."""
    connection = Connection(b"push.example", settings=local)
    connection.pull(0.0)
    connection.feed(SettingsFrame(0, settings or {}).serialize(), 0.0)
    connection.pull(0.0)
    return connection


def sending(
    count: int = 5,
    body: bytes = b"",
    settings: dict[int, int] | None = None,
    local: LocalSettings | None = None,
    *,
    keep_bodies: bool = False,
) -> tuple[Connection, Batch]:
    """A connection with so many requests written."""
    connection = opened(settings, local)
    batch = Batch(HEADERS, [b"%04d" % i for i in range(count)], body=body, keep_bodies=keep_bodies)
    connection.submit(batch, 0.0)
    connection.pull(0.0)
    return connection, batch


def state_of(connection: Connection) -> State:
    """The state, freshly read."""
    return connection.state


def headers(sid: int, block: bytes, *flags: str) -> bytes:
    """HEADERS, by default the whole of an answer."""
    frame = HeadersFrame(sid, block)
    for flag in flags or ("END_HEADERS", "END_STREAM"):
        frame.flags.add(flag)
    return frame.serialize()


def data(sid: int, payload: bytes, *flags: str, pad: int = 0) -> bytes:
    """DATA, padded when PADDED is among the flags."""
    frame = DataFrame(sid, payload, pad_length=pad)
    for flag in flags:
        frame.flags.add(flag)
    return frame.serialize()


def ended_with(connection: Connection) -> ErrorCode | None:
    """The code of the GOAWAY the connection ended with, or None while it lives."""
    found = _only(connection.pull(0.0), GoAwayFrame)
    return ErrorCode(found[-1].error_code) if found else None


FAULTS = [
    ("3.4: the first frame is SETTINGS", None, PingFrame(0, b"12345678").serialize(), 1),
    ("3.4: the first frame is no ACK", None, raw(4, 1, 0, b""), 1),
    ("4.2: no frame above MAX_FRAME_SIZE", 1, raw(0, 0, 1, bytes(16_385)), 6),
    ("4.2: not even its beginning", 1, raw(9, 0, 1, bytes(20_000))[:9], 6),
    ("4.3: a block that does not decode", 1, headers(1, b"\xff\xff\xff\xff\xff\xff\xff"), 9),
    ("5.1: HEADERS on an idle stream", 1, headers(3, OK), 1),
    ("5.1: DATA on an idle stream", 1, data(3, b"x"), 1),
    ("5.1: RST_STREAM on an idle stream", 1, raw(3, 0, 3, bytes(4)), 1),
    ("5.1: WINDOW_UPDATE on an idle stream", 1, raw(8, 0, 3, b"\0\0\0\1"), 1),
    ("5.1: HEADERS after END_STREAM", 5, headers(1, OK) + headers(1, OK), 5),
    ("5.1: DATA after END_STREAM", 5, headers(1, OK) + data(1, b"x", "END_STREAM"), 5),
    ("5.1: a second answer far behind", MANY, headers(1, OK) * 200, 5),
    ("5.1.1: an even stream is the server's", 5, headers(2, OK), 1),
    ("6.1: DATA on stream 0", 1, raw(0, 0, 0, b"x"), 1),
    ("6.1: more padding than payload", 1, headers(1, OK, "END_HEADERS") + raw(0, 8, 1, b"\5x"), 1),
    ("6.1: padding without its length", 1, headers(1, OK, "END_HEADERS") + raw(0, 8, 1, b""), 6),
    ("6.2: HEADERS on stream 0", 1, raw(1, 5, 0, OK), 1),
    ("6.2: no room for the priority", 1, raw(1, 0x25, 1, b"\0\0\0"), 6),
    ("6.3: PRIORITY on stream 0", 1, raw(2, 0, 0, bytes(5)), 1),
    ("6.4: RST_STREAM of the wrong size", 1, raw(3, 0, 1, bytes(3)), 6),
    ("6.4: RST_STREAM on stream 0", 1, raw(3, 0, 0, bytes(4)), 1),
    ("6.5: SETTINGS on a stream", 1, raw(4, 0, 1, b""), 1),
    ("6.5: SETTINGS of the wrong size", 1, raw(4, 0, 0, bytes(5)), 6),
    ("6.5: an ACK with a payload", 1, raw(4, 1, 0, bytes(6)), 6),
    ("6.5.2: a server can't enable push", 1, raw(4, 0, 0, struct.pack(">HI", 2, 1)), 1),
    ("6.5.2: initial window above 2^31-1", 1, raw(4, 0, 0, struct.pack(">HI", 4, 1 << 31)), 3),
    ("6.5.2: maximum frame too small", 1, raw(4, 0, 0, struct.pack(">HI", 5, 16_383)), 1),
    ("6.5.2: maximum frame too large", 1, raw(4, 0, 0, struct.pack(">HI", 5, 1 << 24)), 1),
    ("6.6: no push when push is disabled", 1, PushPromiseFrame(1, 2, OK).serialize(), 1),
    ("6.7: PING on a stream", 1, raw(6, 0, 1, bytes(8)), 1),
    ("6.7: PING of the wrong size", 1, raw(6, 0, 0, bytes(7)), 6),
    ("6.8: GOAWAY on a stream", 1, raw(7, 0, 1, bytes(8)), 1),
    ("6.8: GOAWAY of the wrong size", 1, raw(7, 0, 0, bytes(7)), 6),
    ("6.9: WINDOW_UPDATE of the wrong size", 1, raw(8, 0, 0, bytes(3)), 6),
    ("6.9: the connection's window grows by 0", 1, raw(8, 0, 0, bytes(4)), 1),
    ("6.9.1: the connection's window above 2^31-1", 1, raw(8, 0, 0, b"\x7f\xff\xff\xff"), 3),
    ("6.10: CONTINUATION of nothing", 1, raw(9, 4, 1, OK), 1),
    ("6.10: a section interrupted", 1, raw(1, 1, 1, OK) + raw(6, 0, 0, bytes(8)), 1),
    ("6.10: a section interrupted by its like", 5, raw(1, 1, 1, OK) + headers(3, OK), 1),
    ("6.10: CONTINUATION of another stream", 5, raw(1, 1, 1, OK) + raw(9, 4, 3, OK), 1),
    ("10.5: endless empty CONTINUATION", 1, raw(1, 1, 1, OK) + raw(9, 0, 1, b""), 11),
    ("10.5.1: a section too large", 1, raw(1, 1, 1, OK) + raw(9, 0, 1, bytes(16_000)) * 5, 11),
    ("10.5: a flood of PING", 1, PingFrame(0, b"12345678").serialize() * 10_001, 11),
]


@pytest.mark.parametrize(
    ("count", "octets", "code"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_a_breach_ends_the_connection_with_its_code(
    count: int | None, octets: bytes, code: int
) -> None:
    """Section 5.4.1: GOAWAY with the section's code; every open request ends with a failure."""
    if count is None:
        connection, batch = Connection(b"push.example"), Batch(HEADERS, [b"1"])
        connection.submit(batch, 0.0)
    else:
        connection, batch = sending(count)
    connection.feed(octets, 0.0)
    assert state_of(connection) is State.CLOSED
    assert ended_with(connection) == code
    assert connection.ending is not None
    assert connection.ending.cause is Cause.PEER_BROKE_PROTOCOL
    assert batch.done
    assert connection.open_streams == connection.queued == 0
    answered = sum(map(bool, batch.statuses))
    assert answered + len(batch.failures) == len(batch)
    assert set(batch.failures.values()) <= {Failure.CONNECTION_LOST, Failure.REFUSED}


BEGUN = headers(1, OK, "END_HEADERS")
STREAM_FAULTS = [
    ("8.1: a body before its headers", data(1, b"x"), 1),
    ("8.1: an interim answer can't end the stream", headers(1, b"\x48\x03103"), 1),
    ("8.1: trailers end the stream", BEGUN + headers(1, b"\0\1a\1b", "END_HEADERS"), 1),
    ("8.1: no pseudo-header in trailers", BEGUN + headers(1, b"\x48\x03201"), 1),
    ("8.3.2: no :status", headers(1, b"\0\1a\1b"), 1),
    ("8.3.2: :status of two digits", headers(1, b"\x48\x0241"), 1),
    ("8.2.1: an upper-case name", headers(1, GONE + b"\0\1A\1b"), 1),
    ("8.3: a pseudo-header after a field", headers(1, GONE + b"\0\1a\1b\x88"), 1),
    ("6.3: a PRIORITY of the wrong size", raw(2, 0, 1, bytes(4)), 6),
    ("6.9: a stream's window grows by 0", raw(8, 0, 1, bytes(4)), 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("octets", "code"), [f[1:] for f in STREAM_FAULTS], ids=[f[0] for f in STREAM_FAULTS]
)
def test_a_stream_error_resets_that_stream_alone(octets: bytes, code: int) -> None:
    """Section 5.4.2: RST_STREAM with the code; the other requests go on."""
    connection, batch = sending(3)
    connection.feed(octets, 0.0)
    resets = _only(connection.pull(0.0), RstStreamFrame)
    assert [(frame.stream_id, frame.error_code) for frame in resets] == [(1, code)]
    assert batch.failures == {0: Failure.RESET}
    connection.feed(headers(1, OK) + headers(3, OK) + headers(5, GONE), 0.0)
    assert list(batch.statuses) == [0, 200, 410]
    assert batch.done
    assert state_of(connection) is State.OPEN


def test_the_preface_comes_first_and_no_request_before_the_servers_settings() -> None:
    """Section 3.4."""
    connection = Connection(b"push.example")
    connection.submit(Batch(HEADERS, [b"1"]), 0.0)
    first = connection.pull(0.0)
    assert first.startswith(PREFACE)
    sent = frames_of(first)
    assert isinstance(sent[0], SettingsFrame)
    assert sent[0].settings[SettingsFrame.HEADER_TABLE_SIZE] == 0
    assert sent[0].settings[SettingsFrame.ENABLE_PUSH] == 0
    assert not _only(first, HeadersFrame)
    connection.feed(SettingsFrame(0, {}).serialize(), 0.0)
    then = frames_of(connection.pull(0.0))
    assert "ACK" in then[0].flags
    assert isinstance(then[1], HeadersFrame)


def test_the_reserved_bit_and_unknown_frames_and_settings_are_ignored() -> None:
    """Sections 4.1, 5.5 and 6.5.2."""
    connection, batch = sending(1)
    unknown = raw(0xBE, 0xFF, 1, b"grease")
    connection.feed(unknown + SettingsFrame(0, {0xF0F0: 7}).serialize(), 0.0)
    connection.feed(raw(1, 5, 1 | 1 << 31, OK), 0.0)
    assert list(batch.statuses) == [200]


def test_priority_is_ignored() -> None:
    """Section 5.3.2: as a frame, and inside HEADERS."""
    connection, batch = sending(1)
    with_priority = HeadersFrame(1, GONE, flags=["END_HEADERS", "END_STREAM", "PRIORITY"])
    connection.feed(PriorityFrame(1, depends_on=0).serialize() + with_priority.serialize(), 0.0)
    assert list(batch.statuses) == [410]


def test_padding_is_taken_off_and_counts_for_flow_control() -> None:
    """Sections 6.1, 6.2 and 6.9.1."""
    local = LocalSettings(connection_window=65_535, stream_window=65_535)
    connection, batch = sending(1, local=local)
    padded = HeadersFrame(1, GONE, pad_length=200, flags=["END_HEADERS", "PADDED"])
    connection.feed(padded.serialize(), 0.0)
    for _ in range(200):
        connection.feed(data(1, b"ab", "PADDED", pad=200), 0.0)
    grown = _only(connection.pull(0.0), WindowUpdateFrame)
    assert {frame.stream_id for frame in grown} == {0, 1}
    assert all(frame.window_increment > 200 * 100 for frame in grown)
    connection.feed(data(1, b"", "END_STREAM"), 0.0)
    assert batch.answers[0] == Answer(410, (), b"ab" * 200)


def test_a_field_section_may_come_in_continuations() -> None:
    """Section 6.10."""
    connection, batch = sending(2)
    octets = raw(1, 1, 1, GONE[:2]) + raw(9, 0, 1, GONE[2:4]) + raw(9, 4, 1, GONE[4:])
    connection.feed(octets + headers(3, OK), 0.0)
    assert list(batch.statuses) == [410, 200]


def test_a_large_request_block_goes_out_in_continuations() -> None:
    """Sections 4.2, 4.3 and 6.10."""
    connection = opened()
    large = HeaderSet(path_prefix=b"/", headers=((b"x-large", b"v" * 40_000),))
    connection.submit(Batch(large, [b"a"], body=b"{}"), 0.0)
    sent = frames_of(connection.pull(0.0))
    kinds = [type(frame) for frame in sent]
    assert kinds == [HeadersFrame, ContinuationFrame, ContinuationFrame, DataFrame]
    assert [("END_HEADERS" in frame.flags) for frame in sent[:3]] == [False, False, True]


@pytest.mark.parametrize("limit", [0, 1, 7])
def test_max_concurrent_streams_is_obeyed_as_it_changes(limit: int) -> None:
    """Sections 5.1.2 and 6.5.2: down, to nothing, and up again."""
    connection, batch = sending(100, settings={3: 10})
    assert connection.open_streams == 10
    connection.feed(SettingsFrame(0, {3: limit}).serialize(), 0.0)
    for sid in range(1, 21, 2):
        connection.feed(headers(sid, OK), 0.0)
        connection.pull(0.0)
        assert connection.open_streams <= max(limit, 10 - sid // 2 - 1)
    assert connection.open_streams == limit
    connection.feed(SettingsFrame(0, {3: 1000}).serialize(), 0.0)
    connection.pull(0.0)
    assert connection.open_streams == 90
    assert not batch.failures


def test_bodies_wait_for_the_connections_window() -> None:
    """Section 6.9.1: 65,535 octets to begin with, whatever SETTINGS say."""
    connection = opened({4: 1 << 20})
    connection.submit(Batch(HEADERS, [b"%d" % i for i in range(10)], body=bytes(10_000)), 0.0)
    sizes = [len(frame.data) for frame in _only(connection.pull(0.0), DataFrame)]
    assert sizes == [10_000] * 6
    for sid in range(1, 13, 2):
        connection.feed(headers(sid, OK), 0.0)
    # Nothing is open whose answer could let the window grow: what is left of it is used.
    assert [len(f.data) for f in _only(connection.pull(0.0), DataFrame)] == [5_535]
    connection.feed(WindowUpdateFrame(0, 100_000).serialize(), 0.0)
    rest = _only(connection.pull(0.0), DataFrame)
    assert sum(len(frame.data) for frame in rest) == 4_465 + 30_000


def test_a_body_larger_than_the_streams_window_goes_out_as_it_opens() -> None:
    """Section 6.9: several DATA frames, none above MAX_FRAME_SIZE."""
    connection = opened({4: 20_000})
    connection.submit(Batch(HEADERS, [b"a"], body=bytes(50_000)), 0.0)
    sizes = [len(frame.data) for frame in _only(connection.pull(0.0), DataFrame)]
    assert sizes == [16_384, 20_000 - 16_384]
    connection.feed(WindowUpdateFrame(1, 10_000).serialize(), 0.0)
    assert [len(f.data) for f in _only(connection.pull(0.0), DataFrame)] == [10_000]
    connection.feed(SettingsFrame(0, {4: 100_000}).serialize(), 0.0)
    last = _only(connection.pull(0.0), DataFrame)
    assert sum(len(frame.data) for frame in last) == 20_000
    assert "END_STREAM" in last[-1].flags


def test_a_window_may_become_negative() -> None:
    """Section 6.9.2: nothing is sent until it is positive again."""
    connection = opened({4: 20_000})
    connection.submit(Batch(HEADERS, [b"a"], body=bytes(50_000)), 0.0)
    connection.pull(0.0)
    connection.feed(SettingsFrame(0, {4: 5_000}).serialize(), 0.0)  # 15,000 below zero
    connection.feed(WindowUpdateFrame(1, 15_000).serialize(), 0.0)
    assert not _only(connection.pull(0.0), DataFrame)
    connection.feed(WindowUpdateFrame(1, 1).serialize(), 0.0)
    assert [len(f.data) for f in _only(connection.pull(0.0), DataFrame)] == [1]


def test_a_streams_window_above_the_maximum_resets_it() -> None:
    """Section 6.9.1: FLOW_CONTROL_ERROR on the stream."""
    connection = opened({4: 10})
    batch = Batch(HEADERS, [b"a"], body=bytes(50))
    connection.submit(batch, 0.0)
    connection.pull(0.0)
    connection.feed(raw(8, 0, 1, b"\x7f\xff\xff\xff") * 2, 0.0)
    assert [f.error_code for f in _only(connection.pull(0.0), RstStreamFrame)] == [3]
    assert batch.failures == {0: Failure.RESET}


def test_an_initial_window_that_overflows_an_open_one_ends_the_connection() -> None:
    """Section 6.9.2."""
    connection = opened({4: 10})
    connection.submit(Batch(HEADERS, [b"a"], body=bytes(60_000)), 0.0)
    connection.pull(0.0)
    connection.feed(WindowUpdateFrame(1, 40_000).serialize(), 0.0)
    connection.pull(0.0)
    connection.feed(WindowUpdateFrame(1, 1000).serialize(), 0.0)  # 1,000 not used yet
    connection.feed(SettingsFrame(0, {4: (1 << 31) - 1}).serialize(), 0.0)
    assert ended_with(connection) is ErrorCode.FLOW_CONTROL_ERROR


def test_a_server_that_overruns_the_connections_window_is_stopped() -> None:
    """Section 6.9.1: more than the window at once, before it could be widened."""
    local = LocalSettings(connection_window=65_535, max_body=1 << 20)
    connection, batch = sending(1, local=local)
    connection.feed(headers(1, GONE, "END_HEADERS"), 0.0)
    connection.feed(b"".join(data(1, bytes(16_000)) for _ in range(5)), 0.0)
    assert ended_with(connection) is ErrorCode.FLOW_CONTROL_ERROR
    assert batch.failures == {0: Failure.CONNECTION_LOST}


def test_a_server_that_overruns_a_streams_window_has_the_stream_reset() -> None:
    """Section 6.9.1."""
    local = LocalSettings(stream_window=20_000, max_body=1 << 20)
    connection, batch = sending(2, local=local)
    connection.feed(headers(1, GONE, "END_HEADERS"), 0.0)
    connection.feed(b"".join(data(1, bytes(9_000)) for _ in range(3)), 0.0)
    resets = _only(connection.pull(0.0), RstStreamFrame)
    assert [(f.stream_id, f.error_code) for f in resets] == [(1, 3)]
    assert batch.failures == {0: Failure.RESET}


def test_ping_is_answered_with_its_octets() -> None:
    """Section 6.7."""
    connection, _ = sending(1)
    connection.feed(PingFrame(0, b"abcdefgh").serialize(), 0.0)
    (answer,) = _only(connection.pull(0.0), PingFrame)
    assert answer.opaque_data == b"abcdefgh"
    assert "ACK" in answer.flags


def test_refused_stream_is_safe_to_send_again_and_other_resets_are_not() -> None:
    """Section 8.7."""
    connection, batch = sending(2)
    connection.feed(RstStreamFrame(1, 7).serialize() + RstStreamFrame(3, 8).serialize(), 0.0)
    assert batch.failures == {0: Failure.REFUSED, 1: Failure.RESET}
    assert batch.safe_failures() == [0]


def test_an_answer_before_the_body_is_sent_cuts_the_body_short() -> None:
    """Section 8.1: the answer counts, and the rest of the body is cancelled with NO_ERROR."""
    connection = opened({4: 10})
    batch = Batch(HEADERS, [b"a"], body=bytes(50))
    connection.submit(batch, 0.0)
    connection.pull(0.0)
    connection.feed(headers(1, b"\x48\x03413") + RstStreamFrame(1, 0).serialize(), 0.0)
    assert list(batch.statuses) == [413]
    connection.feed(WindowUpdateFrame(1, 100).serialize(), 0.0)
    sent = frames_of(connection.pull(0.0))
    assert [type(frame) for frame in sent] == [RstStreamFrame]


def test_goaway_twice_lowers_the_promise() -> None:
    """Section 6.8: a first GOAWAY of 2^31-1 refuses nothing, the second one does."""
    connection, batch = sending(3)
    connection.feed(GoAwayFrame(0, (1 << 31) - 1, 0).serialize(), 0.0)
    assert not batch.failures
    connection.feed(GoAwayFrame(0, 3, 0, b'{"reason":"Shutdown"}').serialize(), 0.0)
    assert batch.failures == {2: Failure.GOAWAY_ABOVE}
    assert connection.goaway is not None
    assert connection.goaway.debug == b'{"reason":"Shutdown"}'
    late = Batch(HEADERS, [b"late"])
    connection.submit(late, 0.0)
    assert late.failures == {0: Failure.REFUSED}
    connection.feed(headers(1, OK) + headers(3, OK), 0.0)
    assert state_of(connection) is State.CLOSED
    assert connection.ending is not None
    assert connection.ending.cause is Cause.DRAINED


def test_when_stream_ids_are_used_up_the_connection_drains() -> None:
    """Section 5.1.1: a new connection must be opened; nothing waits for ever."""
    connection = opened()
    connection._sender.next_stream_id = (1 << 31) - 5
    batch = Batch(HEADERS, [b"%d" % i for i in range(10)])
    connection.submit(batch, 0.0)
    sids = [frame.stream_id for frame in _only(connection.pull(0.0), HeadersFrame)]
    assert sids == [(1 << 31) - 5, (1 << 31) - 3, (1 << 31) - 1]
    assert state_of(connection) is State.DRAINING
    assert set(batch.failures) == set(range(3, 10))
    connection.feed(b"".join(headers(sid, OK) for sid in sids), 0.0)
    assert batch.done
    assert state_of(connection) is State.CLOSED


def test_a_request_names_its_parts_in_order() -> None:
    """Section 8.3: pseudo-header fields first; only :path and literals stay out of the table."""
    connection = opened()
    secret = HeaderSet(
        path_prefix=b"/3/",
        headers=((b"authorization", b"bearer x"), (b"ttl", b"5")),
        literal=frozenset({b"authorization"}),
    )
    extra = [literal_field(b"apns-id", b"%d" % i) for i in range(20)]
    batch = Batch(secret, [b"%d" % (10 + i) for i in range(20)], body=b"{}", extra=extra)
    connection.submit(batch, 0.0)
    decoder = Decoder()
    for at, frame in enumerate(_only(connection.pull(0.0), HeadersFrame)):
        fields = decoder.decode(frame.data, raw=True)
        assert fields == [
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", b"push.example"),
            (b":path", b"/3/%d" % (10 + at)),
            (b"authorization", b"bearer x"),
            (b"ttl", b"5"),
            (b"apns-id", b"%d" % at),
        ]
    inserted = {name for name, _ in decoder.header_table.dynamic_entries}
    assert inserted == {b":authority", b"ttl"}


def test_an_answer_that_never_comes_frees_everything_at_its_deadline() -> None:
    """The first token is bad and never answered: all others end, and it ends by its deadline."""
    connection, batch = sending(500, local=LocalSettings(stall_s=100.0))
    other = Batch(HEADERS, [b"x"] * 100, deadline_s=5.0)
    connection.submit(other, 0.0)
    connection.pull(0.0)
    connection.feed(b"".join(headers(sid, OK) for sid in range(3, 1201, 2)), 1.0)
    assert batch.left == 1
    assert other.done
    connection.tick(29.9)
    assert batch.left == 1
    connection.tick(30.3)
    assert batch.failures == {0: Failure.DEADLINE}
    assert batch.left == 0
    assert connection.idle
    assert state_of(connection) is State.OPEN


def test_the_deadline_cancels_the_stream_and_a_late_answer_is_ignored() -> None:
    """Section 5.1: frames on a stream we reset are of no account, and are no breach."""
    connection, batch = sending(3, local=LocalSettings(stall_s=100.0))
    connection.feed(headers(3, OK) + headers(5, OK), 1.0)
    connection.tick(30.0)
    assert batch.failures == {0: Failure.DEADLINE}
    assert [f.error_code for f in _only(connection.pull(30.0), RstStreamFrame)] == [8]
    assert connection.open_streams == 0
    connection.feed(headers(1, GONE, "END_HEADERS") + data(1, b"{}", "END_STREAM"), 31.0)
    assert state_of(connection) is State.OPEN
    assert list(batch.statuses) == [0, 200, 200]


def test_requests_that_wait_for_their_turn_end_as_refused_at_their_deadline() -> None:
    """With no stream allowed, nothing waits longer than its deadline."""
    connection, batch = sending(5, settings={3: 0}, local=LocalSettings(stall_s=100.0))
    connection.tick(29.0)
    assert not batch.done
    connection.tick(30.0)
    assert set(batch.failures.values()) == {Failure.REFUSED}
    assert batch.done


@pytest.mark.parametrize("limit", [0, 1])
def test_the_watchdog_ends_a_connection_on_which_nothing_moves(limit: int) -> None:
    """Written requests end as lost, waiting ones as refused; PINGs are no progress."""
    connection, batch = sending(3, settings={3: limit})
    connection.feed(PingFrame(0, b"12345678").serialize(), 19.0)
    connection.tick(19.0)
    assert state_of(connection) is State.OPEN
    connection.tick(20.0)
    assert connection.ending is not None
    assert connection.ending.cause is Cause.STUCK
    assert batch.done
    lost = list(batch.failures.values()).count(Failure.CONNECTION_LOST)
    assert (lost, len(batch.safe_failures())) == (limit, 3 - limit)


def test_silence_is_asked_about_by_ping_and_not_taken_for_ever() -> None:
    """Section 6.7: an idle connection that does not answer is given up."""
    connection = opened()
    connection.tick(30.0)
    assert len(_only(connection.pull(30.0), PingFrame)) == 1
    connection.feed(PingFrame(0, b"clarion?", flags=["ACK"]).serialize(), 31.0)
    connection.tick(61.0)
    assert len(_only(connection.pull(61.0), PingFrame)) == 1
    connection.tick(71.0)
    assert connection.ending is not None
    assert connection.ending.cause is Cause.SILENT


def test_a_server_without_settings_is_given_up() -> None:
    """Section 3.4: no preface came."""
    connection = Connection(b"push.example")
    connection.tick(10.0)
    assert ended_with(connection) is ErrorCode.SETTINGS_TIMEOUT


def test_a_host_that_uses_a_header_table_of_size_0_is_found_out() -> None:
    """RFC 7541, section 4.2: seen at its first reference, so that full HPACK can take over."""
    encoder = Encoder()
    encoder.header_table_size = 4096
    connection, batch = sending(3)
    for sid in (1, 3):
        block = encoder.encode([(b":status", b"410"), (b"apns-id", b"same")])
        connection.feed(headers(sid, block), 0.0)
    assert connection.ending is not None
    assert connection.ending.cause is Cause.STATEFUL_HEADERS
    assert list(batch.statuses) == [410, 0, 0]


def test_full_hpack_reads_such_a_host() -> None:
    """RFC 7541, section 2.3.2: every block is decoded in order, even of streams given up."""
    encoder = Encoder()
    connection, batch = sending(4, local=LocalSettings(stateful_headers=True, stall_s=100.0))
    blocks = [encoder.encode([(b":status", b"410"), (b"apns-id", b"same")]) for _ in range(4)]
    connection.feed(headers(1, blocks[0]), 0.0)
    connection.tick(30.0)
    assert len(batch.failures) == 3
    connection.feed(headers(3, blocks[1]) + headers(5, blocks[2]), 31.0)
    assert state_of(connection) is State.OPEN
    late = Batch(HEADERS, [b"x"])
    connection.submit(late, 31.0)
    connection.pull(31.0)
    connection.feed(headers(9, blocks[3]), 32.0)
    assert late.answers[0].headers == ((b"apns-id", b"same"),)


def test_batches_take_turns() -> None:
    """One request does not wait behind five hundred where streams are few."""
    connection, _ = sending(500, settings={3: 2})
    single = Batch(HEADERS, [b"x"])
    connection.submit(single, 0.0)
    sid = 1
    while not single.done:
        connection.feed(headers(sid, OK), 0.0)
        connection.pull(0.0)
        sid += 2
    assert sid < 20


def test_every_pair_of_state_and_input_is_decided() -> None:
    """The table: what is absent is refused; CLOSED is left by nothing."""
    assert not [state for state, _ in TRANSITIONS if state is State.CLOSED]
    for state in (State.AWAITING_SETTINGS, State.OPEN, State.DRAINING):
        assert TRANSITIONS[state, Input.FAULT] is State.CLOSED
    assert (State.OPEN, Input.LAST_STREAM_ENDED) not in TRANSITIONS


def test_malformed_fields_are_refused_before_they_are_sent() -> None:
    """Section 8.2.1 and 8.2.2."""
    for name, value in [
        (b"Upper", b"x"), (b":path", b"/"), (b"", b"x"), (b"a b", b"x"), (b"connection", b"close"),
        (b"ok", b"a\r\nb"), (b"ok", b"a\0"), (b"ok", b" x"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match="header"):
            HeaderSet(path_prefix=b"/", headers=((name, value),))
