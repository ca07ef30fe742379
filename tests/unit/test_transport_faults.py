"""The transport against a strict server that misbehaves as networks do: nothing lost or doubled."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typing_extensions import override

from clarion.adapters.net.loopback_tls import LoopbackTls, make_loopback_tls, server_context
from clarion.adapters.net.serve_simulator import serve
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, SimulatorCounts
from clarion.ports.transport import Origin, Transport
from clarion.wire.http2 import Batch, Failure, HeaderSet

CLOCK = SystemClock()
REFUSED_STREAM = 7
Decide = Callable[[int, SimulatedRequest], SimulatedAnswer]


class StillClock(SystemClock):
    """Time passes, but by what it says only when the test does: no request is overdue before."""

    at_s = 0.0

    @override
    def monotonic(self) -> float:
        return self.at_s


@dataclass
class Scripted:
    """A simulator whose answer depends on how many requests came before."""

    decide: Decide
    initial_max_streams: int = 100
    speaks_http1: bool = False
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    seen: Counter[str] = field(default_factory=Counter)
    connections: set[int] = field(default_factory=set)

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Count the path, ask the script."""
        answer = self.decide(next(self.numbers), request)
        if answer.reset is None:
            self.seen[request.path] += 1
        self.connections.add(request.connection)
        return answer

    def closed(self, connection: int) -> None:
        """Nothing is kept."""

    def counts(self) -> SimulatorCounts:
        """How many came."""
        return SimulatorCounts(requests=self.seen.total())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LoopbackTls:
    """An authority and a server certificate."""
    folder: Path = tmp_path_factory.mktemp("tls")
    return make_loopback_tls(folder, CLOCK.now())


async def send(
    tls: LoopbackTls, simulator: Scripted, batch: Batch, clock: SystemClock = CLOCK
) -> str:
    """Send a batch to the simulator; returns what the server holds against the client."""
    context = server_context(tls.certificate, tls.key, alpn=["h2"])
    handle = await serve(simulator, host="127.0.0.1", port=0, tls=context, clock=CLOCK)
    settings = TransportSettings(ca_file=tls.ca_file, request_s=150)
    transport: Transport = NetTransport(settings, clock, SystemChance())
    try:
        await transport.send(Origin(host="127.0.0.1", port=handle.port), batch, urgent=False)
    finally:
        await transport.close()
        await handle.close()
    return handle.wire.last_fault


def batch_of(count: int, *, body: bytes = b"{}") -> Batch:
    """Numbered requests."""
    shared = HeaderSet(path_prefix=b"/", headers=((b"apns-topic", b"a.b"),))
    return Batch(shared, [b"%d" % n for n in range(count)], body=body, deadline_s=150)


def once_each(count: int) -> Counter[str]:
    """Every path of a batch, seen once."""
    return Counter(f"/{n}" for n in range(count))


async def test_the_stream_limit_is_obeyed_as_it_changes(tls: LoopbackTls) -> None:
    """From 1 to many after the first answer and back to 1, as APNs does; none is refused."""

    def decide(number: int, _request: SimulatedRequest) -> SimulatedAnswer:
        limits = {1: 100, 200: 1, 210: 7}
        return SimulatedAnswer(max_streams=limits.get(number), delay_s=0.001)

    simulator = Scripted(decide, initial_max_streams=1)
    batch = batch_of(500)
    assert await send(tls, simulator, batch) == ""
    assert set(batch.statuses) == {200}
    assert simulator.seen == once_each(500)


async def test_goaway_in_the_middle_loses_and_doubles_nothing(tls: LoopbackTls) -> None:
    """What lies above the promise is sent again on another connection."""

    def decide(number: int, _request: SimulatedRequest) -> SimulatedAnswer:
        return SimulatedAnswer(goaway=b"later" if number % 300 == 100 else None)

    simulator = Scripted(decide)
    batch = batch_of(600)
    assert await send(tls, simulator, batch) == ""
    assert set(batch.statuses) == {200}
    assert simulator.seen == once_each(600)
    assert len(simulator.connections) > 1


async def test_refused_streams_are_sent_again(tls: LoopbackTls) -> None:
    """RFC 9113 section 8.7: REFUSED_STREAM promises that nothing was done."""

    def decide(number: int, _request: SimulatedRequest) -> SimulatedAnswer:
        return SimulatedAnswer(reset=REFUSED_STREAM if number % 50 == 7 and number < 300 else None)

    simulator = Scripted(decide)
    batch = batch_of(300)
    assert await send(tls, simulator, batch) == ""
    assert set(batch.statuses) == {200}
    assert simulator.seen == once_each(300)


async def test_other_resets_and_silence_are_failures_of_their_request_alone(
    tls: LoopbackTls,
) -> None:
    """What may have taken effect is not sent again, and the others go through."""

    def decide(_number: int, request: SimulatedRequest) -> SimulatedAnswer:
        return {
            "/3": SimulatedAnswer(reset=2),
            "/5": SimulatedAnswer(silent=True),
        }.get(request.path, SimulatedAnswer())

    simulator = Scripted(decide)
    batch, clock = batch_of(50), StillClock()
    sending = asyncio.create_task(send(tls, simulator, batch, clock))
    while batch.left > 1 and not sending.done():  # noqa: ASYNC110  a batch tells only of its end
        await asyncio.sleep(0.01)
    clock.at_s = batch.deadline_s + 1
    assert await sending == ""
    assert batch.failures == {3: Failure.RESET, 5: Failure.DEADLINE}
    assert list(batch.statuses).count(200) == 48


async def test_a_cut_connection_fails_only_what_was_under_way(tls: LoopbackTls) -> None:
    """Each request is answered, or lost and seen at most once."""

    def decide(number: int, _request: SimulatedRequest) -> SimulatedAnswer:
        return SimulatedAnswer(drop_connection=number == 150, delay_s=0.001)

    simulator = Scripted(decide)
    batch = batch_of(400)
    assert await send(tls, simulator, batch) == ""
    assert set(batch.failures.values()) == {Failure.CONNECTION_LOST}
    assert all((status == 200) != (n in batch.failures) for n, status in enumerate(batch.statuses))
    assert max(simulator.seen.values()) == 1


async def test_large_bodies_and_answers_pass_the_windows_of_both_sides(tls: LoopbackTls) -> None:
    """Flow control in both directions, over many times the initial windows."""
    answer = SimulatedAnswer(status=400, body=b"x" * 100_000)
    simulator = Scripted(lambda _number, _request: answer)
    batch = batch_of(40, body=b"y" * 100_000)
    assert await send(tls, simulator, batch) == ""
    assert {len(answer.body) for answer in batch.answers.values()} == {100_000}
    assert len(batch.answers) == 40
    assert simulator.seen == once_each(40)
