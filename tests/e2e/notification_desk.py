"""A private D-Bus with somebody at it who sees notifications, clicks and dismisses them.

Browsers hand their notifications to `org.freedesktop.Notifications` of the session bus (Desktop
Notifications Specification 1.2). What comes back over the bus is a trusted click, which no
DevTools command can make.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from tests.e2e.patience import PATIENCE_S

NAME = "org.freedesktop.Notifications"
PATH = "/org/freedesktop/Notifications"
DISMISSED = 2
CLOSED = 3
ABILITIES = ["actions", "body", "body-hyperlinks", "body-images", "body-markup", "persistence"]


@dataclass(frozen=True, kw_only=True)
class Note:
    """A notification as the browser handed it over."""

    number: int
    title: str
    body: str
    actions: Mapping[str, str]
    """Key -> label; `default` is the notification itself."""
    hints: Mapping[str, Any]


@dataclass(kw_only=True)
class Desk:
    """What is shown now, and a hand."""

    bus: MessageBus
    address: str
    notes: dict[int, Note] = field(default_factory=dict)
    history: list[Note] = field(default_factory=list)
    _signals: list[asyncio.Future[None]] = field(default_factory=list)

    async def shown(self, title: str) -> Note:
        """The note with that title, once it is there."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for note in self.notes.values():
                    if note.title == title:
                        return note
                await asyncio.sleep(0.02)

    async def gone(self, number: int) -> None:
        """Wait until the browser took a note away."""
        async with asyncio.timeout(PATIENCE_S):
            while number in self.notes:  # noqa: ASYNC110  # the bus has no event to wait for
                await asyncio.sleep(0.02)

    async def click(self, note: Note, label: str | None = None) -> None:
        """Click a note, or its button with that label."""
        key = "default"
        if label is not None:
            key = next(key for key, text in note.actions.items() if text == label)
        await self._signal("ActionInvoked", "us", [note.number, key])

    async def dismiss(self, note: Note) -> None:
        """Wipe a note away."""
        self.notes.pop(note.number, None)
        await self._signal("NotificationClosed", "uu", [note.number, DISMISSED])

    async def _signal(self, member: str, signature: str, body: list[Any]) -> None:
        await self.bus.send(
            Message(
                message_type=MessageType.SIGNAL,
                path=PATH,
                interface=NAME,
                member=member,
                signature=signature,
                body=body,
            )
        )

    def answer(self, call: Message) -> Message | None:
        """What the desk says to a browser."""
        if call.interface != NAME or call.message_type is not MessageType.METHOD_CALL:
            return None
        if call.member == "Notify":
            return Message.new_method_return(call, "u", [self._notify(call.body)])
        if call.member == "CloseNotification":
            self.notes.pop(call.body[0], None)
            signal = self._signal("NotificationClosed", "uu", [call.body[0], CLOSED])
            self._signals.append(asyncio.ensure_future(signal))
            return Message.new_method_return(call)
        if call.member == "GetCapabilities":
            return Message.new_method_return(call, "as", [ABILITIES])
        if call.member == "GetServerInformation":
            return Message.new_method_return(call, "ssss", ["desk", "tests", "1", "1.2"])
        return None

    def _notify(self, body: list[Any]) -> int:
        _, replaces, _, title, text, actions, hints, _ = body
        number: int = replaces or len(self.history) + 1
        note = Note(
            number=number,
            title=title,
            body=text,
            actions=dict(zip(actions[::2], actions[1::2], strict=True)),
            hints={name: variant.value for name, variant in hints.items()},
        )
        self.notes[number] = note
        self.history.append(note)
        return number


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    """A bus of its own with a desk at it; both end with the block."""
    daemon = await asyncio.create_subprocess_exec(
        "dbus-daemon",
        "--session",
        "--nofork",
        "--nosyslog",
        "--print-address=1",
        f"--address=unix:path={folder}/bus",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        assert daemon.stdout is not None
        said = (await asyncio.wait_for(daemon.stdout.readline(), PATIENCE_S)).decode().strip()
        address = re.sub(r",guid=.*", "", said)
        bus = await MessageBus(bus_address=address, bus_type=BusType.SESSION).connect()
        sitting = Desk(bus=bus, address=address)
        bus.add_message_handler(sitting.answer)
        await bus.request_name(NAME)
        yield sitting
        bus.disconnect()
    finally:
        with contextlib.suppress(ProcessLookupError):
            daemon.terminate()
        await daemon.wait()
