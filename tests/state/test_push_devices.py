"""Devices of our own push service that come, stay and go."""

from datetime import timedelta

from tests.state.conftest import NOW

from clarion.adapters.state.pool import Pool
from clarion.adapters.state.push_devices import PostgresPushDevices
from clarion.adapters.state.push_messages import PostgresPushMessages, PostgresPushReceipts
from clarion.adapters.state.push_nodes import PostgresPushNodes
from clarion.adapters.system import SystemChance
from clarion.ports.pushservice import (
    NodeNumber,
    Push,
    PushCoding,
    PushId,
    PushUrgency,
    ReceiptStatus,
    Registered,
    Stored,
)
from clarion.pushservice.connections import Connections, Session
from clarion.pushservice.node import NodePorts, forget_absent
from clarion.telemetry.metrics import Metrics
from clarion.testing import ManualClock

NODE = NodeNumber(3)
KEPT = timedelta(days=60)
DAY_S = 86_400
READER = bytes(range(16))


class Line:
    """A connection to which nothing is sent."""

    crowded = False

    def push(self, push: Push) -> None:
        """Never called here."""

    def replaced(self) -> None:
        """Never called here."""


def ports_of(pool: Pool, clock: ManualClock) -> NodePorts:
    """A node's ports on a real store."""
    return NodePorts(
        clock=clock,
        chance=SystemChance(),
        devices=PostgresPushDevices(pool, subscriptions_per_device=10),
        messages=PostgresPushMessages(pool, waiting_per_subscription=10),
        receipts=PostgresPushReceipts(pool),
        nodes=PostgresPushNodes(pool),
        metrics=Metrics(),
        master_key=bytes(32),
    )


def message(of: Registered, number: int, clock: ManualClock) -> Push:
    """A message whose sender wants to know."""
    return Push(
        id=PushId(number),
        device=of.device,
        subscription=of.subscription,
        channel=bytes(16),
        body=b"x",
        coding=PushCoding.AES128GCM,
        encryption=None,
        crypto_key=None,
        topic=None,
        urgency=PushUrgency.NORMAL,
        expires_at=clock.now() + timedelta(days=90),
        receipt=READER,
    )


async def test_a_device_that_was_away_for_long_ends_with_what_waits_for_it(pool: Pool) -> None:
    """Its sender hears that nobody gets it, and the next message is refused as gone."""
    clock = ManualClock(NOW)
    ports = ports_of(pool, clock)
    lost = await ports.devices.register(b"l" * 16, bytes(16), None, NODE, clock.now())
    back = await ports.devices.register(b"b" * 16, bytes(16), None, NODE, clock.now())
    pushes = [message(lost, 1, clock), message(back, 2, clock)]
    assert await ports.messages.store(pushes, [], NODE, clock.now()) == [Stored.KEPT, Stored.KEPT]
    clock.advance(59 * DAY_S)
    assert b"b" * 16 in await ports.devices.attach([b"b" * 16], NODE, clock.now())
    await forget_absent(ports, Connections(64, lambda *_: None), KEPT)
    assert await pool.fetchval("select count(*) from push_device") == 2
    clock.advance(2 * DAY_S)
    await forget_absent(ports, Connections(64, lambda *_: None), KEPT)
    found = await ports.devices.attach([b"l" * 16, b"b" * 16], NODE, clock.now())
    assert list(found) == [b"b" * 16]
    became = await ports.messages.store(
        [message(lost, 3, clock), message(back, 4, clock)], [], NODE, clock.now()
    )
    assert became == [Stored.GONE, Stored.KEPT]
    (receipt,) = await pool.fetch("select message_id, status from push_receipt")
    assert tuple(receipt) == (1, ReceiptStatus.GAVE_UP)
    held = "select array_agg(distinct device_id) from push_message"
    assert await pool.fetchval(held) == [back.device]
    assert await pool.fetchval("select array_agg(id) from push_ended") == [lost.subscription]
    assert b"clarion_push_devices_forgotten_total 1.0" in ports.metrics.exposition()


async def test_a_device_that_stays_connected_is_never_away(pool: Pool) -> None:
    """However long ago it said hello."""
    clock = ManualClock(NOW)
    ports = ports_of(pool, clock)
    made = await ports.devices.register(b"s" * 16, bytes(16), None, NODE, clock.now())
    connections = Connections(64, lambda *_: None)
    connections.seat(Session(b"s" * 16, Line()), made.device, {bytes(16): made.subscription})
    clock.advance(400 * DAY_S)
    await forget_absent(ports, connections, KEPT)
    assert b"s" * 16 in await ports.devices.attach([b"s" * 16], NODE, clock.now())


async def test_a_device_that_comes_back_while_others_end_stays(pool: Pool) -> None:
    """Whoever holds its row is not waited for."""
    clock = ManualClock(NOW)
    ports = ports_of(pool, clock)
    for name in (b"1", b"2"):
        await ports.devices.register(name * 16, bytes(16), None, NODE, clock.now())
    clock.advance(61 * DAY_S)
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(
            "update push_device set seen_at = $2 where name = $1", (b"1" * 16).hex(), clock.now()
        )
        await forget_absent(ports, Connections(64, lambda *_: None), KEPT)
    found = await ports.devices.attach([b"1" * 16, b"2" * 16], NODE, clock.now())
    assert list(found) == [b"1" * 16]


async def test_only_a_node_that_says_so_lives(pool: Pool) -> None:
    """One that has left does not, nor one that is silent."""
    nodes, now = PostgresPushNodes(pool), NOW
    first, _ = await nodes.join("a", now)
    await nodes.join("b", now)
    assert await nodes.living(now - timedelta(seconds=20)) == 2
    later = now + timedelta(seconds=30)
    assert await nodes.beat(first, "a", later)
    assert await nodes.living(later - timedelta(seconds=20)) == 1
    await nodes.leave(first, "a", later)
    assert await nodes.living(later - timedelta(seconds=20)) == 0
