"""Runs a network's simulator on a socket: strict, with faults on request, over loopback TLS."""

import asyncio
import contextlib
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from clarion.adapters.net.loopback_tls import LoopbackTls, make_loopback_tls, server_context
from clarion.adapters.net.serve_simulator import ServerHandle, serve
from clarion.app.simulate_blackhole import Blackholes
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, Simulator, SimulatorCounts
from clarion.ports.system import Clock

COUNTS_PATH: Final = "/_counts"
COUNTS_EVERY_S: Final = 1.0
_RENEW_BEFORE: Final = timedelta(days=2)

Counts = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """Where a simulator listens, and where it writes what it saw."""

    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""
    tls: bool = True
    tls_dir: Path | None = None
    """Where the authority and the certificate are kept; None: a directory that is removed."""
    counts_file: Path | None = None
    client_certificates: tuple[Path, ...] = ()
    """PEM files of certificates that clients may present; no others are taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunningSimulator:
    """A simulator that can be reached."""

    url: str
    port: int
    ca_file: Path | None
    counts: Callable[[], Counts]
    """What it saw so far, ready for JSON."""


class TlsFolderError(Exception):
    """The certificate of the simulator can't be made or read; the sentence says why."""


class Watched:
    """A simulator that also tells at `GET /_counts` what it saw."""

    def __init__(self, judge: Simulator) -> None:
        self._judge = judge
        self.tell: Callable[[], Counts] = dict

    @property
    def initial_max_streams(self) -> int:
        """As the judge says."""
        return self._judge.initial_max_streams

    @property
    def speaks_http1(self) -> bool:
        """As the judge says."""
        return self._judge.speaks_http1

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Judge one request; a look at the counts is none."""
        if request.path == COUNTS_PATH and request.method == "GET":
            said = json.dumps(self.tell()).encode()
            return SimulatedAnswer(headers=[(b"content-type", b"application/json")], body=said)
        return self._judge.answer(request)

    def closed(self, connection: int) -> None:
        """A connection has ended."""
        self._judge.closed(connection)

    def counts(self) -> SimulatorCounts:
        """What the judge saw."""
        return self._judge.counts()


@contextlib.asynccontextmanager
async def simulating(
    judge: Watched | Blackholes, listen: Listen, clock: Clock
) -> AsyncIterator[RunningSimulator]:
    """Serve a simulator until the block ends.

    Raises:
        OSError: the address is taken or not ours.
        TlsFolderError: no certificate can be made there.
    """
    with _certificate(listen, clock.now()) as tls:
        context = None if tls is None else _context(tls, judge, listen.client_certificates)
        async with _served(judge, listen, context, clock) as (port, counts):
            scheme = "http" if context is None else "https"
            running = RunningSimulator(
                url=f"{scheme}://{_bracketed(listen.host)}:{port}",
                port=port,
                ca_file=None if tls is None else tls.ca_file,
                counts=counts,
            )
            async with _written(running, listen.counts_file, clock):
                yield running


def loopback_tls(folder: Path, now: datetime, host: str = "127.0.0.1") -> LoopbackTls:
    """The authority and certificate in a directory: those that are there, or new ones.

    Raises:
        TlsFolderError: the directory can't be written.
    """
    tls = LoopbackTls(
        ca_file=folder / "ca.pem",
        certificate=folder / "server.pem",
        key=folder / "server.key",
        ca_key=folder / "ca.key",
    )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if all(file.is_file() for file in (tls.ca_file, tls.certificate, tls.key, tls.ca_key)):
            end = x509.load_pem_x509_certificate(tls.certificate.read_bytes()).not_valid_after_utc
            if end - _RENEW_BEFORE > now:
                return tls
        return make_loopback_tls(folder, now, names=[host])
    except (OSError, ValueError) as error:
        raise TlsFolderError(f"no certificate can be made in {folder}: {error}") from error


@contextlib.contextmanager
def _certificate(listen: Listen, now: datetime) -> Iterator[LoopbackTls | None]:
    if not listen.tls:
        yield None
    elif listen.tls_dir is not None:
        yield loopback_tls(listen.tls_dir, now, listen.host)
    else:
        with tempfile.TemporaryDirectory(prefix="clarion-simulate-") as folder:
            yield loopback_tls(Path(folder), now, listen.host)


def _context(
    tls: LoopbackTls, judge: Watched | Blackholes, clients: Sequence[Path]
) -> ssl.SSLContext:
    http1 = isinstance(judge, Watched) and judge.speaks_http1
    alpn = ("h2", "http/1.1") if http1 else ("h2",)
    context = server_context(tls.certificate, tls.key, alpn=alpn)
    for file in clients:
        # Trusted themselves, whoever signed them: Apple's authorities vouch for more than these.
        context.load_verify_locations(file)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = ssl.CERT_OPTIONAL  # the judge says whether one is needed
    return context


@contextlib.asynccontextmanager
async def _served(
    judge: Watched | Blackholes, listen: Listen, context: ssl.SSLContext | None, clock: Clock
) -> AsyncIterator[tuple[int, Callable[[], Counts]]]:
    if isinstance(judge, Blackholes):
        loop = asyncio.get_running_loop()
        server = await loop.create_server(judge.accept, listen.host, listen.port, ssl=context)
        try:
            yield server.sockets[0].getsockname()[1], lambda: _blackhole_counts(judge)
        finally:
            server.close()
            judge.abort()
            await server.wait_closed()
        return
    handle = await serve(judge, host=listen.host, port=listen.port, tls=context, clock=clock)
    judge.tell = lambda: _strict_counts(handle)
    try:
        yield handle.port, judge.tell
    finally:
        await handle.close()


def _strict_counts(handle: ServerHandle) -> Counts:
    seen = handle.counts()
    by_status = {str(status): count for status, count in sorted(seen.by_status.items())}
    return {"requests": seen.requests, "by_status": by_status} | asdict(handle.wire)


def _blackhole_counts(blackholes: Blackholes) -> Counts:
    answered = blackholes.answered
    return {
        "requests": answered,
        "by_status": {"200": answered},
        "connections": blackholes.connections,
    }


@contextlib.asynccontextmanager
async def _written(
    running: RunningSimulator, file: Path | None, clock: Clock
) -> AsyncIterator[None]:
    """Keep a file of the counts current, and leave the last ones in it."""
    if file is None:
        yield
        return
    _write(file, running.counts())
    task = asyncio.create_task(_write_on(running, file, clock))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        _write(file, running.counts())


async def _write_on(running: RunningSimulator, file: Path, clock: Clock) -> None:
    before: Counts = {}
    while True:
        await clock.sleep(COUNTS_EVERY_S)
        counts = running.counts()
        if counts != before:
            before = counts
            _write(file, counts)


def _write(file: Path, counts: Counts) -> None:
    """Whoever reads the file finds all of the old or all of the new counts."""
    draft = file.with_name(f"{file.name}.part")
    draft.write_text(json.dumps(counts) + "\n")
    draft.replace(file)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
