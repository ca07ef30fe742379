"""Batches over HTTP/1.1, for hosts that speak nothing newer; httpx's engine does the talking."""

import asyncio
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import httpcore
from hpack import Decoder
from typing_extensions import override

from clarion.adapters.net.addresses import Find
from clarion.adapters.net.tunnel import Tunnel, TunnelRefusedError
from clarion.ports.system import Clock
from clarion.ports.transport import EgressForbiddenError, Origin
from clarion.wire.http2 import Answer, Batch, Failure, Field

_LONGEST_BODY = 1 << 18
_READ_OCTETS = 16_384

_NEVER_WRITTEN = (
    httpcore.ConnectError,
    httpcore.ConnectTimeout,
    httpcore.PoolTimeout,
    EgressForbiddenError,
)
_FAULTS = (
    *_NEVER_WRITTEN,
    TimeoutError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
)


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Connects to checked addresses, through a proxy where there is one.

    The engine above it knows only the host's name, which TLS and the Host field use.
    """

    def __init__(self, find: Find, proxy: str | None) -> None:
        self._find = find
        self._proxy = proxy
        self._sockets = httpcore.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Open a stream to the first address that answers."""
        try:
            addresses = await self._find()
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        patience_s = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._reach(address, port, patience_s)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._reach(addresses[-1], port, patience_s)

    @override
    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _reach(
        self, address: str, port: int, timeout_s: float | None
    ) -> httpcore.AsyncNetworkStream:
        if self._proxy is None:
            return await self._sockets.connect_tcp(address, port, timeout=timeout_s)
        tunnel = Tunnel(self._proxy, address, port)
        stream = await self._sockets.connect_tcp(*tunnel.address, timeout=timeout_s)
        try:
            await stream.write(tunnel.request(), timeout=timeout_s)
            while tunnel.feed(await _read_some(stream, timeout_s)) is None:
                pass
        except (TunnelRefusedError, httpcore.NetworkError, httpcore.TimeoutException) as error:
            await stream.aclose()
            raise httpcore.ConnectError(str(error)) from error
        return stream


async def _read_some(stream: httpcore.AsyncNetworkStream, timeout_s: float | None) -> bytes:
    octets = await stream.read(_READ_OCTETS, timeout=timeout_s)
    if not octets:
        raise TunnelRefusedError("the proxy closed the connection")
    return octets


@dataclass(frozen=True, kw_only=True, slots=True)
class Http1Limits:
    """How many connections, and how long one may take to open."""

    connections: int = 8
    connect_s: float = 10.0


class Http1Host:
    """One origin spoken to over HTTP/1.1, each connection carrying one request at a time.

    Attributes:
        last_error: why the last failed request failed, if one did.
    """

    def __init__(
        self,
        origin: Origin,
        backend: PinnedBackend,
        tls: ssl.SSLContext | None,
        clock: Clock,
        limits: Http1Limits,
    ) -> None:
        self.last_error: str | None = None
        self._origin = origin
        self._clock = clock
        self._limits = limits
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=limits.connections,
            http1=True,
            http2=False,
            network_backend=backend,
        )

    async def send(self, batch: Batch) -> None:
        """Send what the batch has left; return when each request has an answer or a failure."""
        indexes = [index for index in range(len(batch)) if _is_unsent(batch, index)]
        for index in indexes:
            batch.failures.pop(index, None)
        batch.claimed = len(batch)
        batch.left = len(indexes)
        start_by = self._clock.monotonic() + batch.deadline_s
        waiting = iter(indexes)
        if batch.on_written is not None:
            batch.on_written()  # httpx does not tell when it writes: at once, or after connecting
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(len(indexes), self._limits.connections)):
                workers.create_task(self._work(batch, waiting, start_by))

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def _work(self, batch: Batch, waiting: Iterator[int], start_by: float) -> None:
        for index in waiting:
            if self._clock.monotonic() >= start_by:
                outcome: Answer | Failure = Failure.REFUSED
            else:
                outcome = await self._exchange(batch, index)
            _record(batch, index, outcome)

    async def _exchange(self, batch: Batch, index: int) -> Answer | Failure:
        try:
            async with asyncio.timeout(batch.deadline_s):
                return await self._ask(batch, index)
        except _FAULTS as error:
            failure = _failure_of(error)
            self.last_error = f"{type(error).__name__}: {error}"
            return failure

    async def _ask(self, batch: Batch, index: int) -> Answer | Failure:
        shared = batch.headers
        request = self._pool.stream(
            shared.method,
            httpcore.URL(
                scheme=self._origin.scheme.encode(),
                host=self._origin.host.encode(),
                port=self._origin.port,
                target=shared.path_prefix + batch.paths[index],
            ),
            headers=[
                (b"host", self._origin.authority.encode()),
                *shared.headers,
                *_extra_fields(batch, index),
            ],
            content=batch.body_of(index),
            extensions={
                "timeout": {
                    "connect": self._limits.connect_s,
                    "pool": batch.deadline_s,
                    "read": batch.deadline_s,
                    "write": batch.deadline_s,
                }
            },
        )
        body = bytearray()
        async with request as response:
            async for piece in response.aiter_stream():
                body += piece
                if len(body) > _LONGEST_BODY:
                    return Failure.RESET
            fields = tuple((name.lower(), value) for name, value in response.headers)
            return Answer(response.status, fields, bytes(body))


def _failure_of(error: Exception) -> Failure:
    if isinstance(error, _NEVER_WRITTEN):
        return Failure.REFUSED
    if isinstance(error, (TimeoutError, httpcore.TimeoutException)):
        return Failure.DEADLINE
    return Failure.CONNECTION_LOST


def _is_unsent(batch: Batch, index: int) -> bool:
    failure = batch.failures.get(index)
    return batch.statuses[index] == 0 and (failure is None or failure.safe_to_resend)


def _extra_fields(batch: Batch, index: int) -> list[Field]:
    """A request's own fields, which the batch holds as literals that touch no table."""
    if batch.extra is None or not batch.extra[index]:
        return []
    return list(Decoder().decode(batch.extra[index], raw=True))


def _record(batch: Batch, index: int, outcome: Answer | Failure) -> None:
    if isinstance(outcome, Failure):
        batch.failures[index] = outcome
    else:
        batch.statuses[index] = outcome.status
        if batch.keep_bodies or not 200 <= outcome.status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
            batch.answers[index] = outcome
    batch.left -= 1
