"""Receipts of our own push service become facts: of a whole platform, its own processes."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator

import asyncpg
import httpx
import orjson
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.conftest import database_named
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import channel, client_frame, open_socket
from tests.e2e.receipt_world import ReceiptWorld, receipt_world

from clarion.adapters.state.embedded import EmbeddedPostgres
from clarion.cli.trace import paragraph

pytestmark = [pytest.mark.timeout(600), pytest.mark.asyncio(loop_scope="module")]
NAME = "push_receipts"
EVENTS = "select count(*) from event where name = 'clarion.received'"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(
    postgres_server: EmbeddedPostgres, migrated_template: str
) -> AsyncIterator[asyncpg.Connection]:
    """A database for the tests of this file."""
    owner = await asyncpg.connect(postgres_server.dsn)
    await owner.execute(f"drop database if exists {NAME} with (force)")
    await owner.execute(f"create database {NAME} template {migrated_template} strategy file_copy")
    connection = await asyncpg.connect(database_named(postgres_server.dsn, NAME))
    yield connection
    await connection.close()
    await owner.execute(f"drop database {NAME} with (force)")
    await owner.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    postgres_server: EmbeddedPostgres,
    database: asyncpg.Connection,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[ReceiptWorld]:
    """A running platform."""
    del database
    dsn = database_named(postgres_server.dsn, NAME)
    async with receipt_world(tmp_path_factory.mktemp("receipts"), dsn) as made:
        yield made


def keys() -> dict[str, str]:
    """What a subscription is encrypted for."""
    point = (
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    )
    return {"p256dh": _text(point), "auth": _text(os.urandom(16))}


def _text(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class App:
    """An app on a device, with one subscription."""

    def __init__(self, world: ReceiptWorld, token: str) -> None:
        self.world, self.token = world, token
        self.fields = {"Authorization": f"Bearer {token}"}
        self.origin = f"http://127.0.0.1:{world.push_port}"

    async def subscribe(self, person: str) -> int:
        """The platform's number of the device."""
        url = f"{self.origin}/v1/subscriptions/{channel(1)}"
        async with httpx.AsyncClient(headers=self.fields, timeout=PATIENCE_S) as http:
            made = await http.put(url, json={"key": self.world.vapid})
        return await self.world.register(person, made.json()["endpoint"], keys())

    async def unsubscribe(self) -> None:
        """End it."""
        async with httpx.AsyncClient(headers=self.fields, timeout=PATIENCE_S) as http:
            gone = await http.delete(f"{self.origin}/v1/subscriptions/{channel(1)}")
        assert gone.status_code == 204

    async def acknowledge(self) -> str:
        """Take the next message over the stream; its id."""
        path = f"/v1/stream?token={self.token}"
        line = await open_socket(self.world.push_port, path, "clarion-push")
        opcode, text = await line.frame()
        assert opcode == 1
        push = str(orjson.loads(text)["id"])
        line.writer.write(client_frame(1, orjson.dumps({"ack": push})))
        await line.writer.drain()
        line.writer.write(client_frame(8, b"\x03\xe8"))
        await line.closed()
        await line.end()
        return push


async def new_app(world: ReceiptWorld) -> App:
    """An app that has just been installed."""
    async with httpx.AsyncClient(timeout=PATIENCE_S) as http:
        made = await http.post(f"http://127.0.0.1:{world.push_port}/v1/devices")
    return App(world, made.json()["token"])


async def test_what_a_device_acknowledges_is_received(
    world: ReceiptWorld, database: asyncpg.Connection
) -> None:
    """The trace names device and instant, a segment finds the person, the receipt is not kept."""
    app, silent = await new_app(world), await new_app(world)
    device = await app.subscribe("ada")
    await silent.subscribe("bob")
    message = await world.send("ada", "bob")
    (attempt,) = (await world.trace(message, "ada"))["attempts"]
    assert attempt["status"] == 202
    assert attempt["provider_id"].startswith(f"{app.origin}/m/")
    assert await world.received(message) == 0
    await app.acknowledge()
    assert await world.told(message, "ada") == [(device, "received")]
    assert (await world.trace(message, "bob"))["signals"] == []
    await world.received_by(message, 1)
    view = await world.trace(message, "ada")
    at = view["signals"][0]["at"].partition("T")[2][:12]
    assert f"the device confirmed it at {at} UTC" in paragraph(view)
    async with asyncio.timeout(PATIENCE_S):  # it is recorded first, and then marked as read
        while await database.fetchval("select count(*) from push_receipt"):  # noqa: ASYNC110  the store tells nobody
            await asyncio.sleep(0.05)


async def test_what_its_subscription_ended_before_is_undelivered(world: ReceiptWorld) -> None:
    """Although the subscription is gone by then, its device is known; nobody received it."""
    app = await new_app(world)
    device = await app.subscribe("eve")
    message = await world.send("eve")
    await app.unsubscribe()
    assert await world.told(message, "eve") == [(device, "undelivered")]
    assert await world.received(message) == 0


async def test_receipts_of_a_planner_that_died_are_counted_once(
    world: ReceiptWorld, database: asyncpg.Connection
) -> None:
    """Where receipts are read again, as after a crash between record and mark, nothing doubles."""
    app = await new_app(world)
    device = await app.subscribe("joe")
    before = await database.fetchval(EVENTS)
    await database.execute(
        "create table seen as select * from push_receipt limit 0;"
        "create function keep() returns trigger language plpgsql as $$ begin"
        " insert into seen select (new).*; return new; end $$;"
        "create trigger keep after insert on push_receipt for each row execute function keep()"
    )
    messages = []
    for _ in range(3):
        messages.append(await world.send("joe"))
        await app.acknowledge()
    for message in messages:
        assert await world.told(message, "joe") == [(device, "received")]
    await world.processes.kill("planner", 0.0, after_s=0.0)
    await database.execute("alter table push_receipt disable trigger keep")
    await database.execute("update push_receipt_read set xid = '0', id = 0")
    await database.execute("insert into push_receipt overriding system value select * from seen")
    last = await world.send("joe")
    await app.acknowledge()
    assert await world.told(last, "joe") == [(device, "received")]
    for message in messages:
        assert await world.told(message, "joe") == [(device, "received")]
    assert await database.fetchval(EVENTS) == before + len(messages) + 1
