"""Who is connected here, and what is on its way to whom."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from clarion.ports.pushservice import (
    DeviceNumber,
    Push,
    PushId,
    PushUrgency,
    ReceiptStatus,
    SubscriptionNumber,
)

REMEMBERED: Final = 10_000
"""Devices whose unacknowledged messages are remembered after they left, for their cursor."""


class Link(Protocol):
    """A way to a device: a WebSocket or a stream of events."""

    def push(self, push: Push) -> None:
        """Send a message."""
        ...

    def replaced(self) -> None:
        """Another connection serves the device: this one ends."""
        ...

    @property
    def crowded(self) -> bool:
        """The device does not read as fast as we write."""
        ...


class Session:
    """A device's connection, from when it said who it is.

    `unacked` holds what was sent and not acknowledged, in order, and is absent while nothing is.
    """

    __slots__ = (
        "asked", "channels", "device", "floor", "link", "more", "name", "unacked",
    )  # fmt: skip

    def __init__(self, name: bytes, link: Link, floor: PushUrgency = PushUrgency.VERY_LOW) -> None:
        self.name = name
        self.link = link
        self.floor = floor
        self.device: DeviceNumber | None = None
        self.channels: dict[bytes, SubscriptionNumber] = {}
        self.unacked: dict[PushId, Push] | None = None
        self.more = False
        """The store may hold more than was sent."""
        self.asked = False
        """A look at the store is under way."""


class Connections:
    """The sessions of this node."""

    def __init__(
        self, window: int, settle: Callable[[DeviceNumber, PushId, ReceiptStatus], None]
    ) -> None:
        """Start with nobody.

        Args:
            window: messages on their way to one device at most.
            settle: told of each message that arrived, and of what its receipt will say.
        """
        self._window = window
        self._settle = settle
        self._by_device: dict[DeviceNumber, Session] = {}
        self._by_name: dict[bytes, Session] = {}
        self._left: OrderedDict[DeviceNumber, tuple[PushId, ...]] = OrderedDict()
        self.look: Callable[[Session], None] = lambda _session: None
        """Called for a session that wants what the store holds."""

    def __len__(self) -> int:
        return len(self._by_device)

    def sessions(self) -> Iterable[Session]:
        """Everybody, as of now."""
        return tuple(self._by_device.values())

    def of(self, device: DeviceNumber) -> Session | None:
        """A device's session, where it is connected here."""
        return self._by_device.get(device)

    def named(self, name: bytes) -> Session | None:
        """The session of the device with a name, where it is connected here."""
        return self._by_name.get(name)

    def seat(
        self,
        session: Session,
        device: DeviceNumber,
        channels: Mapping[bytes, SubscriptionNumber],
    ) -> None:
        """A device is connected here from now on; an older connection of it ends."""
        older = self._by_device.get(device)
        if older is not None and older is not session:
            self.leave(older)
            older.link.replaced()
        session.device = device
        session.channels = dict(channels)
        self._by_device[device] = self._by_name[session.name] = session

    def leave(self, session: Session) -> None:
        """A connection has ended."""
        device = session.device
        if device is None or self._by_device.get(device) is not session:
            return
        del self._by_device[device]
        self._by_name.pop(session.name, None)
        self._left.pop(device, None)
        if session.unacked:
            self._left[device] = tuple(session.unacked)
            if len(self._left) > REMEMBERED:
                self._left.popitem(last=False)
        session.unacked = None
        session.channels = {}  # the collector comes late to what refers to itself

    def resume(self, device: DeviceNumber, cursor: PushId) -> Sequence[PushId]:
        """What a device had been sent when it left, up to the cursor that it names now."""
        return [push for push in self._left.pop(device, ()) if push <= cursor]

    def direct(self, push: Push) -> bool:
        """Send a message that is not stored yet; False where it has to go through the store."""
        session = self._by_device.get(push.device)
        if session is None or session.channels.get(push.channel) != push.subscription:
            return False
        link, unacked = session.link, session.unacked
        if push.urgency < session.floor or link.crowded:
            return False
        # One with a topic must not overtake what it replaces, which may be stored already.
        full = unacked and (push.topic is not None or len(unacked) >= self._window)
        if session.more or session.asked or full:
            session.more = True
            return False
        if unacked is None:
            session.unacked = {push.id: push}
        else:
            unacked[push.id] = push
        link.push(push)
        return True

    def on_the_way(self, push: Push) -> bool:
        """Whether a message has been sent on its device's present connection."""
        session = self._by_device.get(push.device)
        return session is not None and push.id in (session.unacked or ())

    def wake(self, devices: Iterable[int]) -> None:
        """The store holds messages for these devices."""
        for device in devices:
            session = self._by_device.get(DeviceNumber(device))
            if session is not None:
                session.more = True
                self._want(session)

    def drained(self, session: Session, pushes: Sequence[Push]) -> None:
        """Send what a look at the store found: the device's oldest messages."""
        session.asked = False
        session.more = len(pushes) >= self._window
        for push in pushes:
            if not session.unacked or push.id not in session.unacked:
                self._send(session, push)

    def acked(
        self,
        session: Session,
        push: PushId,
        status: ReceiptStatus = ReceiptStatus.ACKNOWLEDGED,
    ) -> Push | None:
        """A device has a message; None for one that was not sent on this connection."""
        unacked, device = session.unacked, session.device
        found = None if unacked is None else unacked.pop(push, None)
        if found is None or device is None:
            return None
        if not unacked:
            session.unacked = None
        self._settle(device, push, status)
        if session.more:
            self._want(session)
        return found

    def acked_through(self, session: Session, push: PushId) -> None:
        """A device has everything up to a message."""
        for known in [known for known in session.unacked or () if known <= push]:
            self.acked(session, known)

    def want(self, session: Session) -> None:
        """Send a session what the store holds, from the beginning."""
        session.more = True
        self._want(session)

    def eased(self, session: Session) -> None:
        """A device reads again."""
        if session.more:
            self._want(session)

    def _want(self, session: Session) -> None:
        """Look at the store once what is on its way has gone down to half of what may be."""
        on_the_way = len(session.unacked) if session.unacked else 0
        if session.asked or on_the_way > self._window // 2 or session.link.crowded:
            return
        session.asked = True
        self.look(session)

    def _send(self, session: Session, push: Push) -> None:
        if session.unacked is None:
            session.unacked = {}
        session.unacked[push.id] = push
        session.link.push(push)
