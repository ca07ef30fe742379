"""The benchmark's server answers every request, with one octet, in time."""

import numpy as np

from clarion.wire.http2 import Batch, Connection, HeaderSet, LocalSettings, State
from clarion.wire.http2.blackhole import Blackhole

HEADERS = HeaderSet(path_prefix=b"/3/device/", headers=((b"apns-topic", b"org.example"),))


def test_every_request_is_answered_200() -> None:
    """In runs of equal shape and one by one, with bodies and without."""
    client = Connection(b"x", settings=LocalSettings(max_streams=300))
    batches = [
        Batch(HEADERS, [b"%064x" % at for at in range(400)], body=b"{}"),
        Batch(HEADERS, [b"%x" % at**3 for at in range(100)], body=b"{}" * 40),
        Batch(HEADERS, [b"%x" % at for at in range(50)]),
    ]
    server = Blackhole(max_streams=200)
    for batch in batches:
        client.submit(batch, 0.0)
    while not all(batch.done for batch in batches):
        octets = client.pull(0.0)
        for at in range(0, len(octets), 1000):
            server.feed(octets[at : at + 1000], 0.0)
        client.feed(server.pull(), 0.0)
        assert client.state is State.OPEN, client.ending
    assert server.answered == 550
    assert all(set(batch.statuses) == {200} for batch in batches)


def test_each_answer_may_have_its_own_delay() -> None:
    """Answers come when they are due, alone and out of order."""
    client = Connection(b"x")
    batch = Batch(HEADERS, [b"%064x" % at for at in range(100)], body=b"{}")
    client.submit(batch, 0.0)
    chance = np.random.default_rng(7)
    server = Blackhole(delays=lambda count: chance.uniform(0.02, 0.04, count))
    for _ in range(3):
        server.feed(client.pull(0.0), 0.0)
        client.feed(server.pull(), 0.0)
    assert server.due(0.019) == []
    early = server.due(0.03)
    assert 20 < len(early) < 80
    client.feed(b"".join(early), 0.03)
    assert batch.left == 100 - len(early)
    client.feed(b"".join(server.due(0.041)), 0.041)
    assert batch.done
    assert not server.waiting
