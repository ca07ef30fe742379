"""The whole platform in one process: every role, and strict simulators over TLS."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from clarion.adapters.net.loopback_tls import make_loopback_tls, server_context
from clarion.adapters.net.serve_simulator import serve
from clarion.adapters.system import SystemClock
from clarion.app.first_start import first_key
from clarion.app.roles import run_role
from clarion.app.settings import Settings, load
from clarion.app.supervise import prepare_data_dir
from clarion.ports.simulator import SimulatedAnswer, SimulatedRequest
from clarion.providers.apns.simulator import ApnsFaults, ApnsSimulator

READY_S = 150.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def es256_pem() -> str:
    """A new signing key as Apple hands them out."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        .decode()
    )


def apns_token(number: int) -> str:
    """A device token in Apple's form."""
    return f"{number:064x}"


class ListeningApns(ApnsSimulator):
    """Apple's end, which keeps what people read."""

    def __init__(self, faults: ApnsFaults) -> None:
        super().__init__(any_token=True, any_key=True, faults=faults, record=True)
        self.payloads: dict[str, bytes] = {}
        """Device token -> the body of the last request that was accepted."""

    @override
    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Judge one request."""
        said = super().answer(request)
        if said.status == httpx.codes.OK:
            self.payloads[request.path.rpartition("/")[2]] = request.body
        return said


@dataclass(kw_only=True)
class Platform:
    """A running platform, and the far end of APNs."""

    http: httpx.AsyncClient
    apns: ListeningApns
    settings: Settings
    stop: asyncio.Event
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def post(self, path: str, body: object, status: int, **headers: str) -> dict[str, object]:
        """A request that must be answered with `status`."""
        answer = await self.http.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        found: dict[str, object] = answer.json()
        return found

    async def get(self, path: str) -> dict[str, object]:
        """A request that must succeed; where the facts lag behind, it is asked again."""
        async with asyncio.timeout(READY_S):
            answer = await self.http.get(path)
            while answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                assert answer.json()["code"] == "facts_unavailable", answer.text
                answer = await self.http.get(path)
        assert answer.status_code == httpx.codes.OK, answer.text
        found: dict[str, object] = answer.json()
        return found

    async def done(self, message: object, recipients: int) -> dict[str, object]:
        """The message once so many recipients have an outcome; others may still be held."""
        async with asyncio.timeout(READY_S):
            while True:
                found = await self.get(f"/v1/messages/{message}")
                if f"'done': {recipients}," in str(found["progress"]):
                    return found
                await asyncio.sleep(0.05)

    def alert(self, number: int) -> tuple[str, str]:
        """Title and body that the phone of person `number` got last."""
        shown = orjson.loads(self.apns.payloads[apns_token(number)])["aps"]["alert"]
        return shown["title"], shown["body"]

    async def finished(self, message: object) -> dict[str, object]:
        """The message once every recipient has an outcome."""
        async with asyncio.timeout(READY_S):
            while True:
                found = await self.get(f"/v1/messages/{message}")
                if found["state"] in {"finished", "canceled"}:
                    return found
                await asyncio.sleep(0.05)

    async def until(self, there: Callable[[], bool]) -> None:
        """Wait for something that is on its way."""
        async with asyncio.timeout(READY_S):
            while not there():  # noqa: ASYNC110  # the far end has no event to wait for
                await asyncio.sleep(0.01)

    async def planned(self, message: str, recipients: int) -> None:
        """Wait until the message's audience has been chosen."""
        async with asyncio.timeout(READY_S):
            while True:
                found = await self.get(f"/v1/messages/{message}")
                if f"'recipients': {recipients}," in str(found["progress"]):
                    return
                await asyncio.sleep(0.05)

    async def idle(self) -> None:
        """Wait until no process holds a lease: what was on the wire is recorded."""
        leased = "select exists (select from batch where state = 2)"
        async with asyncio.timeout(READY_S):
            while await self.ask(leased):  # noqa: ASYNC110  # a store has no event to wait for
                await asyncio.sleep(0.02)

    async def let_waits_pass(self) -> None:
        """As if the time had come for everything that waits for another attempt."""
        await self.ask("update batch set run_at = now() where state = 1 and run_at > now()")

    async def ask(self, statement: str) -> object:
        """The first value that the state store answers."""
        url = self.settings.database.url
        assert url is not None
        connection = await asyncpg.connect(url.reveal())
        try:
            found: object = await connection.fetchval(statement)
        finally:
            await connection.close()
        return found

    async def add_apns_credential(self) -> None:
        """What the app sends to Apple with."""
        body = {
            "public": {"key_id": "ABCDEFGHIJ", "team_id": "TEAM123456", "topic": "com.example.app"},
            "secret": {"private_key": es256_pem()},
        }
        answer = await self.http.put("/v1/credentials/apns", json=body)
        assert answer.is_success, answer.text

    async def add_people(self, count: int, *, start: int = 0) -> None:
        """People `u0`, `u1`, ... with one APNs device each."""
        rows = [
            {"network": "apns", "token": apns_token(i), "external_id": f"u{i}"}
            for i in range(start, start + count)
        ]
        for low in range(0, count, 1000):
            await self.post("/v1/devices:batch", {"devices": rows[low : low + 1000]}, 200)


@pytest.fixture
def apns_faults() -> ApnsFaults:
    """What goes wrong at Apple's end; a test may say otherwise."""
    return ApnsFaults()


@pytest.fixture
def more_settings() -> Mapping[str, str]:
    """Variables besides those that the platform needs; a test may name some."""
    return {}


@pytest.fixture
async def platform(
    database_url: str, short_dir: Path, apns_faults: ApnsFaults, more_settings: Mapping[str, str]
) -> AsyncIterator[Platform]:
    """Every role in this process, an APNs simulator, and a client with the first admin key."""
    clock = SystemClock()
    tls_dir = short_dir / "tls"
    tls_dir.mkdir()
    tls = make_loopback_tls(tls_dir, clock.now())
    apns = ListeningApns(apns_faults)
    async with AsyncExitStack() as stack:
        context = server_context(tls.certificate, tls.key, alpn=("h2",))
        handle = await serve(apns, host="127.0.0.1", port=0, tls=context, clock=clock)
        stack.push_async_callback(handle.close)
        port = free_port()
        settings = load(
            {
                "CLARION_DATA_DIR": str(short_dir / "data"),
                "CLARION_DATABASE_URL": database_url,
                "CLARION_SERVER_PORT": str(port),
                "CLARION_EGRESS_CA_FILE": str(tls.ca_file),
                "CLARION_EGRESS_ALLOW_HOSTS": "127.0.0.1",
                "CLARION_APNS_PRODUCTION_URL": f"https://127.0.0.1:{handle.port}",
                "CLARION_APNS_SANDBOX_URL": f"https://127.0.0.1:{handle.port}",
                **more_settings,
            }
        )
        prepare_data_dir(settings.data_dir)
        async with first_key(settings) as key:
            assert key is not None
        stop = asyncio.Event()
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={"authorization": f"Bearer {key.text}"},
                timeout=READY_S,
            )
        )
        found = Platform(http=http, apns=apns, settings=settings, stop=stop)
        for role in ("facts", "planner", "sender", "api"):
            task = asyncio.create_task(run_role(settings, role, f"{role}-test", stop))
            found.tasks.append(task)
        await _ready(found)
        yield found
        stop.set()
        await asyncio.gather(*found.tasks)


async def _ready(platform: Platform) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            for task in platform.tasks:
                if task.done():
                    task.result()
            try:
                if (await platform.http.get("/readyz")).is_success:
                    return
            except httpx.ConnectError:
                pass
            await asyncio.sleep(0.02)
