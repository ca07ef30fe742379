"""Outgoing HTTP for the providers: `ports.transport.Transport` over pools and one HTTP client."""

import asyncio
import ssl
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from clarion.adapters.net.addresses import Resolver, find_addresses, resolve
from clarion.adapters.net.http1 import Http1Host, Http1Limits, PinnedBackend
from clarion.adapters.net.pool import HostConfig, Http2Pool
from clarion.adapters.net.tls import Http2NotOfferedError, client_context
from clarion.ports.system import Chance, Clock
from clarion.ports.transport import (
    ClientCertificate,
    HttpAnswer,
    Origin,
    TransportError,
)
from clarion.wire.endpoint import NOBODY, AllowList
from clarion.wire.http2 import Batch

_CLOSE_CHECK_S = 0.01
_CLOSE_CHECKS = 500
"""Five seconds for what is under way over HTTP/1.1, as the HTTP/2 pool allows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TransportSettings:
    """How the world is reached."""

    ca_file: Path | None = None
    """PEM file of authorities to trust besides the system's."""
    proxy: str | None = field(default=None, repr=False)
    """`http://[user:password@]host:port`; every connection goes through it by CONNECT."""
    allow: AllowList = NOBODY
    """Hosts that the egress guard lets pass whatever their address."""
    max_connections: int = 4
    reserved_connections: int = 1
    """Connections per origin for bulk, and for urgent requests alone."""
    http1_connections: int = 8
    http1_remembered_s: float = 600.0
    """How long an origin that offered no HTTP/2 is not asked for it again."""
    connect_s: float = 10.0
    request_s: float = 10.0
    """Time limit of `request`."""
    max_origins: int = 512
    """Origins kept connected; beyond it the least recently used idle one is closed."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Host:
    """What is kept of an origin."""

    pool: Http2Pool | None
    """None where there is no TLS: plain HTTP/2 would need to be agreed on beforehand."""
    http1: dict[bool, Http1Host] = field(default_factory=dict)
    http1_until: float = 0.0
    users: int = 0


class NetTransport:
    """A `ports.transport.Transport`.

    Args:
        settings: How the world is reached.
        clock: For deadlines.
        chance: For jitter.
        resolver: Names to addresses; the system's by default.
    """

    def __init__(
        self,
        settings: TransportSettings,
        clock: Clock,
        chance: Chance,
        resolver: Resolver = resolve,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._resolver = resolver
        self._hosts: dict[Origin, _Host] = {}
        self._contexts: dict[tuple[ClientCertificate | None, bool], ssl.SSLContext] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._client: httpx.AsyncClient | None = None

    async def send(self, origin: Origin, batch: Batch, *, urgent: bool) -> None:
        """Send a batch; return when each request has an answer or a failure in the batch.

        No request waits for its answer longer than the setting says.

        Raises:
            EgressForbiddenError: the guard refuses the origin.
            TransportError: the origin's client certificate cannot be used.
        """
        batch.deadline_s = min(batch.deadline_s, self._settings.request_s)
        host = self._host_of(origin)
        host.users += 1
        try:
            await self._send(origin, host, batch, urgent=urgent)
        finally:
            host.users -= 1

    async def request(
        self, method: str, url: str, *, headers: Sequence[tuple[str, str]], body: bytes
    ) -> HttpAnswer:
        """One request within `request_s`; redirects are answers like any other.

        Raises:
            TransportError: there was no answer; the sentence says why.
        """
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=self._context(None, http2=False),
                proxy=self._settings.proxy,
                trust_env=False,
                follow_redirects=False,
            )
        try:
            host = httpx.URL(url).host
        except httpx.InvalidURL as error:
            raise TransportError(f"{url!r} is no URL: {error}") from error
        try:
            async with asyncio.timeout(self._settings.request_s):
                answer = await self._client.request(
                    method, url, headers=list(headers), content=body, timeout=None
                )
        except TimeoutError as error:
            limit = f"{self._settings.request_s:g} s"
            raise TransportError(f"{host} did not answer within {limit}") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            reason = str(error) or type(error).__name__
            raise TransportError(f"no answer from {host}: {reason}") from error
        fields = [(name.lower(), value) for name, value in answer.headers.raw]
        return HttpAnswer(status=answer.status_code, headers=fields, body=answer.content)

    def last_error(self, origin: Origin) -> str | None:
        """Why the origin's last failed connection, or request over HTTP/1.1, failed, if one did."""
        host = self._hosts.get(origin)
        if host is None:
            return None
        spoken = [http1.last_error for http1 in host.http1.values() if http1.last_error]
        if spoken or host.pool is None:
            return spoken[-1] if spoken else None
        return host.pool.snapshot().last_error

    async def close(self) -> None:
        """Finish what is under way, then close every connection."""
        hosts, self._hosts = list(self._hosts.values()), {}
        await asyncio.gather(*map(_close, hosts), *self._closing)
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _send(self, origin: Origin, host: _Host, batch: Batch, *, urgent: bool) -> None:
        if host.pool is not None and self._clock.monotonic() >= host.http1_until:
            try:
                await host.pool.send(batch, urgent=urgent)
            except Http2NotOfferedError:
                host.http1_until = self._clock.monotonic() + self._settings.http1_remembered_s
            else:
                return
        await self._guard(origin)
        await self._http1_of(origin, host, urgent=urgent).send(batch)

    async def _guard(self, origin: Origin) -> None:
        """Refuse a forbidden origin as a whole, before requests are spread over connections."""
        try:
            await self._find(origin)
        except OSError:
            return  # a name without an address is each request's failure to connect

    async def _find(self, origin: Origin) -> tuple[str, ...]:
        settings = self._settings
        return await find_addresses(
            origin,
            allow=settings.allow,
            resolver=self._resolver,
            proxied=settings.proxy is not None,
        )

    def _host_of(self, origin: Origin) -> _Host:
        host = self._hosts.pop(origin, None)
        if host is None:
            self._make_room()
            host = _Host(pool=self._open_pool(origin) if origin.tls else None)
        self._hosts[origin] = host  # the last one is the most recently used
        return host

    def _open_pool(self, origin: Origin) -> Http2Pool:
        settings = self._settings
        config = HostConfig(
            host=origin.host,
            port=origin.port,
            authority=origin.authority.encode(),
            tls=self._context(origin.certificate, http2=True),
            max_connections=settings.max_connections,
            reserved=settings.reserved_connections,
            proxy=settings.proxy,
            connect_s=settings.connect_s,
        )
        return Http2Pool(config, self._clock, self._chance, lambda: self._find(origin))

    def _http1_of(self, origin: Origin, host: _Host, *, urgent: bool) -> Http1Host:
        known = host.http1.get(urgent)
        if known is None:
            settings = self._settings
            known = host.http1[urgent] = Http1Host(
                origin,
                PinnedBackend(lambda: self._find(origin), settings.proxy),
                self._context(origin.certificate, http2=False) if origin.tls else None,
                self._clock,
                Http1Limits(connections=settings.http1_connections, connect_s=settings.connect_s),
            )
        return known

    def _make_room(self) -> None:
        if len(self._hosts) < self._settings.max_origins:
            return
        idle = next((origin for origin, host in self._hosts.items() if not host.users), None)
        if idle is not None:
            task = asyncio.get_running_loop().create_task(_close(self._hosts.pop(idle)))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _context(self, certificate: ClientCertificate | None, *, http2: bool) -> ssl.SSLContext:
        """A TLS context; HTTP/1.1 has its own, because ALPN is a property of the context."""
        key = certificate, http2
        context = self._contexts.get(key)
        if context is None:
            context = client_context(ca_file=self._settings.ca_file)
            if not http2:
                context.set_alpn_protocols(["http/1.1"])
            if certificate is not None:
                _load(context, certificate)
            self._contexts[key] = context
        return context


async def _close(host: _Host) -> None:
    if host.pool is not None:
        await host.pool.close()
    for _ in range(_CLOSE_CHECKS):
        if not host.users:
            break
        await asyncio.sleep(_CLOSE_CHECK_S)
    for http1 in host.http1.values():
        await http1.close()


def _load(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    """`ssl` reads keys from files only: one that no one else can read, gone at once."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:  # created with mode 0600
        file.write(certificate.key_pem.rstrip() + "\n" + certificate.chain_pem)
        file.flush()
        try:
            # An empty password, or OpenSSL would ask the terminal for that of an encrypted key.
            context.load_cert_chain(file.name, password="")
        except ssl.SSLError as error:
            reason = error.reason or "it cannot be read"
            raise TransportError(f"the client certificate cannot be used: {reason}") from error
