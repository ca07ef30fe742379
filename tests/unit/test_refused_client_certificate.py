"""A host that refuses our certificate: TLS 1.3 tells it after our handshake (RFC 8446, 4.4.2.4)."""

import asyncio
import gc
import socket
import ssl
import warnings
from pathlib import Path

from clarion.adapters.net.loopback_tls import make_loopback_tls, server_context
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.ports.transport import Origin
from clarion.wire.http2 import Batch, HeaderSet

CLOCK = SystemClock()


async def test_a_refused_client_certificate_leaves_no_socket_open(tmp_path: Path) -> None:
    """The requests end, with the reason told, and no socket is left for the collector to find."""
    tls = make_loopback_tls(tmp_path, CLOCK.now())
    context = server_context(tls.certificate, tls.key, alpn=["h2"], client_ca=tls.ca_file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(greet, sock=listener, ssl=context)
    transport = NetTransport(
        TransportSettings(ca_file=tls.ca_file, connect_s=60, request_s=60), CLOCK, SystemChance()
    )
    origin = Origin(host="127.0.0.1", port=listener.getsockname()[1])
    batch = Batch(HeaderSet(path_prefix=b"/", headers=()), [b"a", b"b"], body=b"{}")

    await transport.send(origin, batch, urgent=False)

    assert len(batch.failures) == 2
    assert transport.last_error(origin) is not None
    await transport.close()
    server.close()
    await server.wait_closed()
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    assert not left
