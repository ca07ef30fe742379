"""What goes through the store on its way to devices: acknowledgements, then looks, in groups.

An acknowledged message is deleted before the store is looked at for the same device, so a look
never finds it again.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from clarion.ports.pushservice import DeviceNumber, Push, PushId, PushMessages, ReceiptStatus
from clarion.ports.store import StoreUnavailableError
from clarion.ports.system import Clock
from clarion.pushservice.accepting import Accepting
from clarion.pushservice.connections import Connections, Session
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

_log = logging.getLogger(__name__)

EVERY_S: Final = 0.02
AT_ONCE: Final = 5_000
LOOKS_AT_ONCE: Final = 200
"""Sessions whose messages are read together: with a window of 64 and full bodies, 50 MiB."""
STORE_PAUSE_S: Final = 0.5


class Deliveries:
    """Acknowledgements and looks of this node."""

    def __init__(self, messages: PushMessages, clock: Clock, window: int) -> None:
        self._messages = messages
        self._clock = clock
        self._window = window
        self._acks: list[tuple[DeviceNumber, PushId, ReceiptStatus]] = []
        self._looks: list[Session] = []
        self._some = asyncio.Event()
        self.accepting: Accepting | None = None
        """Knows what is not stored yet."""
        self.connections: Connections | None = None

    def settle(self, device: DeviceNumber, push: PushId, status: ReceiptStatus) -> None:
        """A message has arrived."""
        if self.accepting is not None and self.accepting.arrived(push, status):
            return
        self.delete(device, push, status)

    def delete(self, device: DeviceNumber, push: PushId, status: ReceiptStatus) -> None:
        """A message that has arrived is in the store."""
        self._acks.append((device, push, status))
        self._some.set()

    def look(self, session: Session) -> None:
        """A session wants what the store holds for it."""
        self._looks.append(session)
        self._some.set()

    async def run(self) -> None:
        """Work until cancelled; what has been acknowledged by then is still deleted."""
        try:
            while True:
                await self._some.wait()
                await self._clock.sleep(EVERY_S)
                await self._patiently()
        finally:
            try:
                await self._acknowledge()
            except StoreUnavailableError as error:  # devices drop what they get twice
                log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))

    async def _patiently(self) -> None:
        try:
            await self._acknowledge()
            await self._look()
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            await self._clock.sleep(STORE_PAUSE_S)
            return
        if not self._acks and not self._looks:
            self._some.clear()

    async def _acknowledge(self) -> None:
        while self._acks:
            part = self._acks[:AT_ONCE]
            await self._messages.acknowledge(
                [device for device, _, _ in part],
                [push for _, push, _ in part],
                [status for _, _, status in part],
                self._clock.now(),
            )
            del self._acks[: len(part)]

    async def _look(self) -> None:
        taken, self._looks = self._looks[:LOOKS_AT_ONCE], self._looks[LOOKS_AT_ONCE:]
        part = [session for session in taken if session.device is not None]
        devices = [session.device for session in part if session.device is not None]
        if devices and self.connections is not None:
            floors = [session.floor for session in part]
            try:
                found = await self._messages.waiting(
                    devices, floors, self._clock.now(), window=self._window
                )
            except StoreUnavailableError:
                self._looks = taken + self._looks
                raise
            by_device: dict[DeviceNumber, list[Push]] = {}
            for push in found:
                by_device.setdefault(push.device, []).append(push)
            for session, device in zip(part, devices, strict=True):
                if self.connections.of(device) is session:
                    self.connections.drained(session, by_device.get(device, ()))


def hearing(connections: Connections) -> Callable[[str, Sequence[int]], None]:
    """What to do with what other nodes say."""

    def heard(what: str, devices: Sequence[int]) -> None:
        if what == "wake":
            connections.wake(devices)
            return
        for device in devices:
            session = connections.of(DeviceNumber(device))
            if session is not None:
                connections.leave(session)
                session.link.replaced()

    return heard
