"""A batch says when it is written: neither when it is submitted nor when it is answered."""

from hyperframe.frame import SettingsFrame

from clarion.wire.http2 import Batch, Connection, HeaderSet

HEADERS = HeaderSet(path_prefix=b"/", headers=())


def test_a_batch_is_written_when_its_last_request_is() -> None:
    """The peer's limit of open streams holds the rest back; told once."""
    told: list[str] = []
    connection = Connection(b"push.example")
    batch = Batch(HEADERS, [b"a", b"b"])
    batch.on_written = lambda: told.append("written")
    connection.submit(batch, 0.0)
    connection.feed(SettingsFrame(0, {3: 1}).serialize(), 0.0)
    assert told == []
    assert connection.pull(0.0)
    assert told == []
    connection.feed(SettingsFrame(0, {3: 2}).serialize(), 0.0)
    assert connection.pull(0.0)
    assert told == ["written"]
    assert not batch.done


def test_a_batch_that_is_never_written_says_nothing() -> None:
    """Its deadline passed while it waited."""
    told: list[str] = []
    connection = Connection(b"push.example")
    batch = Batch(HEADERS, [b"a"], deadline_s=1.0)
    batch.on_written = lambda: told.append("written")
    connection.submit(batch, 0.0)
    connection.feed(SettingsFrame(0, {3: 0}).serialize(), 0.0)
    connection.pull(0.0)
    connection.tick(5.0)
    connection.pull(5.0)
    assert batch.done
    assert told == []
