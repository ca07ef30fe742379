"""The pool over real TLS on loopback, against servers that we have not written."""

import asyncio
import shutil
import ssl
from asyncio.trsock import TransportSocket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import cast

import h2.config
import h2.connection
import h2.events
import pytest
from hyperframe.frame import GoAwayFrame
from tests.unit.test_transport_faults import StillClock
from typing_extensions import override

from clarion.adapters.net import HostConfig, Http2NotOfferedError, Http2Pool, client_context
from clarion.adapters.net.loopback_tls import (
    LoopbackTls,
    issue_certificate,
    make_loopback_tls,
)
from clarion.adapters.system import SystemChance, SystemClock
from clarion.wire.http2 import Batch, Failure, HeaderSet, LocalSettings

CLOCK = SystemClock()
HEADERS = HeaderSet(
    path_prefix=b"/3/device/",
    headers=((b"authorization", b"bearer x"), (b"apns-topic", b"org.example")),
    literal=frozenset({b"authorization"}),
)
NODE_SERVER = """
const http2 = require('http2'), fs = require('fs');
const server = http2.createSecureServer({
  key: fs.readFileSync(process.argv[1]), cert: fs.readFileSync(process.argv[2])});
server.on('stream', (stream, headers) => {
  let size = 0;
  stream.on('data', (chunk) => { size += chunk.length; });
  stream.on('end', () => {
    const gone = headers[':path'].endsWith('7');
    stream.respond({':status': gone ? 410 : 200, 'x-size': String(size)});
    stream.end(gone ? '{"reason":"Unregistered"}' : '');
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""


@dataclass
class Script:
    """What a server on the `h2` library does; it counts what it sees."""

    silent: frozenset[bytes] = frozenset()
    refuse_first: int = 0
    goaway_after: int | None = None
    held: list[Callable[[], None]] | None = None
    """Answers that wait for `release`; None where all go at once."""
    never_held: frozenset[bytes] = frozenset()
    table_size: int | None = None
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    hang_up: bool = False
    forty: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Answer what was held, and hold no more."""
        held, self.held = self.held or [], None
        for answer in held:
            answer()


class Server(asyncio.Protocol):
    """A small HTTP/2 server on the `h2` library."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding=None)
        )
        self._paths: dict[int, bytes] = {}
        self._transport: asyncio.Transport | None = None
        self._seen = 0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._script.connections += 1
        self._h2.initiate_connection()
        self._flush()

    @override
    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._paths[event.stream_id] = dict(event.headers)[b":path"]
            elif isinstance(event, h2.events.DataReceived):
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self._ended(event.stream_id)
        self._flush()

    def _ended(self, sid: int) -> None:
        script, path = self._script, self._paths.pop(sid)
        script.requests.append(path)
        if len(script.requests) == 40:
            script.forty.set()
        self._seen += 1
        if script.refuse_first > 0:
            script.refuse_first -= 1
            self._h2.reset_stream(sid, error_code=7)
        elif script.hang_up and self._transport is not None:
            script.hang_up = False
            self._transport.abort()
        elif script.held is not None and path not in script.never_held:
            script.held.append(partial(self._answer, sid))
        elif path not in script.silent:
            asyncio.get_running_loop().call_soon(self._answer, sid)
        if script.goaway_after == self._seen and self._transport is not None:
            script.goaway_after = None
            self._flush()
            self._transport.write(GoAwayFrame(0, last_stream_id=sid).serialize())

    def _answer(self, sid: int) -> None:
        if self._script.table_size is not None:  # a host that does not listen to our SETTINGS
            self._h2.encoder.header_table_size = self._script.table_size
        gone = sid % 10 == 7
        fields = [(b":status", b"410" if gone else b"200"), (b"x-same", b"same on every answer")]
        self._h2.send_headers(sid, fields, end_stream=not gone)
        if gone:
            self._h2.send_data(sid, b'{"reason":"Unregistered"}', end_stream=True)
        self._flush()

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(self._h2.data_to_send())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LoopbackTls:
    """Certificates for loopback."""
    return make_loopback_tls(tmp_path_factory.mktemp("tls"), datetime.now(UTC))


def server_context(tls: LoopbackTls, *protocols: str) -> ssl.SSLContext:
    """A server's context that chooses among these protocols."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    context.set_alpn_protocols(list(protocols))
    return context


@asynccontextmanager
async def serving(
    tls: LoopbackTls, make: Callable[[], asyncio.Protocol], *protocols: str
) -> AsyncIterator[int]:
    """Serves on loopback and yields the port."""
    async with accepting(server_context(tls, *(protocols or ("h2",))), make) as port:
        yield port


@asynccontextmanager
async def accepting(
    context: ssl.SSLContext, make: Callable[[], asyncio.Protocol]
) -> AsyncIterator[int]:
    """Serves until the end, when all connections have closed too."""
    accepted: list[TransportSocket] = []

    class Watched(asyncio.Protocol):
        """Notes the socket, then leaves it to the protocol."""

        @override
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport.get_extra_info("socket"))
            protocol = make()
            transport.set_protocol(protocol)
            protocol.connection_made(transport)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Watched, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        async with asyncio.timeout(60):  # accepted sockets close behind the server's back
            while any(one.fileno() != -1 for one in accepted):  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@asynccontextmanager
async def pooled(
    authority: LoopbackTls, port: int, clock: SystemClock = CLOCK, **changes: object
) -> AsyncIterator[Http2Pool]:
    """A pool for a server on loopback, closed at the end."""
    values: dict[str, object] = {
        "host": "127.0.0.1",
        "port": port,
        "authority": b"127.0.0.1",
        "tls": client_context(ca_file=authority.ca_file),
    }
    config = HostConfig(**{**values, **changes})  # type: ignore[arg-type]  # a test's shorthand
    pool = Http2Pool(config, clock, SystemChance())
    try:
        yield pool
    finally:
        await pool.close()


def batch_of(count: int, deadline_s: float = 150.0, body: bytes = b"{}") -> Batch:
    """So many requests with tokens of equal length."""
    return Batch(HEADERS, [b"%08x" % at for at in range(count)], body=body, deadline_s=deadline_s)


async def test_many_batches_at_once_end_with_every_answer(tls: LoopbackTls) -> None:
    """Bulk and urgent batches share a pool; each recipient has one outcome."""
    script = Script()
    async with serving(tls, lambda: Server(script)) as port, pooled(tls, port) as pool:
        batches = [batch_of(500), *[batch_of(100) for _ in range(5)], batch_of(3)]
        await asyncio.gather(*(pool.send(batch, urgent=len(batch) < 10) for batch in batches))
        for batch in batches:
            assert batch.done
            assert not batch.failures
            assert set(batch.statuses) <= {200, 410}
            gone = {at for at, status in enumerate(batch.statuses) if status == 410}
            assert set(batch.answers) == gone
        assert len(script.requests) == sum(map(len, batches))


async def test_an_answer_that_never_comes_leaves_no_one_waiting(tls: LoopbackTls) -> None:
    """The first token of a bulk send is never answered: the send ends by its deadline."""
    script, clock = Script(silent=frozenset({b"/3/device/00000000"})), StillClock()
    async with serving(tls, lambda: Server(script)) as port, pooled(tls, port, clock) as pool:
        batch = batch_of(400)
        sending = asyncio.create_task(pool.send(batch))
        while batch.left > 1:  # noqa: ASYNC110  a batch tells only of its end
            await asyncio.sleep(0.01)
        clock.at_s = batch.deadline_s + 1
        await sending
        assert batch.failures == {0: Failure.DEADLINE}
        again = batch_of(5)
        sending = asyncio.create_task(pool.send(again))
        while again.left > 1:  # noqa: ASYNC110  as above
            await asyncio.sleep(0.01)
        clock.at_s += again.deadline_s + 1
        await sending
        assert again.done
        assert pool.snapshot().open_streams == 0


async def test_a_stuck_connection_is_replaced(tls: LoopbackTls) -> None:
    """The watchdog ends it; the next send finds a new one."""
    script = Script(silent=frozenset(b"/3/device/%08x" % at for at in range(10)))
    clock, stall_s = StillClock(), LocalSettings().stall_s
    async with serving(tls, lambda: Server(script)) as port, pooled(tls, port, clock) as pool:
        batch = batch_of(10)
        sending = asyncio.create_task(pool.send(batch))
        while len(script.requests) < 10:  # noqa: ASYNC110  the server has no event for it
            await asyncio.sleep(0.01)
        clock.at_s = stall_s + 1
        await sending
        assert set(batch.failures.values()) == {Failure.CONNECTION_LOST}
        script.silent = frozenset()
        again = batch_of(10)
        await pool.send(again)
        assert not again.failures
        assert script.connections == 2


async def test_refused_requests_are_sent_again(tls: LoopbackTls) -> None:
    """REFUSED_STREAM is safe to repeat: the caller sees the answer alone."""
    script = Script(refuse_first=20)
    async with serving(tls, lambda: Server(script)) as port, pooled(tls, port) as pool:
        batch = batch_of(60)
        await pool.send(batch)
        assert not batch.failures
        assert all(batch.statuses)
        assert len(script.requests) == 80


async def test_requests_above_a_goaway_are_sent_again_elsewhere(tls: LoopbackTls) -> None:
    """Nothing that the GOAWAY promised is lost, and nothing above it is doubled."""
    script = Script(goaway_after=30)
    async with serving(tls, lambda: Server(script)) as port, pooled(tls, port) as pool:
        batch = batch_of(90)
        await pool.send(batch)
        assert not batch.failures
        assert all(batch.statuses)
        assert script.connections == 2


async def test_a_connection_that_breaks_ends_its_requests_as_lost(tls: LoopbackTls) -> None:
    """They may have taken effect, so the pool does not repeat them; the next send works."""
    script = Script(hang_up=True)
    async with serving(tls, lambda: Server(script)) as port, pooled(tls, port) as pool:
        batch = batch_of(50)
        await pool.send(batch)
        assert Failure.CONNECTION_LOST in batch.failures.values()
        again = batch_of(50)
        await pool.send(again)
        assert not again.failures


async def test_an_urgent_batch_does_not_wait_behind_a_bulk_one(tls: LoopbackTls) -> None:
    """Reserved connections: bulk has one connection full of held answers."""
    script = Script(held=[], never_held=frozenset({b"/3/device/now"}))
    async with (
        serving(tls, lambda: Server(script)) as port,
        pooled(tls, port, max_connections=1) as pool,
    ):
        bulk = asyncio.create_task(pool.send(batch_of(500)))
        await script.forty.wait()
        urgent = Batch(HEADERS, [b"now", b"now"], body=b"{}", deadline_s=150)
        await pool.send(urgent, urgent=True)
        assert not urgent.failures
        assert not bulk.done()
        script.release()
        await bulk


async def test_a_host_that_ignores_the_table_size_is_read_with_full_hpack(
    tls: LoopbackTls,
) -> None:
    """Its first connection ends; from then on its headers are read with a table."""
    script = Script(table_size=4096)
    async with serving(tls, lambda: Server(script)) as port, pooled(tls, port) as pool:
        first = batch_of(40)
        await pool.send(first)
        assert first.done
        second = batch_of(40)
        await pool.send(second)
        assert not second.failures
        kept = second.answers.values()
        assert {answer.headers for answer in kept} == {((b"x-same", b"same on every answer"),)}


async def test_a_host_without_http2_says_so(tls: LoopbackTls) -> None:
    """ALPN chose http/1.1: nothing is sent, and the caller can fall back."""
    async with (
        serving(tls, asyncio.Protocol, "http/1.1") as port,
        pooled(tls, port) as pool,
    ):
        batch = batch_of(3)
        with pytest.raises(Http2NotOfferedError, match=r"http/1\.1"):
            await pool.send(batch)
        assert batch.claimed == 0


async def test_an_unknown_authority_is_refused_with_the_reason(tls: LoopbackTls) -> None:
    """A certificate nobody vouches for: nothing is sent, and the reason is kept."""
    script = Script()
    async with (
        serving(tls, lambda: Server(script)) as port,
        pooled(tls, port, tls=client_context(), attempts=1) as pool,
    ):
        batch = batch_of(3)
        await pool.send(batch)
        assert set(batch.failures.values()) == {Failure.REFUSED}
        assert "CERTIFICATE_VERIFY_FAILED" in (pool.snapshot().last_error or "")
        assert not script.requests


async def test_a_host_may_ask_for_a_certificate(tls: LoopbackTls, tmp_path: Path) -> None:
    """Mutual TLS with the certificate in the caller's context."""
    issued = issue_certificate(tls, datetime.now(UTC), common_name="sender")
    pem = tmp_path / "client.pem"
    pem.write_text(issued.chain_pem + issued.key_pem)
    script = Script()
    context = server_context(tls, "h2")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tls.ca_file)
    client = client_context(ca_file=tls.ca_file, certificate=pem)
    async with (
        accepting(context, lambda: Server(script)) as port,
        pooled(tls, port, tls=client, attempts=1) as pool,
    ):
        batch = batch_of(5)
        await pool.send(batch)
        assert not batch.failures


async def test_a_port_where_nobody_listens_ends_in_time(tls: LoopbackTls) -> None:
    """Bounded attempts with back-off, then REFUSED: nothing was sent."""
    with _free_port() as port:
        pass
    async with pooled(tls, port, attempts=2) as pool:
        batch = batch_of(3)
        await pool.send(batch)
        assert set(batch.failures.values()) == {Failure.REFUSED}


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 407 No\r\n\r\n"])
async def test_a_proxy_is_asked_to_connect(tls: LoopbackTls, answer: bytes) -> None:
    """RFC 9110, section 9.3.6: TLS begins inside the tunnel, or the reason is told."""
    script = Script()
    heads: list[bytes] = []
    tunnels: set[asyncio.Task[None] | None] = set()
    async with serving(tls, lambda: Server(script)) as port:
        handle = _proxy(port, answer, heads, tunnels)
        proxy = await asyncio.start_server(handle, "127.0.0.1", 0)
        address = f"http://user:p%40ss@127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        async with pooled(tls, port, proxy=address, attempts=1) as pool:
            batch = batch_of(20)
            await pool.send(batch)
            if b" 200 " in answer:
                assert not batch.failures
            else:
                assert "407" in (pool.snapshot().last_error or "")
        proxy.close()
        await asyncio.gather(*filter(None, tunnels))
    assert heads[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % port)
    assert b"Proxy-Authorization: Basic dXNlcjpwQHNz\r\n" in heads[0]


def _proxy(
    port: int, answer: bytes, heads: list[bytes], tunnels: set[asyncio.Task[None] | None]
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tunnels.add(asyncio.current_task())
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        there = await asyncio.open_connection("127.0.0.1", port)
        writer.write(answer)
        if b" 200 " in answer:
            await asyncio.gather(pipe(reader, there[1]), pipe(there[0], writer))
        else:
            for end in (there[1], writer):
                end.close()
                await end.wait_closed()

    return handle


async def test_close_finishes_what_is_open(tls: LoopbackTls) -> None:
    """Draining: answers on their way still count."""
    script = Script(held=[])
    clock = StillClock()  # by which the patience with the answers never ends
    async with serving(tls, lambda: Server(script)) as port, pooled(tls, port, clock) as pool:
        batch = batch_of(40)
        sending = asyncio.create_task(pool.send(batch))
        await script.forty.wait()
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0)
        script.release()
        await closing
        await sending
        assert not batch.failures
        late = batch_of(1)
        await pool.send(late)
        assert late.failures == {0: Failure.REFUSED}


@contextmanager
def _free_port() -> Iterator[int]:
    import socket  # noqa: PLC0415 - for this test alone

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@asynccontextmanager
async def program(argv: list[str], port: int | None = None) -> AsyncIterator[int]:
    """A server of another make, on its port."""
    child = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    try:
        if port is None:
            port = int(await child.stdout.readline())
        async with asyncio.timeout(120):
            while not await _listens(port):  # noqa: ASYNC110  another program
                await asyncio.sleep(0.05)
        yield port
    finally:
        child.terminate()
        await child.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@pytest.mark.skipif(shutil.which("nghttpd") is None, reason="nghttpd (nghttp2-server) is absent")
@pytest.mark.parametrize("streams", ["1", "7", "100"])
async def test_nghttpd_agrees(tls: LoopbackTls, tmp_path: Path, streams: str) -> None:
    """nghttp2's server: files are found, others are 404 with a body; large bodies pass."""
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "device").mkdir()
    for at in range(0, 120, 2):
        (tmp_path / "3" / "device" / f"{at:08x}").write_bytes(b"x" * at * 100)
    with _free_port() as port:
        pass
    argv = ["nghttpd", "-m", streams, "-d", str(tmp_path), str(port), str(tls.key)]
    async with (
        program([*argv, str(tls.certificate)], port),
        pooled(tls, port) as pool,
    ):
        small, large = batch_of(120), batch_of(6, body=bytes(200_000))
        await asyncio.gather(pool.send(small), pool.send(large))
        assert list(small.statuses) == [200, 404] * 60
        assert list(large.statuses) == [200, 404] * 3
        assert b"404" in small.answers[1].body


@pytest.mark.skipif(shutil.which("node") is None, reason="node is absent")
async def test_node_agrees(tls: LoopbackTls) -> None:
    """The http2 module of node: strict about the order of pseudo-header fields."""
    argv = ["node", "-e", NODE_SERVER, str(tls.key), str(tls.certificate)]
    async with program(argv) as port, pooled(tls, port) as pool:
        batch = batch_of(300, body=b"y" * 3_000)
        await pool.send(batch)
        assert not batch.failures
        assert {at for at, s in enumerate(batch.statuses) if s == 410} == set(range(7, 300, 16))
        kept = batch.answers[7]
        assert kept.body == b'{"reason":"Unregistered"}'
        assert (b"x-size", b"3000") in kept.headers
