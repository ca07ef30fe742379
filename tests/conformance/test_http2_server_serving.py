"""Simulators served on loopback sockets, asked by `h2` and by a plain HTTP/1.1 client."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

from clarion.adapters.net.loopback_tls import (
    LoopbackTls,
    issue_certificate,
    make_loopback_tls,
    server_context,
)
from clarion.adapters.net.serve_simulator import ServerHandle, serve
from clarion.adapters.system import SystemClock
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, SimulatorCounts
from clarion.wire.http2 import ErrorCode, frames, literal_field

CLOCK = SystemClock()
LONG = bytes(1_100_000)


@dataclass
class Judge:
    """A simulator that asks a function, and remembers."""

    decide: Callable[[SimulatedRequest], SimulatedAnswer]
    initial_max_streams: int = 100
    speaks_http1: bool = True
    seen: list[SimulatedRequest] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Ask the function."""
        self.seen.append(request)
        self.first.set()
        return self.decide(request)

    def closed(self, connection: int) -> None:
        """Remember."""
        self.ended.append(connection)

    def counts(self) -> SimulatorCounts:
        """How many were seen."""
        return SimulatorCounts(requests=len(self.seen))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LoopbackTls:
    """An authority and a server certificate."""
    return make_loopback_tls(tmp_path_factory.mktemp("tls"), CLOCK.now())


@asynccontextmanager
async def serving(
    judge: Judge, context: ssl.SSLContext | None = None
) -> AsyncIterator[ServerHandle]:
    """A running server around a judge."""
    handle = await serve(judge, host="127.0.0.1", port=0, tls=context, clock=CLOCK)
    try:
        yield handle
    finally:
        await handle.close()


class Client:
    """`h2` over a socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.events: list[Event] = []

    @classmethod
    async def connect(cls, port: int, context: ssl.SSLContext | None = None) -> "Client":
        """Over plain TCP or TLS."""
        name = "localhost" if context else None
        connection = asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)
        return cls(*await connection)

    def ask(self, path: str, body: bytes = b"") -> int:
        """Start a request; returns its stream."""
        stream: int = self.h2.get_next_available_stream_id()
        pseudo = [(":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "a")]
        self.h2.send_headers(stream, pseudo, end_stream=not body)
        if body:
            self.h2.send_data(stream, body, end_stream=True)
        return stream

    async def until(self, wanted: Callable[[Event], bool]) -> Event:
        """Exchange octets until such an event has come; earlier ones count too."""
        while True:
            for event in self.events:
                if wanted(event):
                    return event
            self.writer.write(self.h2.data_to_send())
            octets = await self.reader.read(65_536)
            if not octets:
                raise ConnectionResetError
            self.events += self.h2.receive_data(octets)

    async def ended(self, stream: int) -> int:
        """Wait for the whole answer; returns its status."""
        await self.until(lambda e: isinstance(e, StreamEnded) and e.stream_id == stream)
        (response,) = (
            e for e in self.events if isinstance(e, ResponseReceived) and e.stream_id == stream
        )
        return int(dict(response.headers)[b":status"])

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()
        await self.writer.wait_closed()


def client_context(tls: LoopbackTls, *alpn: str) -> ssl.SSLContext:
    """A client's context that trusts the authority."""
    context = ssl.create_default_context(cafile=str(tls.ca_file))
    context.set_alpn_protocols(list(alpn))
    return context


async def test_a_request_over_tls_reaches_the_simulator_whole(
    tls: LoopbackTls, tmp_path: Path
) -> None:
    """Connection, stream, path, body and the client's certificate are handed over."""
    judge = Judge(lambda _: SimulatedAnswer(status=410, headers=((b"apns-id", b"x"),), body=b"{}"))
    mine = issue_certificate(tls, CLOCK.now(), common_name="com.example.app")
    pem = tmp_path / "client.pem"
    pem.write_text(mine.key_pem + mine.chain_pem)
    context = client_context(tls, "h2")
    context.load_cert_chain(pem)
    server = server_context(tls.certificate, tls.key, client_ca=tls.ca_file)
    async with serving(judge, server) as handle:
        client = await Client.connect(handle.port, context)
        assert await client.ended(client.ask("/3/device/ab", b"hello")) == 410
        (data,) = (event for event in client.events if isinstance(event, DataReceived))
        assert data.data == b"{}"
        await client.close()
        assert handle.counts().requests == 1
    (seen,) = judge.seen
    assert (seen.connection, seen.stream, seen.path, seen.body) == (1, 1, "/3/device/ab", b"hello")
    assert seen.peer_certificate is not None
    assert b"com.example.app" in seen.peer_certificate
    assert judge.ended == [1]


async def test_http1_is_refused_where_the_network_does_not_take_it(tls: LoopbackTls) -> None:
    """APNs takes HTTP/2 only."""
    judge = Judge(lambda _: SimulatedAnswer(), speaks_http1=False)
    context = server_context(tls.certificate, tls.key, alpn=("h2",))
    async with (
        serving(judge, context) as handle,
        httpx.AsyncClient(verify=client_context(tls, "http/1.1"), trust_env=False) as client,
    ):
        with pytest.raises(httpx.TransportError):
            await client.post(f"https://localhost:{handle.port}/", content=b"x")
    assert judge.seen == []


async def test_http1_requests_are_judged_alike(tls: LoopbackTls) -> None:
    """Kept-alive requests one after the other, with a body and with an error."""
    judge = Judge(lambda r: SimulatedAnswer(status=404 if r.path == "/b" else 201, body=r.body))
    context = server_context(tls.certificate, tls.key)
    async with (
        serving(judge, context) as handle,
        httpx.AsyncClient(verify=client_context(tls, "http/1.1"), trust_env=False) as client,
    ):
        base = f"https://localhost:{handle.port}"
        first = await client.post(f"{base}/a?x=1", content=b"one", headers={"TTL": "5"})
        second = await client.post(f"{base}/b", content=b"two")
        assert (first.status_code, first.content) == (201, b"one")
        assert (second.status_code, second.content) == (404, b"two")
        assert handle.wire.connections == 1
    assert [seen.path for seen in judge.seen] == ["/a?x=1", "/b"]
    assert (b"ttl", b"5") in judge.seen[0].headers
    assert judge.seen[0].authority.startswith("localhost:")


async def exchange(port: int, octets: bytes) -> bytes:
    """Send octets and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(octets)
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", b"200"),
        (b"GET / HTTP/1.0\r\nhost: a\r\n\r\n", b"200"),
        (b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", b"200"),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2000000\r\n\r\n" + b"x" * 1_100_000,
            b"413",
        ),
    ],
)
async def test_http1_faults_get_an_answer_and_an_end(octets: bytes, status: bytes) -> None:
    """RFC 9112: malformed requests are answered with 400 and the connection closes."""
    async with serving(Judge(lambda _: SimulatedAnswer())) as handle:
        answer = await exchange(handle.port, octets)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:100]
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("delay_s", [0.0, 0.001])
@pytest.mark.parametrize("octets", [b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n", None])
async def test_a_fault_of_the_simulator_cuts_the_connection_and_is_reported(
    octets: bytes | None, delay_s: float
) -> None:
    """Neither the client waits for ever nor does the fault pass for the client's."""
    reported: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: reported.append(str(what)))
    broken = SimulatedAnswer(headers=((b"a", b"b\nc"),), delay_s=delay_s)
    http2 = frames.PREFACE + frames.settings_frame({}) + request_frame(1, b"/")
    async with serving(Judge(lambda _: broken)) as handle:
        with contextlib.suppress(ConnectionResetError):
            answer = await exchange(handle.port, octets or http2)
            assert b"HTTP/1.1" not in answer
            assert not answer.endswith(b"\x88")
    assert len(reported) == 1
    assert "forbidden octet" in reported[0]


async def test_http1_answers_keep_the_order_of_pipelined_requests() -> None:
    """RFC 9112 section 9.3.2, although the first one takes longer."""
    judge = Judge(
        lambda r: SimulatedAnswer(body=r.path.encode(), delay_s=0.02 if r.path == "/1" else 0)
    )
    octets = b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % n for n in range(1, 1500))
    last = b"GET /last HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    async with serving(judge) as handle:
        answer = await exchange(handle.port, octets + last)
    bodies = [part.rsplit(b"\r\n\r\n", 1)[1] for part in answer.split(b"HTTP/1.1 ")[1:]]
    assert bodies == [b"/%d" % n for n in range(1, 1500)] + [b"/last"]


async def test_faults_come_as_scripted() -> None:
    """A delay, a reset, silence and a new limit, each on its stream, without TLS."""

    def decide(request: SimulatedRequest) -> SimulatedAnswer:
        return {
            "/slow": SimulatedAnswer(delay_s=0.01),
            "/reset": SimulatedAnswer(reset=7),
            "/silent": SimulatedAnswer(silent=True),
            "/limit": SimulatedAnswer(max_streams=7),
        }[request.path]

    async with serving(Judge(decide)) as handle:
        client = await Client.connect(handle.port)
        slow, reset, silent, limit = map(client.ask, ("/slow", "/reset", "/silent", "/limit"))
        assert await client.ended(slow) == 200
        assert await client.ended(limit) == 200
        broken = await client.until(lambda e: isinstance(e, StreamReset))
        assert isinstance(broken, StreamReset)
        assert (broken.stream_id, broken.error_code) == (reset, 7)
        await client.until(
            lambda e: (
                isinstance(e, RemoteSettingsChanged)
                and any(change.new_value == 7 for change in e.changed_settings.values())
            )
        )
        answered = {e.stream_id for e in client.events if isinstance(e, ResponseReceived)}
        assert silent not in answered
        await client.close()


async def test_goaway_comes_after_the_answer_and_the_connection_ends_with_its_streams() -> None:
    """RFC 9113 section 6.8: streams under way are finished first."""

    def decide(request: SimulatedRequest) -> SimulatedAnswer:
        if request.path == "/last":
            return SimulatedAnswer(goaway=b'{"reason":"Shutdown"}')
        return SimulatedAnswer(delay_s=0.02)

    # By hand, because h2 takes nothing more after GOAWAY.
    octets = frames.PREFACE + frames.settings_frame({})
    octets += request_frame(1, b"/slow") + request_frame(3, b"/last")
    async with serving(Judge(decide)) as handle:
        answer = await exchange(handle.port, octets)
    goaway = frames.goaway_frame(3, ErrorCode.NO_ERROR, b'{"reason":"Shutdown"}')
    last, slow = (frames.frame(frames.HEADERS, 5, stream, b"\x88") for stream in (3, 1))
    assert answer.endswith(last + goaway + slow)


def request_frame(stream: int, path: bytes) -> bytes:
    """A GET, spelled out."""
    block = b"\x82\x87" + literal_field(b":path", path) + literal_field(b":authority", b"a")
    return frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream, block)


async def test_a_dropped_connection_ends_without_a_word() -> None:
    """Neither GOAWAY nor RST_STREAM comes first, and later requests are not judged."""
    judge = Judge(lambda _: SimulatedAnswer(drop_connection=True))
    async with serving(judge) as handle:
        client = await Client.connect(handle.port)
        stream = client.ask("/a")
        client.ask("/b")
        with pytest.raises(ConnectionResetError):
            await client.ended(stream)
        assert not any(isinstance(e, (ConnectionTerminated, StreamReset)) for e in client.events)
        client.writer.transport.abort()
    assert len(judge.seen) == 1


async def test_faults_of_the_client_are_counted() -> None:
    """A test can tell that no client broke the protocol."""
    async with serving(Judge(lambda _: SimulatedAnswer())) as handle:
        octets = await exchange(
            handle.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\1"
        )
        assert octets.endswith(b"SETTINGS on a stream") or b"on a stream" in octets
        assert handle.wire.connections_failed == 1


async def test_closing_the_server_ends_connections_and_waiting_answers() -> None:
    """An answer due in an hour does not hold the server up."""
    judge = Judge(lambda _: SimulatedAnswer(delay_s=3600))
    async with serving(judge) as handle:
        client = await Client.connect(handle.port)
        client.ask("/a")
        client.writer.write(client.h2.data_to_send())
        await judge.first.wait()
    assert judge.ended == [1]
    client.writer.transport.abort()
