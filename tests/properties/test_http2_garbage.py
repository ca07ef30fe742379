"""Whatever octets arrive: the connection lives or ends by the rules, and no request hangs."""

from hyperframe.frame import SettingsFrame
from hypothesis import example, given, settings
from hypothesis import strategies as st

from clarion.wire.http2 import Batch, Connection, HeaderSet, LocalSettings, State
from clarion.wire.http2.frames import frame

HEADERS = HeaderSet(path_prefix=b"/", headers=((b"ttl", b"5"),))
BLOCKS = st.sampled_from(
    [b"\x88", b"\x20\x88", b"\x48\x03410", b"\x89", b"\xbe", b"\x3f\xe1\x1f\x88", b"\x40\x01a\x01b"]
)
FRAMES = st.builds(
    frame,
    kind=st.integers(0, 11),
    flags=st.sampled_from([0, 1, 4, 5, 8, 13, 0x20, 0x2D]) | st.integers(0, 255),
    stream_id=st.sampled_from([0, 1, 3, 5, 7, 9, 2, 99, 1 << 31 | 1]),
    payload=BLOCKS | st.binary(max_size=20) | st.binary(min_size=4, max_size=4) | st.just(bytes(8)),
)


@settings(max_examples=300, deadline=None)
@given(
    pieces=st.lists(FRAMES | st.binary(max_size=12), max_size=30),
    cut=st.integers(1, 40),
    stateful=st.booleans(),
    keep=st.booleans(),
    size=st.sampled_from([0, 2, 70_000]),
    limit=st.sampled_from([0, 1, 4, 100]),
)
@example(  # a stream error on an even stream, which lies between two of ours
    pieces=[frame(2, 0, 2, b"x")], cut=1, stateful=False, keep=False, size=0, limit=1
)
def test_no_octets_raise_and_no_request_hangs(
    *, pieces: list[bytes], cut: int, stateful: bool, keep: bool, size: int, limit: int
) -> None:
    """After its deadline every request has exactly one outcome, and nothing is open."""
    connection = Connection(b"x", settings=LocalSettings(stateful_headers=stateful))
    batch = Batch(HEADERS, [b"%d" % at for at in range(5)], body=bytes(size), keep_bodies=keep)
    connection.submit(batch, 0.0)
    connection.pull(0.0)
    connection.feed(SettingsFrame(0, {3: limit}).serialize(), 0.0)
    connection.pull(0.0)
    octets = b"".join(pieces)
    for at in range(0, len(octets), cut):
        connection.feed(octets[at : at + cut], 1.0)
        connection.pull(1.0)
    connection.tick(40.0)
    connection.pull(40.0)
    assert batch.done
    assert connection.open_streams == connection.queued == 0
    for at, status in enumerate(batch.statuses):
        assert (status == 0) == (at in batch.failures)
    if connection.state is State.CLOSED:
        assert connection.ending is not None


@given(st.lists(st.integers(1, 200), min_size=1, max_size=20), st.integers(1, 50))
def test_a_run_of_answers_is_settled_alike_however_it_is_cut(sizes: list[int], cut: int) -> None:
    """As columns, one by one, in order or not, over several segments: the same outcome."""
    connection = Connection(b"x", settings=LocalSettings(max_streams=10_000))
    batches = [Batch(HEADERS, [b"p"] * size) for size in sizes]
    for batch in batches:
        connection.submit(batch, 0.0)
    connection.pull(0.0)
    connection.feed(SettingsFrame(0, {}).serialize(), 0.0)
    connection.pull(0.0)
    ids = list(range(1, 2 * sum(sizes), 2))
    rotated = ids[len(ids) // 3 :] + ids[: len(ids) // 3]
    octets = b"".join(frame(1, 5, sid, b"\x88") for sid in rotated)
    step = max(1, len(octets) // cut)
    for at in range(0, len(octets), step):
        connection.feed(octets[at : at + step], 0.0)
    assert connection.state is State.OPEN
    assert all(batch.done and set(batch.statuses) == {200} for batch in batches)
    assert connection.answered == sum(sizes)
