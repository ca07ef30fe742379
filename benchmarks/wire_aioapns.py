"""aioapns as a peer of `benchmarks.wire`: its own server, and a client that prints CPU seconds.

aioapns matches an answer to its request by the `apns-id` header, which the blackhole does not
send; so it gets a small server on the `h2` library, which aioapns brings along. What the server
costs does not count: only the client's CPU time is compared.
"""

import argparse
import asyncio
import json
import logging
import resource
import ssl
from pathlib import Path
from typing import cast

import h2.config
import h2.connection
import h2.events
from typing_extensions import override


class _Echo(asyncio.Protocol):
    """Answers 200 with the request's apns-id."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self._core = h2.connection.H2Connection(config)
        self._ids: dict[int, bytes] = {}
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._core.initiate_connection()
        self._transport.write(self._core.data_to_send())

    @override
    def data_received(self, data: bytes) -> None:
        for event in self._core.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self._ids[event.stream_id] = dict(event.headers)[b"apns-id"]
            elif isinstance(event, h2.events.DataReceived):
                self._core.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                fields = [(b":status", b"200"), (b"apns-id", self._ids.pop(event.stream_id))]
                self._core.send_headers(event.stream_id, fields, end_stream=True)
        if self._transport is not None:
            self._transport.write(self._core.data_to_send())


async def _serve(certificate: Path, key: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    server = await asyncio.get_running_loop().create_server(_Echo, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def _send(port: int, count: int, client_pem: Path) -> float:
    from aioapns import APNs, NotificationRequest  # noqa: PLC0415 - installed with the peers only
    from aioapns.connection import APNsProductionClientProtocol  # noqa: PLC0415

    apns = APNs(
        client_cert=str(client_pem),
        topic="org.example.app",
        max_connections=1,
        no_cert_validation=True,
    )
    local = {"APNS_SERVER": "127.0.0.1", "APNS_PORT": port}
    apns.pool.protocol_class = type("Local", (APNsProductionClientProtocol,), local)
    message = {"aps": {"alert": {"title": "Breaking news", "body": "Something has happened"}}}
    requests = [
        NotificationRequest(device_token=f"{at:064x}", message=message, priority=10)
        for at in range(count)
    ]
    await apns.send_notification(requests[0])
    before = resource.getrusage(resource.RUSAGE_SELF)
    results = await asyncio.gather(*map(apns.send_notification, requests))
    after = resource.getrusage(resource.RUSAGE_SELF)
    if not all(result.is_successful for result in results):
        raise SystemExit("aioapns was not answered 200")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Entry of the child: serves, or sends."""
    # It warns of each wait for a connection; written to a pipe that nobody reads, that blocks it.
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--client-pem", type=Path)
    options = parser.parse_args()
    if options.port is None:
        asyncio.run(_serve(options.certificate, options.key))
    else:
        cpu_s = asyncio.run(_send(options.port, options.count, options.client_pem))
        print(json.dumps({"cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
