"""What our own push service needs from the state store: devices, messages, receipts, nodes.

Everything that happens often takes a group and is one transaction, so that its cost is shared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple, NewType, Protocol

DeviceNumber = NewType("DeviceNumber", int)
SubscriptionNumber = NewType("SubscriptionNumber", int)
NodeNumber = NewType("NodeNumber", int)
ReceiptCursor = tuple[int, int]
"""Where a reader of receipts stands; (0, 0) is the beginning."""
PushId = NewType("PushId", int)
"""Rises with time; unique over all nodes. See `clarion.pushservice.numbering`."""


class PushCoding(IntEnum):
    """How a body is encrypted. The service never looks inside."""

    NONE = 0
    AES128GCM = 1
    AESGCM = 2


class PushUrgency(IntEnum):
    """RFC 8030 section 5.3, as a number that orders."""

    VERY_LOW = 0
    LOW = 1
    NORMAL = 2
    HIGH = 3


class Stored(IntEnum):
    """What became of a message that was to be stored."""

    GONE = 0
    """No such subscription any more."""
    KEPT = 1
    FULL = 2
    """As many messages wait for the subscription as may."""


class ReceiptStatus(IntEnum):
    """RFC 8030 section 6.3: what a receipt says."""

    ACKNOWLEDGED = 204
    GAVE_UP = 410


class Push(NamedTuple):
    """A message for one subscription. A tuple, because thousands are made a second."""

    id: PushId
    device: DeviceNumber
    subscription: SubscriptionNumber
    channel: bytes
    """16 octets: the subscription's name on the device."""
    body: bytes
    coding: PushCoding
    encryption: str | None
    """`Encryption` and `Crypto-Key` as the sender gave them; legacy aesgcm only."""
    crypto_key: str | None
    topic: str | None
    urgency: PushUrgency
    expires_at: datetime
    receipt: bytes | None
    """16 octets: the receipt subscription that hears of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PushReceipt:
    """What became of a message whose sender asked."""

    cursor: ReceiptCursor
    """Rises."""
    push: PushId
    subscription: SubscriptionNumber
    status: ReceiptStatus
    at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Attached:
    """A device that has come back."""

    device: DeviceNumber
    channels: Mapping[bytes, SubscriptionNumber]


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """A subscription that exists now."""

    device: DeviceNumber
    subscription: SubscriptionNumber
    key_hash: bytes | None
    """SHA-256 of the key that it is restricted to."""


class TooManySubscriptionsError(Exception):
    """A device has as many subscriptions as one may have."""


class PushDevices(Protocol):
    """Devices and what they subscribe to."""

    async def attach(
        self, names: Sequence[bytes], node: NodeNumber, now: datetime
    ) -> Mapping[bytes, Attached]:
        """Devices by name (16 octets) are connected to `node` from now on; unknown ones are absent.

        Nodes that held a connection of one are told to close it.

        Raises:
            StoreUnavailableError: nothing is known about any of them.
        """
        ...

    async def register(
        self, name: bytes, channel: bytes, key_hash: bytes | None, node: NodeNumber, now: datetime
    ) -> Registered:
        """Subscribe; the same again gives the same subscription. Makes the device if it is new.

        Raises:
            TooManySubscriptionsError: one more than a device may have.
            StoreUnavailableError: nothing is known.
        """
        ...

    async def unregister(
        self, name: bytes, channel: bytes, node: NodeNumber, now: datetime
    ) -> bool:
        """End a subscription, with what waits for it; False where there was none.

        Another node that holds the device's connection closes it: it knows the subscription.
        """
        ...

    async def seen(self, devices: Sequence[DeviceNumber], now: datetime) -> None:
        """Devices are still connected."""
        ...

    async def forget(self, before: datetime, now: datetime, *, at_once: int) -> int:
        """Delete devices that were not seen since `before`; how many.

        Their subscriptions end with what waits for them, as if each had been unregistered (RFC 8030
        section 7.3).
        """
        ...


class PushMessages(Protocol):
    """Messages that wait."""

    async def store(
        self,
        pushes: Sequence[Push],
        settled: Sequence[tuple[Push, ReceiptStatus]],
        node: NodeNumber,
        now: datetime,
    ) -> Sequence[Stored]:
        """Keep messages until they expire, and write the receipts of others, in one transaction.

        Nodes that hold the devices' connections are told. A message replaces the one of the same
        topic (RFC 8030 section 5.4).
        """
        ...

    async def waiting(
        self,
        devices: Sequence[DeviceNumber],
        floors: Sequence[PushUrgency],
        now: datetime,
        *,
        window: int,
    ) -> Sequence[Push]:
        """The oldest messages of each device, `window` at most, in order.

        Those that are less urgent than the device's floor wait on (RFC 8030 section 5.3).
        """
        ...

    async def acknowledge(
        self,
        devices: Sequence[DeviceNumber],
        ids: Sequence[PushId],
        statuses: Sequence[ReceiptStatus],
        now: datetime,
    ) -> None:
        """Messages have arrived: they are deleted, and receipts written where one was asked for."""
        ...

    async def cancel(self, subscription: SubscriptionNumber, push: PushId) -> bool:
        """Delete a message that its sender withdraws; False where it no longer waits."""
        ...

    async def expire(self, now: datetime, *, at_once: int) -> int:
        """Delete messages whose time is over, with receipts of failure; how many."""
        ...


class PushReceipts(Protocol):
    """Receipts that wait for their readers."""

    async def after(
        self, reader: bytes, cursor: ReceiptCursor, *, at_most: int
    ) -> Sequence[PushReceipt]:
        """A reader's receipts after a cursor, in order."""
        ...

    async def taken(self, reader: bytes, cursor: ReceiptCursor) -> None:
        """A reader has come back with a cursor: what it covers is deleted."""
        ...

    async def drop(self, before: datetime, *, at_once: int) -> int:
        """Delete receipts that nobody fetched; how many."""
        ...


class PushNodes(Protocol):
    """The processes that hold connections."""

    async def join(self, owner: str, now: datetime) -> tuple[NodeNumber, datetime]:
        """Take a number that no living node has, and since when it may be used in ids."""
        ...

    async def beat(self, node: NodeNumber, owner: str, now: datetime) -> bool:
        """Say that the node lives; False when its number has been given to another one."""
        ...

    async def living(self, since: datetime) -> int:
        """How many nodes said since then that they live: each listens, and beats every 5 s."""
        ...

    async def leave(self, node: NodeNumber, owner: str, now: datetime) -> None:
        """Give the number back."""
        ...

    async def listen(
        self,
        node: NodeNumber,
        heard: Callable[[str, Sequence[int]], None],
        standing: Callable[[], None],
    ) -> None:
        """Hear from other nodes, until cancelled: `wake` and `close`, each with device numbers.

        `standing` is called once nothing that is said from then on can be missed.

        Raises:
            StoreUnavailableError: the line broke, or could not be had.
        """
        ...
