"""The transport over real TLS on loopback: certificates, protocols, redirects, proxies, limits."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from clarion.adapters.net.addresses import Resolver
from clarion.adapters.net.loopback_tls import (
    LoopbackTls,
    issue_certificate,
    make_loopback_tls,
    server_context,
)
from clarion.adapters.net.serve_simulator import ServerHandle, serve
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, SimulatorCounts
from clarion.ports.transport import (
    ClientCertificate,
    EgressForbiddenError,
    Origin,
    TransportError,
)
from clarion.wire.endpoint import AllowList
from clarion.wire.http2 import Batch, Failure, HeaderSet, literal_field

CLOCK = SystemClock()
PROTOCOLS = pytest.mark.parametrize("alpn", [("h2",), ("http/1.1",)], ids=["http2", "http1"])


@dataclass
class Judge:
    """A simulator that answers by path and remembers."""

    answers: dict[str, SimulatedAnswer] = field(default_factory=dict)
    seen: list[SimulatedRequest] = field(default_factory=list)
    initial_max_streams: int = 100
    speaks_http1: bool = True

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """By path, or a bare 200."""
        self.seen.append(request)
        return self.answers.get(request.path, SimulatedAnswer())

    def closed(self, connection: int) -> None:
        """Nothing is kept."""

    def counts(self) -> SimulatorCounts:
        """How many came."""
        return SimulatorCounts(requests=len(self.seen))


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> LoopbackTls:
    """An authority, and a certificate for loopback and push.lan."""
    return make_loopback_tls(tmp_path_factory.mktemp("tls"), CLOCK.now(), names=["push.lan"])


@asynccontextmanager
async def serving(
    tls: LoopbackTls, judge: Judge, alpn: tuple[str, ...] = ("h2",)
) -> AsyncIterator[ServerHandle]:
    """A running simulator over TLS that also asks for client certificates."""
    context = server_context(tls.certificate, tls.key, alpn=alpn, client_ca=tls.ca_file)
    handle = await serve(judge, host="127.0.0.1", port=0, tls=context, clock=CLOCK)
    try:
        yield handle
    finally:
        await handle.close()


async def to_loopback(_host: str, _port: int) -> Sequence[str]:
    """A resolver that knows one address."""
    return ["127.0.0.1"]


async def no_names(host: str, _port: int) -> Sequence[str]:
    """A resolver that must not be asked."""
    raise AssertionError(host)


@asynccontextmanager
async def transporting(
    tls: LoopbackTls,
    resolver: Resolver = to_loopback,
    settings: TransportSettings = TransportSettings(),  # noqa: B008 - frozen
) -> AsyncIterator[NetTransport]:
    """A transport that trusts the loopback authority."""
    transport = NetTransport(
        replace(settings, ca_file=tls.ca_file), CLOCK, SystemChance(), resolver
    )
    try:
        yield transport
    finally:
        await transport.close()


def batch_of(*paths: bytes, extra: list[bytes] | None = None, deadline_s: float = 30.0) -> Batch:
    """A batch with a body, a shared field, and paths below /3/."""
    shared = HeaderSet(path_prefix=b"/3/", headers=((b"apns-topic", b"com.example"),))
    return Batch(shared, list(paths), body=b"{}", extra=extra, deadline_s=deadline_s)


@PROTOCOLS
async def test_a_batch_comes_back_as_columns(tls: LoopbackTls, alpn: tuple[str, ...]) -> None:
    """Statuses for all, answers for what is not 2xx, whatever the host speaks."""
    gone = SimulatedAnswer(status=410, headers=((b"x-why", b"dead"),), body=b'{"reason":"x"}')
    judge = Judge({"/3/b": gone})
    extra = [literal_field(b"apns-id", b"id-%d" % n) for n in range(3)]
    async with serving(tls, judge, alpn) as handle, transporting(tls) as transport:
        batch = batch_of(b"a", b"b", b"c", extra=extra)
        await transport.send(Origin(host="localhost", port=handle.port), batch, urgent=False)
    assert list(batch.statuses) == [200, 410, 200]
    assert list(batch.answers) == [1]
    assert (b"x-why", b"dead") in batch.answers[1].headers
    assert batch.answers[1].body == b'{"reason":"x"}'
    assert batch.done
    assert not batch.failures
    by_path = {seen.path: seen for seen in judge.seen}
    assert by_path["/3/c"].body == b"{}"
    assert by_path["/3/c"].authority == f"localhost:{handle.port}"
    assert (b"apns-topic", b"com.example") in by_path["/3/c"].headers
    assert (b"apns-id", b"id-2") in by_path["/3/c"].headers


@PROTOCOLS
async def test_a_redirect_is_an_answer_and_never_followed(
    tls: LoopbackTls, alpn: tuple[str, ...]
) -> None:
    """The egress guard could be led astray otherwise."""
    judge = Judge({"/3/a": SimulatedAnswer(status=307, headers=((b"location", b"/3/b"),))})
    async with serving(tls, judge, alpn) as handle, transporting(tls) as transport:
        batch = batch_of(b"a")
        await transport.send(Origin(host="localhost", port=handle.port), batch, urgent=True)
        url = f"https://localhost:{handle.port}/3/a"
        single = await transport.request("POST", url, headers=[], body=b"")
    assert list(batch.statuses) == [307]
    assert single.status == 307
    assert {seen.path for seen in judge.seen} == {"/3/a"}


@PROTOCOLS
async def test_a_client_certificate_is_presented_and_leaves_no_file(
    tls: LoopbackTls, alpn: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key passes through a file that is gone afterwards."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mine = issue_certificate(tls, CLOCK.now(), common_name="Apple Push: com.example")
    certificate = ClientCertificate(chain_pem=mine.chain_pem, key_pem=mine.key_pem)
    judge = Judge()
    async with serving(tls, judge, alpn) as handle, transporting(tls) as transport:
        origin = Origin(host="localhost", port=handle.port, certificate=certificate)
        await transport.send(origin, batch_of(b"a"), urgent=False)
        without = Origin(host="localhost", port=handle.port)
        await transport.send(without, batch_of(b"b"), urgent=False)
    first, second = judge.seen
    assert first.peer_certificate is not None
    assert b"Apple Push: com.example" in first.peer_certificate
    assert second.peer_certificate is None
    assert os.listdir(tmp_path) == []  # noqa: PTH208 - a test may block


async def test_a_client_certificate_that_cannot_be_used_is_told(tls: LoopbackTls) -> None:
    """A key of another certificate is the operator's fault, not the host's."""
    mine, other = (issue_certificate(tls, CLOCK.now(), common_name=n) for n in ("a", "b"))
    certificate = ClientCertificate(chain_pem=mine.chain_pem, key_pem=other.key_pem)
    async with transporting(tls, no_names) as transport:
        origin = Origin(host="push.lan", port=443, certificate=certificate)
        for _ in range(2):
            with pytest.raises(TransportError, match="client certificate cannot be used"):
                await transport.send(origin, batch_of(b"a"), urgent=False)


@PROTOCOLS
async def test_an_unknown_authority_is_refused_and_named(
    tls: LoopbackTls, alpn: tuple[str, ...], tmp_path: Path
) -> None:
    """Nothing is sent to a host whose certificate does not verify."""
    stranger = make_loopback_tls(tmp_path, CLOCK.now())
    judge = Judge()
    async with serving(tls, judge, alpn) as handle, transporting(stranger) as transport:
        origin = Origin(host="localhost", port=handle.port)
        batch = batch_of(b"a")
        await transport.send(origin, batch, urgent=False)
        sentence = transport.last_error(origin)
        with pytest.raises(TransportError, match="certificate verify failed"):
            await transport.request(
                "POST", f"https://localhost:{handle.port}/", headers=[], body=b""
            )
    assert batch.failures == {0: Failure.REFUSED}
    assert sentence is not None
    assert "certificate verify failed" in sentence
    assert judge.seen == []


async def test_a_certificate_for_another_name_is_refused(tls: LoopbackTls) -> None:
    """The name is checked although the connection goes to an address."""
    judge = Judge()
    async with serving(tls, judge) as handle, transporting(tls) as transport:
        origin = Origin(host="other.example", port=handle.port)
        batch = batch_of(b"a")
        await transport.send(origin, batch, urgent=False)
        sentence = transport.last_error(origin)
    assert batch.failures == {0: Failure.REFUSED}
    assert "other.example" in str(sentence)
    assert judge.seen == []


async def test_a_host_without_http2_is_remembered(tls: LoopbackTls) -> None:
    """The second batch opens no connection to find out again."""
    judge = Judge()
    async with serving(tls, judge, ("http/1.1",)) as handle:
        async with transporting(tls, settings=TransportSettings(http1_connections=1)) as transport:
            origin = Origin(host="localhost", port=handle.port)
            await transport.send(origin, batch_of(b"a"), urgent=False)
            connections = handle.wire.connections
            await transport.send(origin, batch_of(b"b", b"c"), urgent=False)
            assert handle.wire.connections == connections == 2
        async with transporting(
            tls, settings=TransportSettings(http1_remembered_s=0.0)
        ) as transport:
            await transport.send(origin, batch_of(b"d"), urgent=False)
            await transport.send(origin, batch_of(b"e"), urgent=False)
            assert handle.wire.connections == connections + 3
    assert [seen.path for seen in judge.seen] == ["/3/a", "/3/b", "/3/c", "/3/d", "/3/e"]


async def test_failures_over_http1_say_what_may_be_sent_again(tls: LoopbackTls) -> None:
    """Silence is a deadline, a cut connection is lost, an answer too long is broken off."""
    judge = Judge(
        {
            "/3/silent": SimulatedAnswer(silent=True),
            "/3/cut": SimulatedAnswer(drop_connection=True),
            "/3/long": SimulatedAnswer(status=400, body=bytes(300_000)),
        }
    )
    async with serving(tls, judge, ("http/1.1",)) as handle, transporting(tls) as transport:
        batch = batch_of(b"cut", b"long", b"fine")
        origin = Origin(host="localhost", port=handle.port)
        await transport.send(origin, batch, urgent=False)
        assert transport.last_error(origin) is not None
        late = batch_of(b"silent", deadline_s=0.3)
        await transport.send(origin, late, urgent=False)
    assert batch.failures == {0: Failure.CONNECTION_LOST, 1: Failure.RESET}
    assert list(batch.statuses) == [0, 0, 200]
    assert batch.done
    assert late.failures == {0: Failure.DEADLINE}


@PROTOCOLS
@pytest.mark.parametrize("host", ["127.0.0.1", "push.lan", "localhost"])
async def test_a_private_host_is_refused_unless_it_is_listed(
    tls: LoopbackTls, alpn: tuple[str, ...], host: str
) -> None:
    """The guard's allow list decides; without it no connection is opened."""
    judge = Judge()
    async with serving(tls, judge, alpn) as handle:
        origin = Origin(host=host, port=handle.port, guarded=True)
        async with transporting(tls) as transport:
            for _ in range(2):
                with pytest.raises(EgressForbiddenError):
                    await transport.send(origin, batch_of(b"a"), urgent=False)
        assert handle.wire.connections == 0
        listed = AllowList.parse([f"{host}:{handle.port}"])
        async with transporting(tls, settings=TransportSettings(allow=listed)) as transport:
            await transport.send(origin, batch_of(b"b"), urgent=False)
    assert [seen.path for seen in judge.seen] == ["/3/b"]


async def test_plain_http_is_for_listed_hosts_only(tls: LoopbackTls) -> None:
    """Without TLS there is nothing to agree on HTTP/2 with: it is HTTP/1.1."""
    judge = Judge({"/3/b": SimulatedAnswer(status=410)})
    handle = await serve(judge, host="127.0.0.1", port=0, tls=None, clock=CLOCK)
    origin = Origin(host="push.lan", port=handle.port, guarded=True, tls=False)
    try:
        async with transporting(tls) as transport:
            with pytest.raises(EgressForbiddenError):
                await transport.send(origin, batch_of(b"a"), urgent=False)
        assert handle.wire.connections == 0
        listed = AllowList.parse(["push.lan"])
        async with transporting(tls, settings=TransportSettings(allow=listed)) as transport:
            batch = batch_of(b"a", b"b")
            await transport.send(origin, batch, urgent=False)
            assert transport.last_error(origin) is None
    finally:
        await handle.close()
    assert list(batch.statuses) == [200, 410]
    assert {(seen.scheme, seen.authority) for seen in judge.seen} == {("http", origin.authority)}
    assert handle.wire.connections_http1 > 0


@PROTOCOLS
async def test_an_authority_of_our_own_does_not_replace_the_systems(
    tls: LoopbackTls, alpn: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A private push service and a public one are reached by the same process."""
    system = make_loopback_tls(tmp_path, CLOCK.now())
    monkeypatch.setenv("SSL_CERT_FILE", str(system.ca_file))
    async with (
        serving(system, Judge(), alpn) as public,
        serving(tls, Judge(), alpn) as private,
        transporting(tls) as transport,
    ):
        for port in (public.port, private.port):
            batch = batch_of(b"a")
            await transport.send(Origin(host="localhost", port=port), batch, urgent=False)
            assert list(batch.statuses) == [200]


async def test_a_public_name_with_one_private_address_is_refused(tls: LoopbackTls) -> None:
    """An honest name does not mix the two (DNS rebinding)."""

    async def mixed(_host: str, _port: int) -> Sequence[str]:
        return ["93.184.215.14", "127.0.0.1"]

    async with transporting(tls, mixed) as transport:
        origin = Origin(host="push.example.com", port=443, guarded=True)
        with pytest.raises(EgressForbiddenError, match=r"127\.0\.0\.1"):
            await transport.send(origin, batch_of(b"a"), urgent=True)


@PROTOCOLS
async def test_each_connection_resolves_once_and_again_for_the_next(
    tls: LoopbackTls, alpn: tuple[str, ...]
) -> None:
    """A name that turns private after its first connection gets no second one."""
    answers: list[list[str]] = []

    async def scripted(_host: str, _port: int) -> Sequence[str]:
        return answers.pop(0)

    judge = Judge({"/3/a": SimulatedAnswer(drop_connection=True)})
    async with serving(tls, judge, alpn) as handle:
        origin = Origin(host="push.lan", port=handle.port, guarded=True)
        allow = AllowList.parse(["push.lan"])
        async with transporting(
            tls, scripted, settings=TransportSettings(allow=allow)
        ) as transport:
            # Over HTTP/1.1: once to learn that, once to guard the batch, once to connect.
            answers += [["::1", "127.0.0.1"]] * (1 if "h2" in alpn else 3)
            await transport.send(origin, batch_of(b"a"), urgent=False)
            assert answers == []
            answers += [[]] * 4
            batch = batch_of(b"b")
            await transport.send(origin, batch, urgent=False)
            assert batch.failures == {0: Failure.REFUSED}
    assert [seen.path for seen in judge.seen] == ["/3/a"]


@asynccontextmanager
async def proxying(port: int) -> AsyncIterator[tuple[int, list[bytes]]]:
    """An HTTP proxy whose every tunnel leads to one port; its port, and the heads it read."""
    heads: list[bytes] = []
    writers: set[asyncio.StreamWriter] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        while octets := await reader.read(65_536):
            writer.write(octets)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        there = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], heads
    server.close()
    for writer in writers:
        writer.close()
    await server.wait_closed()


@PROTOCOLS
@pytest.mark.parametrize(
    ("guarded", "target"), [(False, b"CONNECT push.lan:"), (True, b"CONNECT 127.0.0.1:")]
)
async def test_a_proxy_gets_the_name_or_the_checked_address(
    tls: LoopbackTls, alpn: tuple[str, ...], target: bytes, *, guarded: bool
) -> None:
    """A guarded host's name is never left to the proxy to resolve."""
    judge = Judge()
    resolver = to_loopback if guarded else no_names
    async with serving(tls, judge, alpn) as handle, proxying(handle.port) as (port, heads):
        proxy = f"http://user:word@127.0.0.1:{port}"
        allow = AllowList.parse(["push.lan"])
        async with transporting(
            tls, resolver, settings=TransportSettings(proxy=proxy, allow=allow)
        ) as transport:
            origin = Origin(host="push.lan", port=handle.port, guarded=guarded)
            await transport.send(origin, batch_of(b"a"), urgent=False)
    assert [seen.path for seen in judge.seen] == ["/3/a"]
    assert all(head.startswith(target) for head in heads)
    assert b"Proxy-Authorization: Basic dXNlcjp3b3Jk" in heads[0]


async def test_a_single_request_gets_its_answer_or_a_reason(tls: LoopbackTls) -> None:
    """OAuth's way: status, fields in lower case and body; else a sentence that names the host."""
    answer = SimulatedAnswer(status=400, headers=((b"X-Why", b"grant"),), body=b"{}")
    judge = Judge({"/token": answer, "/slow": SimulatedAnswer(silent=True)})
    async with serving(tls, judge, ("http/1.1",)) as handle:
        base = f"https://localhost:{handle.port}"
        async with transporting(tls) as transport:
            found = await transport.request(
                "POST", f"{base}/token", headers=[("content-type", "text/plain")], body=b"a=b"
            )
        async with transporting(tls, settings=TransportSettings(request_s=0.3)) as transport:
            with pytest.raises(TransportError, match=r"localhost did not answer within 0\.3 s"):
                await transport.request("POST", f"{base}/slow", headers=[], body=b"")
    assert (found.status, found.body) == (400, b"{}")
    assert (b"x-why", b"grant") in found.headers
    assert judge.seen[0].body == b"a=b"


@pytest.mark.parametrize("url", ["https://[", "ftp://localhost/", "nonsense"])
async def test_a_single_request_to_no_url_is_an_error(tls: LoopbackTls, url: str) -> None:
    """Whatever the settings hold, the caller has one error to expect."""
    async with transporting(tls) as transport:
        with pytest.raises(TransportError):
            await transport.request("GET", url, headers=[], body=b"")


async def test_the_least_recently_used_idle_origin_makes_room(tls: LoopbackTls) -> None:
    """Endpoints of strangers cannot make connections pile up."""
    judge = Judge()
    async with (
        serving(tls, judge) as handle,
        transporting(tls, settings=TransportSettings(max_origins=2)) as transport,
    ):
        for partition in ("a", "b", "a", "c"):
            origin = Origin(host="localhost", port=handle.port, partition=partition)
            await transport.send(origin, batch_of(b"x"), urgent=False)
        assert [origin.partition for origin in transport._hosts] == ["a", "c"]
    assert len(judge.seen) == 4
