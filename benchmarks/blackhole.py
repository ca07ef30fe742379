"""Runs the blackhole server: `python -m benchmarks.blackhole --port 9443 --delay-ms 20-40`.

With `--trace FILE` it writes down when requests came: see `benchmarks.blackhole_trace`.
"""

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, cast

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from benchmarks.blackhole_trace import Trace
from clarion.adapters.net.loopback_tls import make_loopback_tls
from clarion.wire.http2.blackhole import Blackhole, Delays

_FLUSH_EVERY_S: Final = 0.1


class _Driver(asyncio.Protocol):
    """A blackhole on a socket. While delayed answers wait it spins, to send each on time."""

    def __init__(self, max_streams: int, delays: Delays | None, trace: Trace | None) -> None:
        self._trace, self._tail = trace, b""
        self._core = Blackhole(max_streams=max_streams, delays=delays)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._spinning = False

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._flush()

    @override
    def data_received(self, data: bytes) -> None:
        before = self._core.answered
        self._core.feed(data, self._loop.time())
        self._flush()
        if self._trace is not None:
            now = time.monotonic()
            if self._core.answered > before:
                self._trace.requests(now)
            if self._trace.marker:
                self._tail = self._trace.search(self._tail, data, now)
        if self._core.waiting and not self._spinning:
            self._spinning = True
            self._spin()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def _flush(self) -> None:
        data = self._core.pull()
        if data and self._transport is not None:
            self._transport.write(data)

    def _spin(self) -> None:
        transport = self._transport
        if transport is None or not self._core.waiting:
            self._spinning = False
            return
        for answer in self._core.due(self._loop.time()):
            transport.write(answer)
        self._loop.call_soon(self._spin)


def _delays(bounds_ms: str) -> Delays:
    low, high = (float(part) / 1000 for part in bounds_ms.split("-"))
    chance = np.random.default_rng(1)

    def draw(count: int) -> npt.NDArray[np.float64]:
        return chance.uniform(low, high, count)

    return draw


async def _serve(options: argparse.Namespace, context: ssl.SSLContext) -> None:
    delays = _delays(options.delay_ms) if options.delay_ms else None
    loop = asyncio.get_running_loop()
    trace = Trace(options.trace, options.marker.encode()) if options.trace else None
    server = await loop.create_server(
        lambda: _Driver(options.max_streams, delays, trace),
        "127.0.0.1",
        options.port,
        ssl=context,
    )
    print(f"listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), None if trace is None else _FLUSH_EVERY_S)
        if trace is not None:
            trace.flush()
    server.close()
    if trace is not None:
        trace.close()


def main() -> None:
    """Serves until it is told to stop; the first line printed names the address."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--delay-ms", default="", help="LOW-HIGH: a delay for each answer alone")
    parser.add_argument("--max-streams", type=int, default=1000)
    parser.add_argument("--trace", type=Path, help="file for the times of arrival")
    parser.add_argument("--marker", default="", help="text before a number in traced bodies")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if options.certificate is None:
            made = make_loopback_tls(Path(folder), datetime.now(UTC))
            options.certificate, options.key = made.certificate, made.key
        context.load_cert_chain(options.certificate, options.key)
        context.set_alpn_protocols(["h2"])
        runner = asyncio.run
        if sys.platform != "win32":
            with contextlib.suppress(ImportError):
                import uvloop  # noqa: PLC0415 - optional

                runner = uvloop.run
        runner(_serve(options, context))


if __name__ == "__main__":
    main()
