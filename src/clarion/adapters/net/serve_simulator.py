"""Serves a network's simulator over HTTP/2, and over HTTP/1.1 where the network takes it."""

import asyncio
import itertools
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from typing_extensions import override

from clarion.adapters.net.serve_http1 import Http1Connection
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, Simulator, SimulatorCounts
from clarion.ports.system import Clock
from clarion.wire.http2.errors import ErrorCode
from clarion.wire.http2.frames import PREFACE
from clarion.wire.http2.server import ServerConnection, ServerLimits
from clarion.wire.http2.server_events import ConnectionFailed, RequestRead, StreamRefused

_LINGER_S = 0.5
"""How long a finished connection waits for the client to close it: closing first while octets of
the client are unread would make the kernel throw away our last answers."""


@dataclass(kw_only=True, slots=True)
class WireCounts:
    """What clients did to the server, besides making requests."""

    connections: int = 0
    connections_http1: int = 0
    streams_refused: int = 0
    """Streams reset because of what the client did: above the limit, malformed, and so on."""
    connections_failed: int = 0
    """Connections ended because the client broke the protocol."""
    last_fault: str = ""


class ServerHandle:
    """A running server."""

    def __init__(
        self,
        server: asyncio.Server,
        simulator: Simulator,
        wire: WireCounts,
        drivers: set["_Driver"],
    ) -> None:
        self._server = server
        self._simulator = simulator
        self._drivers = drivers
        self.wire = wire
        self.port: int = server.sockets[0].getsockname()[1]

    def counts(self) -> SimulatorCounts:
        """What the simulator saw."""
        return self._simulator.counts()

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        self._server.close()
        open_now = list(self._drivers)
        for driver in open_now:
            driver.abort()
        for driver in open_now:
            await driver.ended.wait()
        await self._server.wait_closed()


async def serve(
    simulator: Simulator, *, host: str, port: int, tls: ssl.SSLContext | None, clock: Clock
) -> ServerHandle:
    """Listen on `host` and `port` (0: any free one) and let `simulator` answer.

    With TLS the protocol is chosen by ALPN; without, by the client's first octets.

    Raises:
        OSError: the address is taken or not ours.
    """
    numbers = itertools.count(1)
    wire = WireCounts()
    drivers: set[_Driver] = set()

    def accept() -> _Driver:
        return _Driver(next(numbers), simulator, clock, wire, drivers)

    server = await asyncio.get_running_loop().create_server(accept, host, port, ssl=tls)
    return ServerHandle(server, simulator, wire, drivers)


class _Driver(asyncio.Protocol):
    """One accepted connection; hands its octets to the core that speaks its protocol."""

    def __init__(
        self,
        number: int,
        simulator: Simulator,
        clock: Clock,
        wire: WireCounts,
        drivers: set["_Driver"],
    ) -> None:
        self.number = number
        self.simulator = simulator
        self.clock = clock
        self.wire = wire
        self.certificate: bytes | None = None
        self.scheme = "http"
        self.closing = False
        self.ended = asyncio.Event()
        self._drivers = drivers
        self._transport: asyncio.Transport | None = None
        self._speaker: _Http2 | Http1Connection | None = None
        self._opening = b""
        self._tasks: set[asyncio.Task[None]] = set()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by form, not by inheritance.
        self._transport = cast("asyncio.Transport", transport)
        self._drivers.add(self)
        self.wire.connections += 1
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return
        self.scheme = "https"
        self.certificate = tls.getpeercert(binary_form=True)
        self._start(http2=tls.selected_alpn_protocol() == "h2")

    @override
    def data_received(self, data: bytes) -> None:
        if self._speaker is None:
            self._opening += data
            if PREFACE.startswith(self._opening[: len(PREFACE)]):
                if len(self._opening) < len(PREFACE):
                    return
                self._start(http2=True)
            else:
                self._start(http2=False)
            data, self._opening = self._opening, b""
        if self._speaker is not None and not self.closing:
            self._speaker.receive(data)

    @override
    def eof_received(self) -> bool:
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._drivers.discard(self)
        self.closing = True
        for task in self._tasks:
            task.cancel()
        self.simulator.closed(self.number)
        self.ended.set()

    @override
    def pause_writing(self) -> None:
        # A client that does not read its answers is not read either.
        if self._transport is not None:
            self._transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def _start(self, *, http2: bool) -> None:
        if http2:
            self._speaker = _Http2(self)
            self._speaker.flush()
        elif self.simulator.speaks_http1:
            self.wire.connections_http1 += 1
            self._speaker = Http1Connection(self)
        else:
            self.abort()

    def ask(self, request: RequestRead) -> SimulatedAnswer:
        """Let the simulator judge a request."""
        return self.simulator.answer(
            SimulatedRequest(
                connection=self.number,
                stream=request.stream,
                method=request.method,
                path=request.path,
                authority=request.authority,
                headers=request.fields,
                body=request.body,
                peer_certificate=self.certificate,
                now=self.clock.now(),
                scheme=self.scheme,
            )
        )

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Act after a delay by the clock, unless the connection has ended by then."""
        task = asyncio.get_running_loop().create_task(self._wait(delay_s, act))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(self, delay_s: float, act: Callable[[], None]) -> None:
        await self.clock.sleep(delay_s)
        try:
            act()
        except Exception as error:  # noqa: BLE001 - reported like a fault in data_received
            self.abort()  # rather than leave the client waiting
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the simulator's answer failed", "exception": error, "protocol": self}
            )

    def write(self, data: bytes) -> None:
        """Send octets."""
        if data and self._transport is not None and not self.closing:
            self._transport.write(data)

    def abort(self) -> None:
        """Cut the connection without a word."""
        self.closing = True
        if self._transport is not None:
            self._transport.abort()

    def finish(self) -> None:
        """All is said: ignore what comes, wait a moment for the client to close, then close."""
        if not self.closing and self._transport is not None:
            self.closing = True
            if self._transport.can_write_eof():
                self._transport.write_eof()
            asyncio.get_running_loop().call_later(_LINGER_S, self._transport.close)


class _Http2:
    """Between the driver and the sans-I/O core."""

    def __init__(self, driver: _Driver) -> None:
        self._driver = driver
        self._core = ServerConnection(
            ServerLimits(max_streams=driver.simulator.initial_max_streams)
        )
        self._due: list[tuple[int, SimulatedAnswer]] = []

    def receive(self, data: bytes) -> None:
        for event in self._core.feed(data):
            if self._driver.closing:
                return
            if isinstance(event, RequestRead):
                answer = self._driver.ask(event)
                if answer.silent:
                    continue
                if answer.delay_s > 0:
                    self._schedule(event.stream, answer)
                else:
                    self._act(event.stream, answer)
            elif isinstance(event, StreamRefused):
                self._driver.wire.streams_refused += 1
                self._driver.wire.last_fault = event.reason
            elif isinstance(event, ConnectionFailed):
                self._driver.wire.connections_failed += 1
                self._driver.wire.last_fault = event.reason
        self.flush()

    def flush(self) -> None:
        self._driver.write(self._core.pull())
        if self._core.finished:
            self._driver.finish()

    def _schedule(self, stream: int, answer: SimulatedAnswer) -> None:
        def act() -> None:
            self._act(stream, answer)
            self.flush()

        self._driver.later(answer.delay_s, act)

    def _act(self, stream: int, answer: SimulatedAnswer) -> None:
        core = self._core
        if answer.drop_connection:
            self._driver.abort()
            return
        if answer.reset is not None:
            core.reset(stream, ErrorCode(answer.reset))
        else:
            core.respond(stream, answer.status, answer.headers, answer.body)
        if answer.max_streams is not None:
            core.announce_max_streams(answer.max_streams)
        if answer.goaway is not None:
            core.go_away(answer.goaway)
