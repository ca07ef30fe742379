"""The whole platform as real processes, as `clarion serve` starts them, against a blackhole."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.harness import server
from benchmarks.process_tree import ProcessTree
from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.net.loopback_tls import LoopbackTls, make_loopback_tls
from clarion.adapters.system import SystemClock
from clarion.app.foundation import Paths
from clarion.app.reach_state import running_address
from clarion.app.settings import load

HOST: Final = "127.0.0.1"
_START_S: Final = 60.0
_STOP_S: Final = 40.0
_FILL_S: Final = 300.0
_QUIET_S: Final = 60.0
_QUIET_SHARE: Final = 0.15
"""Of one core: what the idle platform's own clocks and polls take is below. They take 0.03 to 0.06
of a core that is free and up to 0.1 of one that is shared; feeds that are behind take far more."""
_TAIL: Final = 2000
_FILL: Final = """
with people as (
    insert into users (app_id, external_id, created_at, updated_at)
    select $2, 'u' || number, now(), now() from generate_series(1, $1::int) number
    returning id
)
insert into device (app_id, user_id, network, environment, token, token_key,
    registered_at, created_at, updated_at)
select $2, id, 1, 1, encode(digest, 'hex'), substr(digest, 1, 16), now(), now(), now()
from people, lateral (select sha256(id::text::bytea) as digest)
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FarEnd:
    """The blackhole that stands for APNs."""

    port: int
    tls: LoopbackTls
    trace: Path

    @property
    def url(self) -> str:
        """Base URL."""
        return f"https://{HOST}:{self.port}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """A running platform with its operator's key."""

    http: httpx.AsyncClient
    port: int
    key: str
    store: asyncpg.Connection
    facts: FactsClient
    tree: ProcessTree


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory with a short path (sockets) that the database's system user may pass through."""
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("this benchmark reads CPU and memory from Linux's /proc")
    with tempfile.TemporaryDirectory(prefix="clarion-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def far_end(folder: Path, *, marker: str = "") -> Iterator[FarEnd]:
    """A blackhole over TLS with a trace of arrivals; see `benchmarks.blackhole_trace`."""
    tls = make_loopback_tls(folder, datetime.now(UTC))
    trace = folder / "trace"
    argv = [
        sys.executable, "-m", "benchmarks.blackhole", "--certificate", str(tls.certificate),
        "--key", str(tls.key), "--trace", str(trace), "--marker", marker,
    ]  # fmt: skip
    with server(argv) as port:
        yield FarEnd(port=port, tls=tls, trace=trace)


@asynccontextmanager
async def platform(
    data_dir: Path, *, settings: Mapping[str, str], key: str | None = None
) -> AsyncIterator[Platform]:
    """`clarion serve` as a child; it is drained at the end.

    Args:
        data_dir: of the platform; a new one gets an app, and a key that is used from then on.
        settings: variables beside directory, port and log level.
        key: of a platform that was started before.

    Raises:
        RuntimeError: it did not start; the message has what it wrote.
    """
    port = _free_port()
    ours = {
        "CLARION_DATA_DIR": str(data_dir),
        "CLARION_SERVER_PORT": str(port),
        "CLARION_PUSH_PORT": "0",
        "CLARION_LOG_LEVEL": "warning",
        **settings,
    }
    with _served(ours, data_dir.with_suffix(".log")) as (pid, words):
        key = words["key"] or key
        facts = FactsClient(Paths(root=data_dir).facts_socket, SystemClock())
        store = await asyncpg.connect(running_address(load(ours)))
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=words["url"], headers=headers, timeout=60) as http:
            await _ready(http)
            yield Platform(
                http=http,
                port=port,
                key=str(key),
                store=store,
                facts=facts,
                tree=ProcessTree(pid),
            )
        await store.close()
        await facts.close()


def sends_to(end: FarEnd) -> Mapping[str, str]:
    """Settings with which APNs is at this far end."""
    return {
        "CLARION_APNS_PRODUCTION_URL": end.url,
        "CLARION_APNS_SANDBOX_URL": end.url,
        "CLARION_EGRESS_CA_FILE": str(end.tls.ca_file),
        "CLARION_EGRESS_ALLOW_HOSTS": HOST,
    }


async def add_people(platform: Platform, count: int) -> None:
    """People `u1` to `u{count}` with an APNs device each, and a credential; nothing is measured.

    They go straight into the state store. Returns when the columns hold them and all is quiet.
    """
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = {"key_id": "ABCDEFGHIJ", "team_id": "TEAM123456", "topic": "org.example.app"}
    body = {"public": public, "secret": {"private_key": key.decode()}}
    (await platform.http.put("/v1/credentials/apns", json=body)).raise_for_status()
    app = await platform.store.fetchval("select id from app")
    await platform.store.execute(_FILL, count, app, timeout=_FILL_S)
    await settled(platform, count)


async def settled(platform: Platform, devices: int) -> None:
    """Return once the columns hold so many devices, statistics are fresh, and all is quiet.

    Raises:
        TimeoutError: that did not happen.
    """
    async with asyncio.timeout(_FILL_S):
        for table in ("users", "device"):
            await platform.store.execute(f"vacuum (analyze) {table}", timeout=_FILL_S)
        await _taken(platform, devices)
        await platform.store.execute("checkpoint", timeout=_FILL_S)
    await quiet(platform)


async def _taken(platform: Platform, devices: int) -> None:
    while True:
        if (await platform.facts.sizes())["device"] >= devices:
            return
        await asyncio.sleep(0.2)


async def quiet(platform: Platform) -> None:
    """Return once the platform has used next to no CPU for a second.

    Raises:
        TimeoutError: it never came to rest.
    """
    latest = time.monotonic() + _QUIET_S
    before = platform.tree.cpu_s()
    while True:
        await asyncio.sleep(1)
        now = platform.tree.cpu_s()
        spent = {role: seconds - before.get(role, 0) for role, seconds in now.items()}
        if sum(spent.values()) < _QUIET_SHARE:
            return
        if time.monotonic() > latest:
            busy = {role: round(seconds, 2) for role, seconds in spent.items() if seconds > 0}
            raise TimeoutError(f"not at rest after {_QUIET_S:.0f} s: CPU in the last one {busy}")
        before = now


async def post_message(platform: Platform, body: Mapping[str, object]) -> str:
    """The id of an accepted message."""
    answer = await platform.http.post("/v1/messages", json=body)
    if answer.status_code != httpx.codes.ACCEPTED:
        raise RuntimeError(f"not accepted: {answer.text}")
    return str(answer.json()["id"])


async def recorded(platform: Platform, message: str, every_s: float = 0.2) -> Mapping[str, int]:
    """Outcome -> recipients, once the message is finished and all of them are in the facts."""
    while True:
        if await _state(platform, message) == "finished":  # counting all the time would count too
            break
        await asyncio.sleep(every_s)
    while True:
        view = await see(platform, message)
        if view["state"] == "finished":
            counts: dict[str, int] = view["by_outcome"]
            if sum(counts.values()) >= view["progress"]["recipients"]:
                return counts
        await asyncio.sleep(every_s)


async def _state(platform: Platform, message: str) -> str:
    """The message's state, as the list of messages shows it."""
    answer = (await platform.http.get("/v1/messages", params={"limit": 5})).raise_for_status()
    states: dict[str, str] = {item["id"]: item["state"] for item in answer.json()["items"]}
    return states[message]


async def see(platform: Platform, message: str) -> dict[str, Any]:
    """The message as `GET /v1/messages/{id}` shows it."""
    answer = (await platform.http.get(f"/v1/messages/{message}")).raise_for_status()
    view: dict[str, Any] = answer.json()
    return view


async def _ready(http: httpx.AsyncClient) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            if (await http.get("/readyz")).is_success:
                return
            await asyncio.sleep(0.05)


@contextmanager
def _served(settings: Mapping[str, str], log: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Process id of the supervisor, and what it said once the API answered."""
    argv = [sys.executable, "-m", "clarion.cli", "serve", "--json", "--with-parent"]
    foreign = {n: v for n, v in os.environ.items() if not n.startswith("CLARION_")}
    with log.open("wb") as stderr:
        child = subprocess.Popen(
            argv, env=foreign | dict(settings), stdout=subprocess.PIPE, stderr=stderr
        )
    assert child.stdout is not None
    try:
        line = child.stdout.readline()
        if not line:
            raise RuntimeError("the platform did not start")
        yield child.pid, json.loads(line)
    finally:
        _end(child)
        complaint = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:]
        if complaint:
            print(f"the platform wrote: {complaint}", file=sys.stderr)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
    assert child.stdout is not None
    child.stdout.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def tell(text: str) -> None:
    """Tell whoever waits; the last line of the output stays the result's."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
