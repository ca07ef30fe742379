"""Our own push service on one node: idle connections, messages, everybody coming back at once.

A node in a process of its own, on an embedded PostgreSQL of its own (durable, as in production);
browsers and senders in another one, on raw sockets. Both share the machine's cores. Limits of open
files bound how many connections one process can hold; the figure per connection is what counts.
"""

import argparse
import asyncio
import os
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from benchmarks.harness import emit
from clarion.wire.vapid import VapidKey, authorize

MASTER_KEY: Final = bytes(range(32))
BODY: Final = os.urandom(300)
ACK: Final = b'{"messageType":"ack","updates":[{"channelID":"%b","version":"%b","code":100}]}'
CHANNEL: Final = b"00000000-0000-4000-8000-000000000001"
CONNECTIONS, QUICK_CONNECTIONS = 15_000, 4_000
MESSAGES, QUICK_MESSAGES = 40_000, 8_000
SENDERS: Final = 128
"""Requests under way at once: each sender connection has one."""
READ: Final = 4096
SILENCE_S: Final = 30.0
IDLE_S: Final = 5.0
TARGET_P99_MS: Final = 100.0


def frame(payload: bytes) -> bytes:
    """A client's text frame; the mask is zero, which costs the service the same."""
    size = len(payload)
    head = bytes((129, 128 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


@dataclass(slots=True)
class Device:
    """A browser on a raw socket."""

    socket: socket.socket
    uaid: bytes = b""
    endpoint: bytes = b""
    buffer: bytes = b""

    def texts(self, data: bytes) -> list[bytes]:
        """The messages that octets complete."""
        buffer = self.buffer + data if self.buffer else data
        found: list[bytes] = []
        at, size = 0, len(buffer)
        while size - at >= 2:
            length, begin = buffer[at + 1], at + 2
            if length == 126:
                if size < at + 4:
                    break
                length, begin = buffer[at + 2] << 8 | buffer[at + 3], at + 4
            if size < begin + length:
                break
            if buffer[at] & 15 == 1:
                found.append(buffer[begin : begin + length])
            at = begin + length
        self.buffer = buffer[at:]
        return found

    def acknowledge(self, text: bytes) -> None:
        """A message has arrived."""
        begin = text.index(b'"version":"') + 11
        self.socket.send(frame(ACK % (CHANNEL, text[begin : text.index(b'"', begin)])))

    def wait(self) -> dict[str, str]:
        """The next message."""
        while True:
            for text in self.texts(self.socket.recv(65_536)):
                said: dict[str, str] = orjson.loads(text)
                return said


UPGRADE: Final = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: push-notification\r\n\r\n"
)


def connect(port: int, number: int, uaid: bytes = b"") -> Device:
    """Connect and say hello, without waiting for the answer."""
    device = Device(socket.socket())
    device.socket.bind((f"127.0.{1 + number // 20_000}.1", 0))
    device.socket.connect(("127.0.0.1", port))
    known = b',"uaid":"%b"' % uaid if uaid else b""
    hello = b'{"messageType":"hello","broadcasts":{},"use_webpush":true%b}' % known
    device.socket.sendall(UPGRADE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += device.socket.recv(1)
    device.socket.sendall(frame(hello))
    return device


@dataclass
class Load:
    """Devices, senders, and what they saw."""

    port: int
    key: VapidKey = field(default_factory=VapidKey.generate)
    devices: list[Device] = field(default_factory=list)

    def register(self, count: int) -> None:
        """Devices, each with one subscription."""
        command = {"messageType": "register", "channelID": CHANNEL.decode(), "key": self.key.public}
        for low in range(0, count, 200):
            group = [connect(self.port, n) for n in range(low, min(count, low + 200))]
            for device in group:
                device.uaid = device.wait()["uaid"].encode()
                device.socket.sendall(frame(orjson.dumps(command)))
            for device in group:
                device.endpoint = device.wait()["pushEndpoint"].encode()
            self.devices += group

    def storm(self) -> float:
        """Everybody leaves and comes back; seconds until each has been greeted by its name."""
        for device in self.devices:
            device.socket.close()
        time.sleep(1.0)
        began = time.perf_counter()
        back = [connect(self.port, n, old.uaid) for n, old in enumerate(self.devices)]
        for old, new in zip(self.devices, back, strict=True):
            new.uaid, new.endpoint = new.wait()["uaid"].encode(), old.endpoint
            if new.uaid != old.uaid:
                raise RuntimeError("a device was given another name")
        self.devices = back
        return time.perf_counter() - began

    def request(self, device: Device, authorization: bytes) -> bytes:
        """A push message request."""
        path = device.endpoint[device.endpoint.index(b"/", 8) :]
        return (
            b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nTTL: 3600\r\nContent-Encoding: aes128gcm\r\n"
            b"Authorization: %b\r\nContent-Length: %d\r\n\r\n%b"
            % (path, authorization, len(BODY), BODY)
        )

    def send(self, count: int) -> tuple[float, list[float]]:
        """Push `count` messages; seconds in all, and each one's from request to device."""
        endpoint = self.devices[0].endpoint.decode()
        header = authorize(
            endpoint, self.key, subject="mailto:a@example.com", now=datetime.now(UTC)
        )
        requests = [self.request(d, header.value.encode()) for d in self.devices]
        for device in self.devices:
            device.socket.settimeout(0)
        senders = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(SENDERS)]
        # The kernel's own interface: a selector of the library costs as much as what it looks at.
        looking = select.epoll()
        devices = {device.socket.fileno(): device for device in self.devices}
        pushing = {sender.fileno(): sender for sender in senders}
        for number in (*devices, *pushing):
            looking.register(number, select.EPOLLIN)
        try:
            return _Sending(requests, count, self.devices).run(looking, devices, pushing)
        finally:
            for sender in senders:
                sender.close()
            looking.close()


@dataclass(slots=True)
class _Sending:
    """Messages to devices in an order that jumps; each sender has one request under way."""

    requests: list[bytes]
    count: int
    order: list[Device]
    sent: int = 0
    answered: int = 0
    since: dict[int, deque[float]] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)

    def push(self, sender: socket.socket) -> None:
        """The next message, if one is left."""
        if self.sent < self.count:
            number = self.sent * 7919 % len(self.order)
            self.sent += 1
            known = self.since.setdefault(self.order[number].socket.fileno(), deque())
            known.append(time.perf_counter())
            sender.send(self.requests[number])

    def run(
        self, looking: select.epoll, devices: dict[int, Device], senders: dict[int, socket.socket]
    ) -> tuple[float, list[float]]:
        """Seconds in all, and each message's from request to device."""
        delays, since = self.delays, self.since
        began = time.perf_counter()
        for sender in senders.values():
            self.push(sender)
        while len(delays) < self.count or self.answered < self.count:
            ready = looking.poll(SILENCE_S)
            if not ready:
                raise RuntimeError(f"{self.count - len(delays)} messages never came")
            for number, _ in ready:
                device = devices.get(number)
                if device is None:
                    sender = senders[number]
                    answer = sender.recv(READ)
                    if not answer.startswith(b"HTTP/1.1 201"):
                        raise RuntimeError(answer[:300])
                    self.answered += 1
                    self.push(sender)
                    continue
                for text in device.texts(device.socket.recv(READ)):
                    delays.append(time.perf_counter() - since[number].popleft())
                    device.acknowledge(text)
        return time.perf_counter() - began, delays


@contextmanager
def node(folder: Path) -> Iterator[tuple[int, int]]:
    """The service as the platform runs it; its process id and port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.pushservice", "--node", str(folder)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.pid, int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


def run_node(folder: Path) -> None:
    """The node's own process."""
    import uvloop  # noqa: PLC0415  only this process needs it

    from clarion.adapters.state.embedded import EmbeddedSettings, start  # noqa: PLC0415
    from clarion.adapters.state.migrate import migrate  # noqa: PLC0415

    with start(folder / "pg", settings=EmbeddedSettings()) as server:
        asyncio.run(migrate(server.dsn))
        uvloop.run(_serve(server.dsn, "bench", 0))


def serve_shared(dsn: str, owner: str, port: int) -> None:
    """A node on a database that is there; it shares its port with others of this benchmark."""
    import uvloop  # noqa: PLC0415  only this process needs it

    from clarion.adapters.state.migrate import migrate  # noqa: PLC0415

    asyncio.run(migrate(dsn))
    uvloop.run(_serve(dsn, owner, port))


async def _serve(dsn: str, owner: str, port: int) -> None:
    import signal  # noqa: PLC0415  only this process needs it
    from dataclasses import replace  # noqa: PLC0415

    from clarion.adapters.state.pool import open_pool  # noqa: PLC0415
    from clarion.adapters.state.push_devices import PostgresPushDevices  # noqa: PLC0415
    from clarion.adapters.state.push_messages import (  # noqa: PLC0415
        PostgresPushMessages,
        PostgresPushReceipts,
    )
    from clarion.adapters.state.push_nodes import PostgresPushNodes  # noqa: PLC0415
    from clarion.adapters.system import SystemChance, SystemClock  # noqa: PLC0415
    from clarion.app.roles import settled_garbage  # noqa: PLC0415
    from clarion.pushservice.limits import PushLimits  # noqa: PLC0415
    from clarion.pushservice.node import NodePorts, NodeSettings, serve_node  # noqa: PLC0415
    from clarion.telemetry.metrics import Metrics  # noqa: PLC0415

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    pool = await open_pool(dsn, max_size=6)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    port = listener.getsockname()[1]
    ports = NodePorts(
        clock=SystemClock(), chance=SystemChance(),
        devices=PostgresPushDevices(pool, subscriptions_per_device=10),
        messages=PostgresPushMessages(pool, waiting_per_subscription=1000),
        receipts=PostgresPushReceipts(pool), nodes=PostgresPushNodes(pool), metrics=Metrics(),
        master_key=MASTER_KEY,
    )  # fmt: skip
    limits = replace(
        PushLimits(),
        connections_per_address=10**6,
        handshakes_per_s=1e6,
        handshakes_burst=10**6,
        register_per_s=1e6,
        register_burst=10**6,
        origin_per_s=1e6,
        origin_burst=10**6,
    )
    settings = NodeSettings(
        owner=owner, origin=f"http://127.0.0.1:{port}", limits=limits, most_connections=hard - 200
    )
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    print(port, flush=True)
    with settled_garbage():
        await serve_node(ports, settings, listener, stop)
    await pool.close()


def _await(port: int) -> None:
    """Wait until the node listens, and then until it is quiet."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    time.sleep(1.0)


def cpu_s(pid: int) -> float:
    """A process's CPU time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> int:
    """A process's resident octets."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def measure(*, quick: bool) -> None:
    """Run all of it and print the line."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(QUICK_CONNECTIONS if quick else CONNECTIONS, hard - 500)
    messages = QUICK_MESSAGES if quick else MESSAGES
    figures: dict[str, float] = {"connections": count, "messages": messages}
    folder = Path(tempfile.mkdtemp(prefix="clarion-bench-"))
    folder.chmod(0o711)
    with node(folder) as (pid, port):
        load = Load(port)
        _await(port)
        before = memory(pid)
        load.register(count)
        time.sleep(1.0)
        figures["kib_per_connection"] = (memory(pid) - before) / count / 1024
        figures["node_mib"] = memory(pid) / 2**20
        idle = cpu_s(pid)
        time.sleep(IDLE_S)
        figures["idle_cpu_percent_of_a_core"] = 100 * (cpu_s(pid) - idle) / IDLE_S
        busy = cpu_s(pid)
        took, delays = load.send(messages)
        delays.sort()
        figures["messages_per_s"] = messages / took
        figures["node_cpu_us_per_message"] = 1e6 * (cpu_s(pid) - busy) / messages
        figures["delivery_p50_ms"] = 1e3 * delays[len(delays) // 2]
        figures["delivery_p99_ms"] = 1e3 * delays[len(delays) * 99 // 100]
        for device in load.devices:
            device.socket.settimeout(None)
        busy = cpu_s(pid)
        storm = load.storm()
        figures["storm_reconnections_per_s"] = count / storm
        figures["storm_node_cpu_us_per_connection"] = 1e6 * (cpu_s(pid) - busy) / count
    emit("pushservice", figures, {}, {})


def main() -> None:
    """The benchmark, or its node."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 50 s, smaller numbers")
    parser.add_argument("--json", action="store_true", help="the line is JSON in any case")
    parser.add_argument("--node", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.node is not None:
        run_node(arguments.node)
    else:
        measure(quick=arguments.quick)


if __name__ == "__main__":
    main()
