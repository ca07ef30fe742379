"""TLS over memory: records in, plaintext out, and back (RFC 9113, section 9.2; RFC 7301).

The event loop's own TLS offers no way to leave the socket alone for a tick, and takes the socket
over before a proxy's CONNECT is done; an `ssl.SSLObject` over two memory buffers does both, and
costs the same.
"""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

_ALPN: Final = ["h2", "http/1.1"]
"""http/1.1 is offered too, so that such a host says so instead of breaking the handshake off."""


class Http2NotOfferedError(Exception):
    """The host speaks TLS but not HTTP/2: talk HTTP/1.1 to it."""


def client_context(
    *, ca_file: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """A verifying client context for HTTP/2: TLS 1.2 or newer, ALPN `h2`.

    Args:
        ca_file: PEM file of authorities to trust besides the system's.
        certificate: PEM file of a client certificate chain, for mutual TLS.
        key: PEM file of its private key, when the chain's file does not hold it.
    """
    # A context that is given authorities leaves the system's out: they are added one by one.
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(ca_file)
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    prepare(context)
    return context


def prepare(context: ssl.SSLContext) -> None:
    """Makes a caller's client context fit for HTTP/2 (RFC 9113, section 9.2)."""
    context.set_alpn_protocols(_ALPN)
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)


class TlsPipe:
    """One client session of TLS.

    Attributes:
        established: Whether the handshake is done.
        ended: Whether the peer has closed the session.
    """

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._session = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name
        )
        # With a buffer, `read` returns the number of octets; typeshed knows only the other form.
        self._read = cast("Callable[[int, memoryview], int]", self._session.read)
        self.established = False
        self.ended = False

    def handshake(self) -> None:
        """Takes the handshake as far as the records at hand allow.

        Raises:
            ssl.SSLError: The handshake failed; certificates are the usual reason.
            Http2NotOfferedError: It succeeded, and the host did not choose `h2`.
        """
        try:
            self._session.do_handshake()
        except ssl.SSLWantReadError:
            return
        chosen = self._session.selected_alpn_protocol()
        if chosen != "h2":
            raise Http2NotOfferedError(f"the host offers {chosen or 'no protocol'}, not h2")
        self.established = True

    def receive(self, records: memoryview) -> None:
        """Takes octets from the socket."""
        self._incoming.write(records)

    def read_into(self, buffer: memoryview) -> int:
        """Decrypts as much as there is and fits, and returns its octets; 0 when nothing is left.

        Raises:
            ssl.SSLError: A record was forged or cut.
        """
        filled = 0
        size = len(buffer)
        read = self._read
        try:
            # One record at a time: with answers that trickle in, this loop is the client's cost.
            while filled < size:
                count = read(size - filled, buffer[filled:])
                if not count:
                    self.ended = True
                    break
                filled += count
        except ssl.SSLWantReadError:
            return filled
        except ssl.SSLZeroReturnError:
            self.ended = True
        return filled

    def write(self, plaintext: bytes) -> None:
        """Encrypts octets; fetch the records with `records`."""
        self._session.write(plaintext)

    def records(self) -> bytes:
        """The records to write to the socket now."""
        return self._outgoing.read()

    def close(self) -> None:
        """Says close_notify; what the peer says to it is not waited for."""
        try:
            self._session.unwrap()
        except ssl.SSLError:
            return
