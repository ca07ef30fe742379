"""A desktop for headless browsers: a private D-Bus with a notification service that can click.

Browsers show notifications through `org.freedesktop.Notifications`; what is clicked here reaches
the page as a trusted event.
"""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dbus_fast import Message, MessageType
from dbus_fast.aio import MessageBus
from tests.e2e.patience import PATIENCE_S

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"


@dataclass(frozen=True)
class Shown:
    """A notification that the browser has shown."""

    id: int
    title: str
    body: str
    actions: dict[str, str]
    """Label -> key; the key `default` is the notification itself."""


@dataclass
class Desktop:
    """What the person sees, and does."""

    address: str
    bus: MessageBus
    shown: list[Shown] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def receive(self, message: Message) -> Message | bool | None:
        """Answer a method call of the notification service."""
        if message.message_type is not MessageType.METHOD_CALL or message.interface != NAME:
            return None
        answers: dict[str, Callable[[], Message]] = {
            "GetCapabilities": lambda: Message.new_method_return(
                message, "as", [["body", "actions", "persistence"]]
            ),
            "GetServerInformation": lambda: Message.new_method_return(
                message, "ssss", ["desktop", "tests", "1", "1.2"]
            ),
            "Notify": lambda: Message.new_method_return(message, "u", [self._show(message)]),
            "CloseNotification": lambda: self._close(message),
        }
        answer = answers.get(message.member or "")
        return None if answer is None else answer()

    def _show(self, message: Message) -> int:
        _, replaces, _, title, body, actions, _hints, _ = message.body
        number = replaces or len(self.shown) + 1
        self.shown.append(
            Shown(number, title, body, dict(zip(actions[1::2], actions[::2], strict=True)))
        )
        self._news.set()
        return int(number)

    def _close(self, message: Message) -> Message:
        self.signal("NotificationClosed", "uu", [message.body[0], 3])
        return Message.new_method_return(message)

    def signal(self, member: str, signature: str, body: list[object]) -> None:
        """Tell the browser what the person did."""
        _ = self.bus.send(Message.new_signal(PATH, NAME, member, signature, body))

    def press(self, shown: Shown, label: str | None = None) -> None:
        """Click the notification, or a button of it."""
        key = "default" if label is None else shown.actions[label]
        self.signal("ActionInvoked", "us", [shown.id, key])
        self.signal("NotificationClosed", "uu", [shown.id, 2])

    def dismiss(self, shown: Shown) -> None:
        """Close it without a click."""
        self.signal("NotificationClosed", "uu", [shown.id, 2])

    async def next(self, title: str) -> Shown:
        """The notification with a title, as soon as it is shown."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for one in self.shown:
                    if one.title == title:
                        return one
                self._news.clear()
                await self._news.wait()


def missing() -> str | None:
    """What the machine lacks."""
    return None if shutil.which("dbus-daemon") else "dbus-daemon"


@asynccontextmanager
async def desktop() -> AsyncIterator[Desktop]:
    """A private bus with the service on it."""
    daemon = subprocess.Popen(  # noqa: ASYNC220  it starts at once
        ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert daemon.stdout is not None
    bus = None
    try:
        address = (await asyncio.to_thread(daemon.stdout.readline)).strip()
        bus = await MessageBus(bus_address=address).connect()
        made = Desktop(address, bus)
        bus.add_message_handler(made.receive)
        await bus.request_name(NAME)
        yield made
    finally:
        if bus is not None:
            bus.disconnect()
        daemon.terminate()
        await asyncio.to_thread(daemon.wait, PATIENCE_S)
        daemon.stdout.close()
