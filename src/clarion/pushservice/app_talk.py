"""An app's connection: a WebSocket, or a stream of events, with a cursor to resume from."""

import asyncio
from dataclasses import dataclass
from typing import Final

from clarion.ports.pushservice import Attached, Push, PushId, PushUrgency, ReceiptStatus
from clarion.pushservice import app_stream
from clarion.pushservice.connections import Session
from clarion.pushservice.http_connection import EventStream
from clarion.pushservice.parts import Parts
from clarion.pushservice.refusals import Refusal, RefusedError
from clarion.pushservice.sockets import Socket
from clarion.wire.websocket import CloseCode, WebSocketError

STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-store\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n"
)


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Who wants a stream: a device, where it stands, and what is urgent enough for it."""

    name: bytes
    cursor: PushId | None
    floor: PushUrgency


class AppTalk:
    """Speaks with one app over a WebSocket."""

    __slots__ = ("_parts", "_session", "_socket")

    def __init__(self, parts: Parts, subscriber: Subscriber, socket: Socket) -> None:
        self._parts = parts
        self._socket = socket
        self._session = Session(subscriber.name, self, subscriber.floor)
        parts.arrivals.attach(subscriber.name).add_done_callback(
            lambda found: self._found(found, subscriber.cursor)
        )

    def received(self, text: bytes) -> None:
        """An acknowledgement of everything up to a message."""
        if self._session.device is None:
            raise WebSocketError(CloseCode.POLICY, "nothing was sent that could have arrived")
        self._parts.connections.acked_through(self._session, app_stream.read_ack(text))

    def lost(self) -> None:
        """The connection has ended."""
        self._parts.connections.leave(self._session)

    def eased(self) -> None:
        """The app reads again."""
        self._parts.connections.eased(self._session)

    def push(self, push: Push) -> None:
        """Send a message."""
        self._socket.say(app_stream.say_push(push))

    def replaced(self) -> None:
        """The app has connected anew."""
        self._socket.close(CloseCode.NORMAL, "another connection serves this device")

    @property
    def crowded(self) -> bool:
        """The app does not read."""
        return self._socket.crowded

    def _found(self, found: "asyncio.Future[Attached | None]", cursor: PushId | None) -> None:
        if found.exception() is not None:
            self._socket.close(CloseCode.TRY_AGAIN_LATER, "the store is away")
            return
        if self._socket.over:
            return
        attached = found.result()
        if attached is None:
            self._socket.close(CloseCode.POLICY, "the device has no subscription")
            return
        seat(self._parts, self._session, attached, cursor)
        self._socket.welcome()


def seat(parts: Parts, session: Session, attached: Attached, cursor: PushId | None) -> None:
    """Connect a device, with what it had already; then send it what waits."""
    connections = parts.connections
    connections.seat(session, attached.device, attached.channels)
    if cursor is not None:
        for push in connections.resume(attached.device, cursor):
            parts.settle(attached.device, push, ReceiptStatus.ACKNOWLEDGED)
    connections.want(session)


class AppEvents:
    """Sends events to one app; what has arrived is told by the next request's cursor."""

    __slots__ = ("_over", "_parts", "_session", "_stream")

    def __init__(self, parts: Parts, subscriber: Subscriber, stream: EventStream) -> None:
        self._parts = parts
        self._stream = stream
        self._over = False
        self._session = Session(subscriber.name, self, subscriber.floor)
        parts.arrivals.attach(subscriber.name).add_done_callback(
            lambda found: self._found(found, subscriber.cursor)
        )

    def lost(self) -> None:
        """The app has left."""
        self._over = True
        self._parts.connections.leave(self._session)

    def eased(self) -> None:
        """The app reads again."""
        self._parts.connections.eased(self._session)

    def beat(self) -> None:
        """Keep proxies from closing what is silent."""
        if self._session.device is not None:
            self._stream.say(app_stream.KEEP_ALIVE)

    def push(self, push: Push) -> None:
        """Send a message."""
        self._stream.say(app_stream.event(push))

    def replaced(self) -> None:
        """The app has connected anew."""
        self._over = True
        self._stream.end()

    @property
    def crowded(self) -> bool:
        """The app does not read."""
        return self._stream.crowded

    def _found(self, found: "asyncio.Future[Attached | None]", cursor: PushId | None) -> None:
        error = found.exception()
        if self._over:
            return
        attached = None if error is not None else found.result()
        if attached is None:
            refusal = Refusal.GONE if error is None else Refusal.BUSY
            self._stream.refuse(RefusedError(refusal, "" if error else "no subscription is left"))
            return
        self._stream.start(STREAM_HEAD)
        seat(self._parts, self._session, attached, cursor)
