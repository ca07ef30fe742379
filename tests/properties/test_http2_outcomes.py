"""Whatever a lawful server does, in whatever order and pieces, each request ends once and rightly.

The server is the `h2` library, which refuses every breach of flow control, stream limits, stream
states and header compression by the client.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import h2.config
import h2.connection
import h2.events
import h2.settings
from hyperframe.frame import GoAwayFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.wire.http2 import (
    Answer,
    Batch,
    Connection,
    Failure,
    HeaderSet,
    LocalSettings,
    State,
    literal_field,
)


class Plan(Enum):
    """What the server does with a request."""

    OK = "200 without a body"
    OK_BODY = "200 with a body"
    CREATED = "201 with a location"
    INTERIM = "103 before 200"
    TRAILERS = "200 with a body and trailers"
    GONE = "410 with a body in two frames"
    LATER = "503 with retry-after"
    REFUSED = "RST_STREAM REFUSED_STREAM"
    RESET = "RST_STREAM INTERNAL_ERROR"
    SILENT = "nothing"


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GONE_BODY = b'{"reason":"Unregistered","timestamp":1}'
EXPECTED = {
    Plan.OK: 200,
    Plan.OK_BODY: 200,
    Plan.CREATED: 201,
    Plan.INTERIM: 200,
    Plan.TRAILERS: 200,
    Plan.GONE: 410,
    Plan.LATER: 503,
    Plan.REFUSED: Failure.REFUSED,
    Plan.RESET: Failure.RESET,
    Plan.SILENT: Failure.DEADLINE,
}


@dataclass
class Server:
    """The `h2` library, and what it has seen of each request."""

    h2: h2.connection.H2Connection
    paths: dict[int, bytes] = field(default_factory=dict)
    bodies: dict[int, bytes] = field(default_factory=lambda: defaultdict(bytes))
    ended: list[int] = field(default_factory=list)

    def receive(self, data: bytes) -> None:
        """Frame by frame: `h2` applies its own acknowledged MAX_FRAME_SIZE at the next call."""
        at = len(PREFACE) if data.startswith(PREFACE) else 0
        self._receive(data[:at])
        while at < len(data):
            end = at + 9 + int.from_bytes(data[at : at + 3])
            self._receive(data[at:end])
            at = end

    def _receive(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.paths[event.stream_id] = dict(event.headers)[b":path"]
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.append(event.stream_id)
            assert not isinstance(event, h2.events.ConnectionTerminated), event

    def answer(self, sid: int, plan: Plan) -> None:
        """Carries a plan out on a stream."""
        for step in STEPS[plan]:
            step(self.h2, sid)


Step = Callable[[h2.connection.H2Connection, int], None]


def _fields(*fields: tuple[str, str], end: bool = False) -> Step:
    def step(server: h2.connection.H2Connection, sid: int) -> None:
        named = [(name, value.format(sid=sid)) for name, value in fields]
        server.send_headers(sid, named, end_stream=end)

    return step


def _body(content: bytes, *, pad: int | None = None, end: bool = False) -> Step:
    return lambda server, sid: server.send_data(sid, content, end_stream=end, pad_length=pad)


def _reset(code: int) -> Step:
    return lambda server, sid: server.reset_stream(sid, error_code=code)


STEPS: dict[Plan, list[Step]] = {
    Plan.OK: [_fields((":status", "200"), end=True)],
    Plan.OK_BODY: [
        _fields((":status", "200"), ("content-type", "application/json")),
        _body(b'{"name":"projects/p/messages/1"}', end=True),
    ],
    Plan.CREATED: [_fields((":status", "201"), ("location", "/m/{sid}"), end=True)],
    Plan.INTERIM: [
        _fields((":status", "103"), ("link", "</x>")),
        _fields((":status", "200"), end=True),
    ],
    Plan.TRAILERS: [
        _fields((":status", "200")),
        _body(b"x", pad=7),
        _fields(("grpc-status", "0"), end=True),
    ],
    Plan.GONE: [
        _fields((":status", "410"), ("apns-id", "id-{sid}")),
        _body(GONE_BODY[:9], pad=3),
        _body(GONE_BODY[9:], end=True),
    ],
    Plan.LATER: [_fields((":status", "503"), ("retry-after", "7"), end=True)],
    Plan.REFUSED: [_reset(7)],
    Plan.RESET: [_reset(2)],
    Plan.SILENT: [],
}


def _make_server(changes: dict[int, int]) -> Server:
    config = h2.config.H2Configuration(client_side=False, header_encoding=None)
    server = h2.connection.H2Connection(config)
    server.initiate_connection()
    if changes:
        server.update_settings(changes)
    return Server(server)


@st.composite
def _batches(draw: st.DrawFn, number: int) -> Batch:
    size = draw(st.sampled_from([0, 1, 90, 4096, 20_000, 70_000]))
    count = draw(st.integers(1, 70 if size < 100 else 6))
    even = draw(st.booleans())
    paths = [b"%064x" % i if even else b"%x" % i**7 for i in range(count)]
    names = draw(st.lists(st.sampled_from([b"apns-topic", b"ttl", b"x-a", b"user-agent"])))
    headers = HeaderSet(
        path_prefix=b"/%d/" % number,
        headers=(
            (b"authorization", b"bearer " + b"x" * draw(st.sampled_from([5, 900, 5000]))),
            *((name, b"%d" % at) for at, name in enumerate(names)),
        ),
        literal=draw(st.sampled_from([frozenset(), frozenset({b"authorization"})])),
    )
    kind = draw(st.sampled_from(["shared", "even", "uneven"]))
    extra = [literal_field(b"apns-id", b"%036d" % i) for i in range(count)]
    return Batch(
        headers,
        paths,
        body=b"b" * size if kind == "shared" else None,
        bodies=None
        if kind == "shared"
        else [b"%d" % (i % 10) * (size + (i % 7 if kind == "uneven" else 0)) for i in range(count)],
        extra=extra if draw(st.booleans()) else None,
        deadline_s=30.0,
        keep_bodies=draw(st.booleans()),
    )


VALUES = {
    1: (0, 4096, 100, 8192),
    3: (1, 3, 100, 2),
    4: (65_535, 0, 10, 1 << 20),
    5: (16_384, 32_768, 16_385, 1 << 20),
}
settings_changes = st.dictionaries(st.sampled_from([1, 3, 4, 5]), st.integers(0, 3)).map(
    lambda picks: {key: VALUES[key][at] for key, at in picks.items()}
)


def _feed_in_pieces(client: Connection, data: bytes, cuts: list[int], now: float) -> None:
    at = 0
    while at < len(data):
        step = cuts[at % len(cuts)] if cuts else len(data)
        client.feed(data[at : at + step], now)
        at += step


def _outcome(batch: Batch, index: int) -> int | Failure:
    failure = batch.failures.get(index)
    assert (failure is None) != (batch.statuses[index] == 0), "exactly one outcome"
    return batch.statuses[index] if failure is None else failure


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_each_request_ends_once_with_what_the_server_did(data: st.DataObject) -> None:
    """Any mix and order of answers, any change of SETTINGS, any cut of the bytes."""
    work = [data.draw(_batches(number)) for number in range(data.draw(st.integers(1, 3)))]
    plans = data.draw(st.lists(st.sampled_from(Plan), min_size=1, max_size=12))
    cuts = data.draw(st.lists(st.integers(1, 60), max_size=4))
    changes = data.draw(st.lists(settings_changes, max_size=4))
    chance = data.draw(st.randoms(use_true_random=False))
    server = _make_server(data.draw(settings_changes))
    client = Connection(b"push.example", settings=LocalSettings(stall_s=1000.0))
    for batch in work:
        client.submit(batch, 0.0)
    plan_of: dict[int, Plan] = {}
    for turn in range(600):
        server.receive(client.pull(0.0))
        if turn % 7 == 3 and changes:
            server.h2.update_settings(changes.pop())
            server.h2.ping(b"12345678")
        elif turn > 50:
            server.h2.update_settings({3: 1000, 4: 65_535})  # so that it comes to an end
        chance.shuffle(server.ended)
        keep = len(server.ended) // 3 if turn < 40 else 0
        while len(server.ended) > keep:
            sid = server.ended.pop()
            plan_of[sid] = plans[sid // 2 % len(plans)]
            server.answer(sid, plan_of[sid])
        _feed_in_pieces(client, server.h2.data_to_send(), cuts, 0.0)
        assert client.state is State.OPEN, client.ending
        if len(plan_of) == sum(map(len, work)):
            break
    assert len(plan_of) == sum(map(len, work)), "not all requests reached the server"
    client.tick(31.0)
    assert client.open_streams == client.queued == 0
    assert all(batch.done for batch in work)
    _check(work, server, plan_of)


def _check(work: list[Batch], server: Server, plan_of: dict[int, Plan]) -> None:
    stream_of = {path: sid for sid, path in server.paths.items()}
    assert len(stream_of) == len(server.paths) == sum(map(len, work))
    for batch in work:
        for index, suffix in enumerate(batch.paths):
            sid = stream_of[batch.headers.path_prefix + suffix]
            whole = server.bodies[sid] == batch.body_of(index)
            assert whole, f"the body of stream {sid} arrived changed"
            assert _outcome(batch, index) == EXPECTED[plan_of[sid]]
            _check_kept(batch, index, sid, plan_of[sid])


def _check_kept(batch: Batch, index: int, sid: int, plan: Plan) -> None:
    kept = batch.answers.get(index)
    if plan is Plan.GONE:
        assert kept == Answer(410, ((b"apns-id", b"id-%d" % sid),), GONE_BODY)
    elif plan is Plan.LATER:
        assert kept == Answer(503, ((b"retry-after", b"7"),), b"")
    elif plan is Plan.CREATED and batch.keep_bodies:
        assert kept == Answer(201, ((b"location", b"/m/%d" % sid),), b"")
    elif not batch.keep_bodies:
        assert kept is None


@settings(max_examples=40, deadline=None)
@given(
    last=st.integers(0, 60),
    cuts=st.lists(st.integers(1, 30), max_size=3),
    count=st.integers(1, 60),
    answered=st.integers(0, 60),
)
def test_goaway_hands_back_what_lies_above_and_finishes_the_rest(
    last: int, cuts: list[int], count: int, answered: int
) -> None:
    """RFC 9113, section 6.8: requests above the last stream id were not processed."""
    batch = Batch(HeaderSet(path_prefix=b"/", headers=()), [b"%d" % i for i in range(count)])
    server = _make_server({3: 40})
    client = Connection(b"push.example")
    client.submit(batch, 0.0)
    for _ in range(3):
        server.receive(client.pull(0.0))
        client.feed(server.h2.data_to_send(), 0.0)
    opened = sorted(server.ended)
    first, rest = opened[:answered], opened[answered:]
    for sid in first:
        server.answer(sid, Plan.OK)
    highest = max([last | 1, *first])  # a server can't disown what it has answered
    frame = GoAwayFrame(0, last_stream_id=highest, error_code=0)
    _feed_in_pieces(client, server.h2.data_to_send() + frame.serialize(), cuts, 0.0)
    for sid in rest:
        if sid <= highest:
            server.answer(sid, Plan.GONE)
    _feed_in_pieces(client, server.h2.data_to_send(), cuts, 0.0)
    assert batch.done
    assert client.state is State.CLOSED
    for index in range(count):
        sid = 2 * index + 1
        got = _outcome(batch, index)
        if sid in first:
            assert got == 200
        elif sid in rest:
            assert got == (410 if sid <= highest else Failure.GOAWAY_ABOVE)
        else:
            assert got is Failure.REFUSED
