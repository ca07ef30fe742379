"""Idle connections of our own push service on one machine: memory and CPU time of 50,000 browsers.

Each has a name and a subscription. A process can hold fewer than it may open files, so that as many
processes as are needed share one port, as `push.processes` has it, and as many others hold the far
ends. Loopback addresses are used in turn: each has its own range of ports.
"""

import argparse
import asyncio
import hashlib
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import asyncpg
import orjson

from benchmarks.harness import emit
from benchmarks.pushservice import UPGRADE, Device, cpu_s, frame, serve_shared
from clarion.adapters.state.embedded import EmbeddedSettings, start

CONNECTIONS, QUICK_CONNECTIONS = 50_000, 12_000
SPARE_FILES: Final = 1_500
"""Besides connections; and the kernel does not share them out evenly."""
PORTS: Final = 20_000
GROUP: Final = 200
SETTLE_S: Final = 2.0
IDLE_S: Final = 10.0


def uaid(number: int) -> str:
    """The name of a browser."""
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


async def subscribe(dsn: str, count: int) -> None:
    """So many browsers with a subscription each, as registering them one by one leaves them."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "insert into push_device (name, seen_at, created_at) "
        "select md5(n::text)::uuid, now(), now() from generate_series(0, $1::int - 1) n",
        count,
    )
    await connection.execute(
        "insert into push_subscription (device_id, channel, created_at) "
        "select id, gen_random_uuid(), now() from push_device"
    )
    await connection.close()


def connect(port: int, number: int) -> Device:
    """Connect and say hello, without waiting for the answer."""
    device = Device(socket.socket())
    device.socket.bind((f"127.0.{1 + number // PORTS}.1", 0))
    device.socket.connect(("127.0.0.1", port))
    hello = {"messageType": "hello", "broadcasts": {}, "use_webpush": True, "uaid": uaid(number)}
    device.socket.sendall(UPGRADE + frame(orjson.dumps(hello)))
    return device


def hold(port: int, first: int, count: int) -> None:
    """Connect so many browsers, say so, and hold them until told to stop."""
    held: list[Device] = []
    for low in range(first, first + count, GROUP):
        numbers = range(low, min(first + count, low + GROUP))
        group = [connect(port, number) for number in numbers]
        for number, device in zip(numbers, group, strict=True):
            if _greeted(device) != uaid(number):
                raise RuntimeError("a browser was given another name")
        held += group
    print(len(held), flush=True)
    sys.stdin.readline()


def _greeted(device: Device) -> str:
    """Read the answer to the upgrade, and the one to hello; the name that it gives."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += device.socket.recv(4096)
    for text in device.texts(data.partition(b"\r\n\r\n")[2]):
        return str(orjson.loads(text)["uaid"])
    return device.wait()["uaid"]


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of this module; it is told to stop at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.pushservice_idle", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()


def said(process: subprocess.Popen[str]) -> int:
    """The number that a process prints when it is ready."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def proportional(pid: int) -> int:
    """A process's memory in octets; pages that several share are shared out (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell")


def measure(*, quick: bool) -> None:
    """Run it and print the line."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = QUICK_CONNECTIONS if quick else CONNECTIONS
    processes = -(-count // min(count, hard - SPARE_FILES))
    folder = Path(tempfile.mkdtemp(prefix="clarion-bench-"))
    folder.chmod(0o711)
    figures: dict[str, float] = {"connections": count, "processes": processes}
    with ExitStack() as stack:
        server = stack.enter_context(start(folder / "pg", settings=EmbeddedSettings()))
        port, nodes = 0, []
        for number in range(processes):
            node = stack.enter_context(running("--node", server.dsn, str(number), str(port)))
            port = said(node)
            nodes.append(node.pid)
        asyncio.run(subscribe(server.dsn, count))
        time.sleep(1.0)
        before = sum(proportional(pid) for pid in nodes)
        share = -(-count // processes)
        holders = [
            stack.enter_context(
                running("--hold", str(port), str(low), str(min(share, count - low)))
            )
            for low in range(0, count, share)
        ]
        if sum(said(holder) for holder in holders) != count:
            raise RuntimeError("not every browser is connected")
        time.sleep(SETTLE_S)
        after = sum(proportional(pid) for pid in nodes)
        idle = sum(cpu_s(pid) for pid in nodes)
        time.sleep(IDLE_S)
        spent = sum(cpu_s(pid) for pid in nodes) - idle
        figures["kib_per_connection"] = (after - before) / count / 1024
        figures["service_mib"] = after / 2**20
        figures["idle_cpu_percent_of_a_core"] = 100 * spent / IDLE_S
    emit("pushservice_idle", figures, {}, {})


def main() -> None:
    """The benchmark, one of its nodes, or one of those who hold the far ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 60 s, fewer connections")
    parser.add_argument("--json", action="store_true", help="the line is JSON in any case")
    parser.add_argument("--node", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--hold", nargs=3, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if arguments.node is not None:
        dsn, number, port = arguments.node
        serve_shared(dsn, f"bench-{number}", int(port))
    elif arguments.hold is not None:
        hold(*arguments.hold)
    else:
        measure(quick=arguments.quick)


if __name__ == "__main__":
    main()
