"""Web Push, encrypted and sent: messages per CPU second, ours and pywebpush's, in turns.

    python -m benchmarks.webpush [--quick] [--json]

Every client is a child process that sends distinct subscriptions' messages over TLS to one and
the same local service, which is a process of its own, says 201 to everything and speaks HTTP/2
and HTTP/1.1. A client's CPU is its user and system time, without what it costs to start and to
open the first connection: each warms up before it counts.

- **fresh**: `WebPushProvider.send` in chunks of 500, a fresh P-256 key pair for each message
  (RFC 8291 section 3.1). This is the default, and what the ratios compare.
- **kept**: the same with `sender_key_lifetime_s`, the shared secrets already remembered, as in
  every message to a subscription but the first. Reported apart, because it trades secrecy.
- **pywebpush**: `webpush()` as its documentation calls it, one call a message.
- **pywebpush, kept session**: the same with one `requests.Session` for all calls and one VAPID
  key object, the fastest way to call it.

`encrypt_vs_openssl_limit` comes from `benchmarks.webpush_encryption`.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import ssl
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np

from benchmarks import harness, webpush_encryption
from clarion.adapters.net.loopback_tls import make_loopback_tls
from clarion.adapters.net.serve_simulator import serve
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.system import SystemChance, SystemClock
from clarion.domain.content import Content, Message
from clarion.domain.handoffs import Recipients
from clarion.domain.ids import AppId, CredentialId, MessageId
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Verdict
from clarion.ports.provider import Credential, SendRequest
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest, SimulatorCounts
from clarion.providers.webpush import payload
from clarion.providers.webpush.client import (
    WebPushProvider,
    WebPushSettings,
)
from clarion.providers.webpush.credential import make_vapid_credential
from clarion.wire.endpoint import AllowList
from clarion.wire.jose import base64url_encode
from clarion.wire.webpush import ReceiverKey

CHUNK: Final = CHUNK_RECIPIENTS[Lane.CAMPAIGN]
CONTACT: Final = "mailto:ops@example.org"
ALLOW: Final = AllowList.parse(["127.0.0.1"])
TAKEN: Final = SimulatedAnswer(
    status=201, headers=((b"location", b"https://127.0.0.1/m/1"), (b"ttl", b"3600"))
)
MESSAGE: Final = Message(
    id=MessageId("0192aaaa-0000-7000-8000-000000000001"),
    app=AppId(1),
    lane=Lane.CAMPAIGN,
    content=Content(
        title="Your parcel is here",
        body="Locker 12, code 4711",
        link="https://shop.example.org/orders/4711",
    ),
)


class Yes:
    """The cheapest judge there is: every message is taken."""

    initial_max_streams = 1000
    speaks_http1 = True

    def __init__(self) -> None:
        self._requests = 0

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Take it."""
        del request
        self._requests += 1
        return TAKEN

    def closed(self, connection: int) -> None:
        """Nothing belongs to a connection."""

    def counts(self) -> SimulatorCounts:
        """How many came."""
        return SimulatorCounts(requests=self._requests)


async def run_service(folder: Path) -> None:
    """Serve until told to stop; the first line printed is the port."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server.pem", folder / "server.key")
    tls.set_alpn_protocols(["h2", "http/1.1"])
    handle = await serve(Yes(), host="127.0.0.1", port=0, tls=tls, clock=SystemClock())
    print(handle.port, flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()
    await handle.close()


def cpu_s() -> float:
    """User and system time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def columns(port: int, count: int) -> Recipients:
    """Subscriptions with key pairs of their own."""
    receivers = [ReceiverKey.generate(os.urandom(16)) for _ in range(count)]
    return Recipients(
        device=np.arange(count, dtype=np.int64),
        user=np.arange(count, dtype=np.int64),
        registered_us=np.zeros(count, np.int64),
        environment=np.zeros(count, np.uint8),
        tokens=[b"https://127.0.0.1:%d/wpush/v2/%0128x" % (port, row) for row in range(count)],
        keys=[receiver.public + receiver.auth for receiver in receivers],
    )


async def run_ours(folder: Path, port: int, count: int, lifetime_s: float) -> None:
    """Send through the provider and print the CPU seconds it took."""
    clock, chance = SystemClock(), SystemChance()
    transport = NetTransport(
        TransportSettings(ca_file=folder / "ca.pem", allow=ALLOW), clock, chance
    )
    settings = WebPushSettings(allow=ALLOW, sender_key_lifetime_s=lifetime_s)
    provider = WebPushProvider(transport, clock, chance, settings)
    public, secret = make_vapid_credential(CONTACT)
    credential = Credential(
        id=CredentialId(1),
        app=AppId(1),
        network=Network.WEBPUSH,
        version=1,
        public=public,
        secret=secret,
    )

    async def send(recipients: Recipients) -> int:
        now, taken = clock.now(), 0
        for low in range(0, len(recipients), CHUNK):
            answers = await provider.send(
                SendRequest(
                    credential=credential,
                    messages=[MESSAGE],
                    recipients=recipients.rows(low, low + CHUNK),
                    urgent=False,
                    now=now,
                )
            )
            taken += int((answers.verdict == Verdict.OK).sum())
        return taken

    recipients = columns(port, count)
    await send(recipients if lifetime_s else recipients.rows(0, CHUNK))
    before = cpu_s()
    taken = await send(recipients)
    spent = cpu_s() - before
    await provider.close()
    await transport.close()
    report(spent, taken, count)


def run_peer(folder: Path, port: int, count: int, *, session: bool) -> None:
    """Send with pywebpush and print the CPU seconds it took."""
    import requests  # noqa: PLC0415 - a peer's dependency, there only where the peer is
    from pywebpush import webpush  # noqa: PLC0415 - only where the peer is installed

    os.environ["REQUESTS_CA_BUNDLE"] = str(folder / "ca.pem")
    _, secret = make_vapid_credential()
    file = folder / f"{os.getpid()}.pem"
    file.write_text(secret["private_key"])
    key = import_module("py_vapid").Vapid02.from_file(str(file)) if session else str(file)
    kept = requests.Session() if session else None
    text = payload.render(MESSAGE).decode()
    recipients = columns(port, count)
    subscriptions = [
        {
            "endpoint": token.decode(),
            "keys": {"p256dh": base64url_encode(keys[:65]), "auth": base64url_encode(keys[65:])},
        }
        for token, keys in zip(recipients.tokens, recipients.keys or (), strict=True)
    ]

    def send(chosen: Sequence[Mapping[str, object]]) -> int:
        statuses = [
            webpush(
                subscription,
                text,
                vapid_private_key=key,
                vapid_claims={"sub": CONTACT},
                ttl=3600,
                requests_session=kept,
            ).status_code
            for subscription in chosen
        ]
        return statuses.count(201)

    send(subscriptions[:5])
    before = cpu_s()
    taken = send(subscriptions)
    report(cpu_s() - before, taken, count)


def report(spent_s: float, taken: int, count: int) -> None:
    """Print the child's result, or end with an error when a message was not taken."""
    if taken != count:
        raise SystemExit(f"only {taken} of {count} messages were taken")
    print(json.dumps({"messages_per_cpu_s": count / spent_s}))


def measure(*, quick: bool) -> None:
    """Run all clients in turns and print the result."""
    cores = harness.cores()
    ours, peers = (2_500, 60) if quick else (20_000, 1_000)
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_loopback_tls(folder, datetime.now(UTC))
        base = [sys.executable, "-m", "benchmarks.webpush", "--folder", name]
        with harness.server([*base, "--as", "service"], core=cores[-1]) as port:

            def client(kind: str, count: int) -> float:
                run = harness.cpu_of_child(
                    [*base, "--as", kind, "--port", f"{port}", "--count", str(count)], core=cores[0]
                )
                return float(json.loads(run.output)["messages_per_cpu_s"])

            runs = {"fresh": partial(client, "fresh", ours), "kept": partial(client, "kept", ours)}
            peer = harness.distribution("pywebpush")
            if peer is not None:
                runs["pywebpush"] = partial(client, "pywebpush", peers)
                runs["pywebpush_session"] = partial(client, "pywebpush-session", peers)
            rates = harness.median_of_rounds(runs, 3 if quick else 5)
    encryption = webpush_encryption.measure(quick=quick)
    figures = {
        "messages_per_cpu_s": rates["fresh"],
        "messages_per_cpu_s_kept_sender_key": rates["kept"],
        **encryption["figures"],
    }
    ratios = dict(encryption["ratios"])
    if peer is not None:
        figures["pywebpush_messages_per_cpu_s"] = rates["pywebpush"]
        figures["pywebpush_messages_per_cpu_s_kept_session"] = rates["pywebpush_session"]
        ratios["messages_per_cpu_s_vs_pywebpush"] = rates["fresh"] / rates["pywebpush"]
        ratios["messages_per_cpu_s_vs_pywebpush_kept_session"] = (
            rates["fresh"] / rates["pywebpush_session"]
        )
    harness.emit("webpush", figures, ratios, {"pywebpush": peer, **encryption["peers"]})


def run_loop(work: Coroutine[None, None, None]) -> None:
    """Run on the loop that senders use."""
    runner: Callable[[Coroutine[None, None, None]], None] = asyncio.run
    if sys.platform != "win32":
        import uvloop  # noqa: PLC0415 - not on Windows

        runner = uvloop.run
    runner(work)


def main() -> None:
    """Measure, or be one of the children."""
    parser = argparse.ArgumentParser(description="Web Push messages per CPU second")
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds")
    parser.add_argument("--json", action="store_true", help="the last line is JSON either way")
    parser.add_argument("--as", dest="role", default="", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    match options.role:
        case "service":
            run_loop(run_service(options.folder))
        case "fresh" | "kept":
            lifetime_s = 3600.0 if options.role == "kept" else 0.0
            run_loop(run_ours(options.folder, options.port, options.count, lifetime_s))
        case "pywebpush" | "pywebpush-session":
            session = options.role == "pywebpush-session"
            run_peer(options.folder, options.port, options.count, session=session)
        case _:
            measure(quick=options.quick)


if __name__ == "__main__":
    main()
