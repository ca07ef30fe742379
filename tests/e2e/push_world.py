"""A push service on a real database and loopback, and hands to push and listen with."""

import asyncio
import base64
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import orjson
from tests.e2e.patience import PATIENCE_S
from typing_extensions import override

from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.push_devices import PostgresPushDevices
from clarion.adapters.state.push_messages import PostgresPushMessages, PostgresPushReceipts
from clarion.adapters.state.push_nodes import PostgresPushNodes
from clarion.adapters.system import SystemChance, SystemClock
from clarion.pushservice.limits import PushLimits
from clarion.pushservice.node import NodePorts, NodeSettings, serve_node
from clarion.telemetry.metrics import Metrics
from clarion.wire.vapid import VapidKey, authorize
from clarion.wire.websocket import GUID

MASTER_KEY = bytes(range(32))


UNHURRIED = replace(
    PushLimits(),
    head_s=600.0, hello_s=600.0, pong_s=600.0, keep_alive_s=3600.0,
    subscription_per_s=1e6, subscription_burst=10**6,
)  # fmt: skip
"""Whoever speaks with the node may take long: a busy machine does."""


class AheadClock(SystemClock):
    """The machine's clock, and how far it is ahead."""

    ahead = timedelta(0)

    @override
    def now(self) -> datetime:
        """The present instant, as the node sees it."""
        return super().now() + self.ahead


@dataclass(kw_only=True)
class World:
    """A running node.

    Attributes:
        origin: of its URLs.
        port: where it listens, on loopback.
        pool: the state store.
        clock: the node's.
    """

    origin: str
    port: int
    pool: asyncpg.Pool
    client: httpx.AsyncClient
    clock: AheadClock
    key: VapidKey = field(default_factory=VapidKey.generate)

    async def browser(self, uaid: str | None = None) -> "Browser":
        """A browser that has said hello."""
        browser = Browser(await open_socket(self.port, "/", "push-notification"))
        hello = {"messageType": "hello", "broadcasts": {}, "use_webpush": True}
        browser.say(hello if uaid is None else {**hello, "uaid": uaid})
        said = await browser.hear()
        assert said["messageType"] == "hello"
        assert said["status"] == 200
        browser.uaid = said["uaid"]
        return browser

    def authorization(self, endpoint: str, key: VapidKey | None = None) -> str:
        """A sender's identification, good now."""
        return authorize(
            endpoint, key or self.key, subject="mailto:a@example.com", now=datetime.now(UTC)
        ).value

    async def push(self, endpoint: str, body: bytes = b"", **fields: str) -> httpx.Response:
        """A push message request; field names with `_` for `-`."""
        headers = {"TTL": "86400"} | {name.replace("_", "-"): v for name, v in fields.items()}
        if body and "Content-Encoding" not in headers:
            headers["Content-Encoding"] = "aes128gcm"
        return await self.client.post(endpoint, content=body, headers=headers)

    async def count(self) -> int:
        """How many messages are stored."""
        return int(await self.pool.fetchval("select count(*) from push_message"))


@dataclass
class Line:
    """A WebSocket, client's side, frame by frame."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, opcode: int, payload: bytes) -> None:
        """A masked frame."""
        self.writer.write(client_frame(opcode, payload))

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        async with asyncio.timeout(PATIENCE_S):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8), "big")
            return first & 15, await self.reader.readexactly(length)

    async def closed(self) -> int:
        """The code that the service closes with."""
        while True:
            opcode, payload = await self.frame()
            if opcode == 8:
                return int.from_bytes(payload[:2], "big")

    async def end(self) -> None:
        """Cut it."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


def client_frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """A frame as a client writes it."""
    mask = b"\x37\xfa\x21\x3d"  # that of RFC 6455, section 5.7: tests are named after their octets
    masked = bytes(octet ^ mask[n % 4] for n, octet in enumerate(payload))
    size = len(payload)
    head = bytes([(128 if fin else 0) | opcode])
    if size < 126:
        head += bytes([128 | size])
    elif size < 65536:
        head += bytes([128 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([128 | 127]) + size.to_bytes(8, "big")
    return head + mask + masked


async def open_socket(port: int, path: str, protocol: str, *fields: str) -> Line:
    """Connect and upgrade."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    key = base64.b64encode(os.urandom(16))
    request = [
        f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade",
        "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key.decode()}",
        f"Sec-WebSocket-Protocol: {protocol}", *fields, "", "",
    ]  # fmt: skip
    writer.write("\r\n".join(request).encode())
    try:
        async with asyncio.timeout(PATIENCE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
    except BaseException:
        await Line(reader, writer).end()
        raise
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())  # noqa: S324  RFC 6455's own
    assert b"sec-websocket-accept: " + accept in head
    assert f"sec-websocket-protocol: {protocol}".encode() in head
    return Line(reader, writer)


@dataclass
class Browser:
    """Speaks Mozilla's protocol."""

    line: Line
    uaid: str = ""

    def say(self, said: dict[str, Any]) -> None:
        """A message."""
        self.line.send(1, orjson.dumps(said))

    async def hear(self) -> dict[str, Any]:
        """The next message."""
        while True:
            opcode, payload = await self.line.frame()
            if opcode == 1:
                heard: dict[str, Any] = orjson.loads(payload)
                return heard
            assert opcode == 9, (opcode, payload)

    async def register(self, number: int = 1, key: VapidKey | None = None) -> str:
        """A new subscription's endpoint."""
        said: dict[str, Any] = {"messageType": "register", "channelID": channel(number)}
        if key is not None:
            said["key"] = key.public + "="
        self.say(said)
        heard = await self.hear()
        assert heard["messageType"] == "register"
        assert heard["channelID"] == channel(number)
        assert heard["status"] == 200, heard
        return str(heard["pushEndpoint"])

    async def unregister(self, number: int = 1) -> None:
        """End a subscription."""
        said = {"messageType": "unregister", "channelID": channel(number), "code": 200}
        self.say(said)
        heard = await self.hear()
        assert (heard["messageType"], heard["status"]) == ("unregister", 200)

    def ack(self, *pushes: dict[str, Any], code: int = 100) -> None:
        """Messages have arrived."""
        updates = [
            {"channelID": push["channelID"], "version": push["version"], "code": code}
            for push in pushes
        ]
        self.say({"messageType": "ack", "updates": updates})

    async def quiet(self) -> None:
        """Nothing else is on its way: what we ask now is answered next."""
        self.say({})
        assert await self.hear() == {}


def channel(number: int) -> str:
    """A channel's name."""
    return f"00000000-0000-4000-8000-{number:012x}"


@asynccontextmanager
async def push_world(
    database_url: str, limits: PushLimits | None = None, *, owner: str = "test", port: int = 0,
    origin_port: int = 0, waiting: int = 1000, subscriptions: int = 100,
    allowed_origins: frozenset[str] = frozenset({"*"}),
    trusted: frozenset[str] = frozenset({"127.0.0.1"}),
) -> AsyncIterator[World]:  # fmt: skip
    """A node on a database; `origin_port` where another node's URLs are its own too."""
    pool = await open_pool(database_url, max_size=6)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    port = listener.getsockname()[1]
    origin = f"http://127.0.0.1:{origin_port or port}"
    clock = AheadClock()
    ports = NodePorts(
        clock=clock,
        chance=SystemChance(),
        devices=PostgresPushDevices(pool, subscriptions_per_device=subscriptions),
        messages=PostgresPushMessages(pool, waiting_per_subscription=waiting),
        receipts=PostgresPushReceipts(pool),
        nodes=PostgresPushNodes(pool),
        metrics=Metrics(),
        master_key=MASTER_KEY,
    )
    settings = NodeSettings(
        owner=owner,
        origin=origin,
        limits=limits or UNHURRIED,
        most_connections=5000,
        trusted_proxies=trusted,
        allowed_origins=allowed_origins,
    )
    stop = asyncio.Event()
    serving = asyncio.create_task(serve_node(ports, settings, listener, stop))
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(PATIENCE_S, pool=None), limits=httpx.Limits(keepalive_expiry=None)
    ) as client:
        try:
            await _ready(client, f"http://127.0.0.1:{port}", serving)
            yield World(origin=origin, port=port, pool=pool, client=client, clock=clock)
        finally:
            stop.set()
            await serving
            listener.close()
            await pool.close()


async def _ready(client: httpx.AsyncClient, url: str, serving: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if serving.done():
                await serving
            try:
                if (await client.get(f"{url}/health")).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # it does not listen yet
            await asyncio.sleep(0.01)
