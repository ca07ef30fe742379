"""The server core against the `h2` library as its client, and against itself under any cut."""

from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.wire.http2 import ErrorCode, frames
from clarion.wire.http2.server import ServerConnection, ServerLimits
from clarion.wire.http2.server_decoding import RequestDecoder
from clarion.wire.http2.server_events import ConnectionFailed, RequestRead
from clarion.wire.http2.server_headers import MalformedError, read_request_head, write_response

NAMES = st.from_regex(r"[a-z0-9!#$&'*+.^_`|~-]{1,20}", fullmatch=True).filter(
    lambda name: name
    not in {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te",
            "host", "content-length", "cookie"}
)  # fmt: skip
VALUES = st.from_regex(r"([!-~]([ -~]{0,200}[!-~])?)?", fullmatch=True)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
PATHS = st.from_regex(r"/[a-zA-Z0-9/_.~-]{0,200}", fullmatch=True)


@dataclass(frozen=True)
class Exchange:
    """One request and the answer it will get."""

    path: str
    fields: list[tuple[str, str]]
    body: bytes
    status: int
    answer_fields: list[tuple[str, str]]
    answer: bytes


BODIES = st.one_of(
    st.binary(max_size=50), st.sampled_from([5_000, 16_384, 16_385, 70_000]).map(bytes)
)
EXCHANGES = st.builds(
    Exchange,
    path=PATHS,
    fields=FIELDS,
    body=BODIES,
    status=st.one_of(st.sampled_from([200, 204, 400, 410, 429, 503]), st.integers(200, 599)),
    answer_fields=FIELDS,
    answer=BODIES,
)


@dataclass
class Outcome:
    """What the client got on one stream."""

    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False


class Client:
    """`h2` as a client that sends exchanges as its windows allow."""

    def __init__(self, *, table: int) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({1: table})
        self.unsent: dict[int, bytes] = {}
        self.outcomes: dict[int, Outcome] = {}

    def open(self, exchange: Exchange) -> int:
        """Start a request."""
        stream: int = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "https"), (":path", exchange.path),
                  (":authority", "push.example")]  # fmt: skip
        self.h2.send_headers(stream, pseudo + exchange.fields, end_stream=not exchange.body)
        self.outcomes[stream] = Outcome()
        if exchange.body:
            self.unsent[stream] = exchange.body
        return stream

    def push_on(self) -> None:
        """Send content as far as the windows allow."""
        for stream in list(self.unsent):
            body = self.unsent.pop(stream)
            while body and (room := self._room(stream)) > 0:
                self.h2.send_data(stream, body[:room], end_stream=len(body) <= room)
                body = body[room:]
            if body:
                self.unsent[stream] = body

    def _room(self, stream: int) -> int:
        window = self.h2.local_flow_control_window(stream)
        return min(window, self.h2.max_outbound_frame_size)

    def take(self, event: Event) -> None:
        """Note what came on which stream."""
        if isinstance(event, ResponseReceived):
            self.outcomes[event.stream_id].fields = [(str(n), str(v)) for n, v in event.headers]
        elif isinstance(event, DataReceived):
            self.outcomes[event.stream_id].body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.outcomes[event.stream_id].ended = True
        assert not isinstance(event, StreamReset)


@settings(max_examples=30, deadline=None)
@given(st.lists(EXCHANGES, min_size=1, max_size=6), st.sampled_from([0, 100, 4096, 65_536]))
def test_h2_and_the_server_agree_on_every_exchange(exchanges: list[Exchange], table: int) -> None:
    """Requests arrive as sent and answers as given, whatever their size and table."""
    client, server = Client(table=table), ServerConnection(ServerLimits())
    for event in client.h2.receive_data(server.pull()):
        client.take(event)
    by_stream = {client.open(exchange): exchange for exchange in exchanges}
    read = 0
    for _ in range(200):
        client.push_on()
        for request in server.feed(client.h2.data_to_send()):
            assert isinstance(request, RequestRead), request
            exchange = by_stream[request.stream]
            assert (request.path, request.body) == (exchange.path, exchange.body)
            assert [(n.decode(), v.decode()) for n, v in request.fields] == exchange.fields
            fields = [(n.encode(), v.encode()) for n, v in exchange.answer_fields]
            server.respond(request.stream, exchange.status, fields, exchange.answer)
            read += 1
        for event in client.h2.receive_data(server.pull()):
            client.take(event)
        if all(outcome.ended for outcome in client.outcomes.values()):
            break
    assert read == len(exchanges)
    for stream, exchange in by_stream.items():
        outcome = client.outcomes[stream]
        assert outcome.fields == [(":status", str(exchange.status)), *exchange.answer_fields]
        assert outcome.body == exchange.answer
        assert outcome.ended
    assert server.open_streams == 0


def conversation() -> bytes:
    """A client's octets with every kind of frame, CONTINUATION and padding among them."""
    encoder = Encoder()
    fields = [(":method", "POST"), (":scheme", "https"), (":path", "/a"), (":authority", "b.c")]
    parts = [frames.PREFACE, frames.settings_frame({1: 0, 4: 70_000})]
    for stream in (1, 3, 5, 7):
        block = encoder.encode([*fields, ("n", str(stream))])
        cut = len(block) // 2
        parts += [
            frames.frame(frames.HEADERS, 0, stream, block[:cut]),
            frames.frame(frames.CONTINUATION, 0, stream, b""),
            frames.frame(frames.CONTINUATION, frames.END_HEADERS, stream, block[cut:]),
            frames.frame(frames.DATA, frames.PADDED, stream, b"\x03abc\0\0\0"),
            frames.frame(frames.PING, 0, 0, b"pingping"),
            frames.frame(frames.DATA, frames.END_STREAM, stream, bytes(stream)),
            frames.window_frame(stream, 10),
            frames.frame(frames.PRIORITY, 0, stream, bytes(5)),
        ]
    parts += [frames.window_frame(0, 1000), frames.goaway_frame(0, ErrorCode.NO_ERROR)]
    return b"".join(parts)


CONVERSATION = conversation()


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=40).map(sorted))
def test_requests_do_not_depend_on_how_the_octets_are_cut(cuts: list[int]) -> None:
    """The same events and the same output, for any partition of the stream."""
    whole = ServerConnection(ServerLimits())
    expected = whole.feed(CONVERSATION)
    cut = ServerConnection(ServerLimits())
    events = []
    for start, end in zip([0, *cuts], [*cuts, len(CONVERSATION)], strict=True):
        events += cut.feed(CONVERSATION[start:end])
    assert events == expected
    assert cut.pull() == whole.pull()
    assert sum(isinstance(event, RequestRead) for event in events) == 4


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=3))
def test_no_octets_break_the_server(noise: bytes, cuts: list[int]) -> None:
    """Whatever arrives ends in events, at worst in one connection error at the end."""
    server = ServerConnection(ServerLimits())
    server.feed(frames.PREFACE + frames.settings_frame({}))
    events = []
    for piece in (noise[: min(cuts, default=0)], noise[min(cuts, default=0) :]):
        events += server.feed(piece)
    assert not any(isinstance(event, ConnectionFailed) for event in events[:-1])


@given(
    st.integers(0, 10),
    st.integers(0, 255),
    st.integers(0, 8),
    st.binary(max_size=60),
)
def test_no_single_frame_breaks_the_server(
    kind: int, flags: int, stream: int, payload: bytes
) -> None:
    """Any type, flags, stream and payload, after an open and a finished request."""
    server = ServerConnection(ServerLimits())
    server.feed(CONVERSATION[:-100])
    server.feed(frames.frame(kind, flags, stream, payload))
    server.respond(1, 200, (), b"x" * 100)
    server.pull()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(FIELDS, st.booleans(), st.booleans()), min_size=1, max_size=5),
)
def test_the_short_path_reads_blocks_as_hpack_does(
    blocks: list[tuple[list[tuple[str, str]], bool, bool]],
) -> None:
    """The same fields for any mix of indexed, literal and Huffman-coded ones, table included."""
    encoder, reference, ours = Encoder(), Decoder(), RequestDecoder(65_536)
    for fields, huffman, never_indexed in blocks:
        sensitive = [NeverIndexedHeaderTuple(n, v) for n, v in fields] if never_indexed else fields
        for repeated in (sensitive, fields):
            block = encoder.encode(repeated, huffman=huffman)
            assert ours.fields(block) == list(reference.decode(block, raw=True))


@given(st.binary(max_size=80))
def test_the_short_path_refuses_what_hpack_refuses(block: bytes) -> None:
    """Random octets decode alike or fail alike."""
    try:
        expected = list(Decoder().decode(block, raw=True))
    except HPACKError:
        expected = None
    try:
        found = RequestDecoder(65_536).fields(block)
    except HPACKError:
        found = None
    assert found == expected


@given(st.integers(100, 599), FIELDS)
def test_answers_stand_alone(status: int, fields: list[tuple[str, str]]) -> None:
    """A decoder whose table has size 0 reads every answer (RFC 7541 section 4.2)."""
    decoder = Decoder()
    decoder.header_table_size = decoder.max_allowed_table_size = 0
    encoded = [(name.encode(), value.encode()) for name, value in fields]
    block = write_response(status, encoded)
    assert list(decoder.decode(block, raw=True)) == [(b":status", b"%d" % status), *encoded]


@given(st.lists(st.tuples(st.binary(max_size=12), st.binary(max_size=12)), max_size=8))
def test_any_fields_are_a_request_or_malformed(fields: list[tuple[bytes, bytes]]) -> None:
    """No field list raises anything else."""
    try:
        head = read_request_head(fields)
    except MalformedError:
        return
    assert head.method
