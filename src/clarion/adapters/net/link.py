"""One connection on an event loop: socket, TLS and the HTTP/2 core, each in its place."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, cast

from typing_extensions import override

from clarion.adapters.net.rhythm import Rhythm
from clarion.adapters.net.tls import Http2NotOfferedError, TlsPipe
from clarion.adapters.net.tunnel import Tunnel, TunnelRefusedError
from clarion.wire.http2 import Batch, Connection, State

_BUFFER_OCTETS: Final = 256 * 1024
_BUSY_CHECK_S: Final = 0.1
_IDLE_CHECK_S: Final = 1.0

OPENING_ERRORS: Final = (OSError, ssl.SSLError, ssl.CertificateError, TunnelRefusedError)


class Owner(Protocol):
    """Who is told what happens on a link."""

    def has_room(self, link: "Link") -> None:
        """The link may take more requests now."""
        ...

    def ended(self, link: "Link") -> None:
        """The link is over; all its requests have ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a link gets to its host."""

    tls: TlsPipe | None
    tunnel: Tunnel | None


class Link(asyncio.BufferedProtocol):
    """A socket's protocol that drives a `Connection`.

    Args:
        connection: The core, not yet started.
        route: TLS session and proxy exchange, where there are any.
        owner: Told about room and the end.
        monotonic: Seconds that never go back.
        coalesce: Whether a tick may delay this link (never for urgent requests).

    Attributes:
        ready: Done when requests may be submitted; fails with why the host can't be reached.
        useful: Whether any request has ended on it while it was alive.
    """

    def __init__(
        self,
        connection: Connection,
        route: Route,
        owner: Owner,
        monotonic: Callable[[], float],
        *,
        coalesce: bool,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.connection = connection
        self.ready: asyncio.Future[None] = loop.create_future()
        self.useful = False
        self._loop = loop
        self._tls = route.tls
        self._tunnel = route.tunnel
        self._owner = owner
        self._monotonic = monotonic
        self._rhythm = Rhythm(enabled=coalesce)
        self._transport: asyncio.Transport | None = None
        # A memoryview, not a bytearray: asyncio's TLS transport corrupts the latter silently.
        self._raw = memoryview(bytearray(_BUFFER_OCTETS))
        self._plain = memoryview(bytearray(_BUFFER_OCTETS))
        self._writable = True
        self._over = False
        self._pausing: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Handle | None = None
        self._check: asyncio.TimerHandle | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is connected: to the proxy, or to the host."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=4 * _BUFFER_OCTETS)
        if self._tunnel is not None:
            self._transport.write(self._tunnel.request())
        else:
            self._begin()

    @override
    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the event loop reads into."""
        del sizehint
        return self._raw

    @override
    def buffer_updated(self, nbytes: int) -> None:
        """Octets have arrived."""
        data = self._raw[:nbytes]
        try:
            if self._tunnel is not None:
                self._through_tunnel(bytes(data))
            else:
                self._arrived(data)
        except (*OPENING_ERRORS, Http2NotOfferedError) as error:
            self._finish(error)

    @override
    def eof_received(self) -> bool:
        """The peer will send no more: the socket closes."""
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._finish(exc or ConnectionResetError("the host closed the connection"))

    @override
    def pause_writing(self) -> None:
        """The host reads slowly: requests wait."""
        self._writable = False

    @override
    def resume_writing(self) -> None:
        """The host has caught up."""
        self._writable = True
        self.flush()

    def submit(self, batch: Batch, *, urgent: bool) -> None:
        """Hands a batch to the connection; it is written soon, an urgent one at once."""
        was_idle = self.connection.idle
        self.connection.submit(batch, self._monotonic())
        if was_idle:
            self._schedule_check()
        if urgent:
            self.flush()
        elif self._flushing is None and self._pausing is None:
            self._flushing = self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Writes what may be written now."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        transport = self._transport
        if transport is None or self._over or not self._writable or not self._established():
            return
        data = self.connection.pull(self._monotonic())
        if data:
            self._write(transport, data)
        if self.connection.state is State.CLOSED:
            self._finish(None)

    def drain(self) -> None:
        """Finishes what is open, then closes."""
        self.connection.drain()
        self.flush()

    def abort(self, sentence: str) -> None:
        """Ends the link at once."""
        self._finish(ConnectionAbortedError(sentence))

    def _established(self) -> bool:
        return self._tunnel is None and (self._tls is None or self._tls.established)

    def _begin(self) -> None:
        """The way to the host is free: TLS, or the preface when there is none."""
        self._schedule_check()
        if self._tls is None:
            self.flush()
        else:
            self._shake_hands(self._tls)

    def _through_tunnel(self, data: bytes) -> None:
        if self._tunnel is None:
            return
        rest = self._tunnel.feed(data)
        if rest is None:
            return
        self._tunnel = None
        self._begin()
        if rest:
            self._arrived(memoryview(rest))

    def _shake_hands(self, tls: TlsPipe) -> None:
        try:
            tls.handshake()
        finally:
            # Also after a failure: the peer should learn of it by an alert.
            self._write_records(tls)
        if tls.established:
            self.flush()

    def _arrived(self, data: memoryview) -> None:
        connection = self.connection
        ended, were_open = connection.answered, connection.open_streams
        if self._tls is None:
            connection.feed(bytes(data), self._monotonic())
        else:
            self._decrypt(self._tls, data)
        now = self._monotonic()
        if connection.state is State.OPEN and not self.ready.done():
            self.ready.set_result(None)
        ended = connection.answered - ended
        if ended and connection.ending is None:
            self.useful = True
        self._owner.has_room(self)
        if self._rhythm.pause_after(ended, were_open, now) and connection.ending is None:
            self._pause()
        else:
            self.flush()

    def _decrypt(self, tls: TlsPipe, data: memoryview) -> None:
        tls.receive(data)
        if not tls.established:
            self._shake_hands(tls)
            if not tls.established:
                return
        now = self._monotonic()
        while octets := tls.read_into(self._plain):
            self.connection.feed(bytes(self._plain[:octets]), now)
        if tls.ended:
            self.connection.lost("the host closed the TLS session")

    def _pause(self) -> None:
        """Leaves the socket alone for a tick: what arrives meanwhile costs one read."""
        if self._transport is None or self._pausing is not None:
            return
        self._transport.pause_reading()
        self._pausing = self._loop.call_later(self._rhythm.tick_s, self._resume)

    def _resume(self) -> None:
        self._pausing = None
        if self._transport is not None and not self._over:
            self.flush()
            if not self._over:
                self._transport.resume_reading()

    def _write(self, transport: asyncio.Transport, data: bytes) -> None:
        if self._tls is None:
            transport.write(data)
            return
        self._tls.write(data)
        self._write_records(self._tls)

    def _write_records(self, tls: TlsPipe) -> None:
        records = tls.records()
        if records and self._transport is not None:
            self._transport.write(records)

    def _schedule_check(self) -> None:
        if self._check is not None:
            self._check.cancel()
        delay = _IDLE_CHECK_S if self.connection.idle else _BUSY_CHECK_S
        self._check = self._loop.call_later(delay, self._on_check)

    def _on_check(self) -> None:
        self.connection.tick(self._monotonic())
        self.flush()
        if self.connection.state is State.CLOSED:
            self._finish(None)  # it could not say so, to a host that does not read
        if not self._over:
            self._owner.has_room(self)
            self._schedule_check()

    def _finish(self, error: Exception | None) -> None:
        """The one way out: the requests end, the socket closes, the owner is told."""
        if self._over:
            return
        self._over = True
        for timer in (self._pausing, self._flushing, self._check):
            if timer is not None:
                timer.cancel()
        self.connection.lost("the connection ended" if error is None else str(error))
        if not self.ready.done():
            ending = self.connection.ending
            sentence = "no reason was given" if ending is None else ending.sentence
            self.ready.set_exception(error or ConnectionError(sentence))
            self.ready.exception()  # looked at: an opener that was cancelled leaves no warning
        if self._transport is not None:
            if self._tls is not None and self._tls.established:
                self._tls.close()
                self._write_records(self._tls)
            self._close_transport(self._transport)
        self._owner.ended(self)

    def _close_transport(self, transport: asyncio.Transport) -> None:
        """Closes after what is buffered; a host that does not read it is cut off."""
        if self._writable:
            transport.close()
        else:
            transport.abort()
