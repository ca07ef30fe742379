"""What is taken in holds no memory once it has arrived, however long the store takes."""

import weakref
from collections.abc import Callable
from datetime import timedelta

from tests.state.conftest import NOW

from clarion.adapters.state.pool import Pool
from clarion.adapters.state.push_messages import PostgresPushMessages
from clarion.adapters.system import SystemClock
from clarion.ports.pushservice import (
    DeviceNumber,
    NodeNumber,
    Push,
    PushCoding,
    PushId,
    PushUrgency,
    ReceiptStatus,
    SubscriptionNumber,
)
from clarion.pushservice.accepting import Accepting, AcceptingPorts, Fate
from clarion.pushservice.connections import Connections


def told_to(fates: list[Fate]) -> Callable[[Fate], None]:
    """A sender, who hears what became of its message."""

    def tell(fate: Fate) -> None:
        fates.append(fate)

    return tell


def push(number: int) -> Push:
    """A message without a receipt."""
    return Push(
        id=PushId(number),
        device=DeviceNumber(1),
        subscription=SubscriptionNumber(1),
        channel=bytes(16),
        body=b"x",
        coding=PushCoding.AES128GCM,
        encryption=None,
        crypto_key=None,
        topic=None,
        urgency=PushUrgency.NORMAL,
        expires_at=NOW + timedelta(minutes=1),
        receipt=None,
    )


async def test_what_has_arrived_is_let_go_before_its_group(pool: Pool) -> None:
    """The store may take long with another group; devices and senders go on meanwhile."""
    accepting = Accepting(
        AcceptingPorts(
            messages=PostgresPushMessages(pool, waiting_per_subscription=100),
            late=lambda *_: None,
            connections=Connections(64, lambda *_: None),
            clock=SystemClock(),
            node=NodeNumber(0),
        ),
        every_s=3600.0,
        most=10,
    )
    fates: list[Fate] = []
    for number in range(100):
        tell = told_to(fates)
        held = weakref.ref(tell)
        accepting.offer(push(number), tell, store=True)
        del tell
        assert held() is not None
        assert accepting.arrived(PushId(number), ReceiptStatus.ACKNOWLEDGED)
        assert held() is None
    assert fates == [Fate.ACCEPTED] * 100
    assert accepting.waiting == 0
