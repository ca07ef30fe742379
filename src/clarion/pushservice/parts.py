"""What the connections of one node share."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Protocol

from clarion.ports.pushservice import (
    DeviceNumber,
    NodeNumber,
    PushDevices,
    PushId,
    PushMessages,
    PushReceipts,
    ReceiptStatus,
)
from clarion.ports.system import Chance, Clock
from clarion.pushservice.accepting import Accepting
from clarion.pushservice.addresses import Addresses
from clarion.pushservice.arrivals import Arrivals
from clarion.pushservice.capabilities import Capabilities
from clarion.pushservice.connections import Connections
from clarion.pushservice.dating import Dates
from clarion.pushservice.deadlines import Deadlines
from clarion.pushservice.familiar import Heads
from clarion.pushservice.limits import Buckets, PushLimits
from clarion.pushservice.numbering import Numbering
from clarion.pushservice.protocol import Identities
from clarion.pushservice.tally import Tally
from clarion.telemetry.metrics import Metrics


class Held(Protocol):
    """A connection that is to be ended when the node ends."""

    def drain(self) -> None:
        """End as soon as what is under way is done."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Quotas:
    """Token buckets of a node."""

    subscription: Buckets
    origin: Buckets
    device: Buckets
    address: Buckets


def quotas(limits: PushLimits) -> Quotas:
    """Full buckets."""
    return Quotas(
        subscription=Buckets(limits.subscription_per_s, limits.subscription_burst),
        origin=Buckets(limits.origin_per_s, limits.origin_burst),
        device=Buckets(limits.register_per_s, limits.register_burst),
        address=Buckets(10 * limits.register_per_s, 10 * limits.register_burst),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """Everything that a connection may need."""

    clock: Clock
    chance: Chance
    limits: PushLimits
    quotas: Quotas
    node: NodeNumber
    numbering: Numbering
    capabilities: Capabilities
    identities: Identities
    devices: PushDevices
    messages: PushMessages
    receipts: PushReceipts
    connections: Connections
    arrivals: Arrivals
    accepting: Accepting
    deadlines: Deadlines
    metrics: Metrics
    tally: Tally
    addresses: Addresses
    heads: Heads
    dates: Dates
    settle: Callable[[DeviceNumber, PushId, ReceiptStatus], None]
    """Told of messages that a device has, whichever connection they went over."""
    trusted_proxies: frozenset[str]
    allowed_origins: frozenset[str]
    """Of pages that may speak with us as devices do; `*` is any."""
    held: set[Held] = field(default_factory=set)
    """Every connection."""
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    def background(self, work: Coroutine[None, None, None]) -> None:
        """Run something that nobody waits for; its failure is the loop's to report."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
