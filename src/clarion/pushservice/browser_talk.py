"""A browser's connection: Mozilla's protocol, and what each command does."""

import asyncio
import logging
from typing import Final, assert_never

from clarion.ports.pushservice import (
    Attached,
    Push,
    ReceiptStatus,
    TooManySubscriptionsError,
)
from clarion.ports.store import StoreUnavailableError
from clarion.pushservice import autopush
from clarion.pushservice.capabilities import NAME_OCTETS, Endpoint
from clarion.pushservice.connections import Session
from clarion.pushservice.parts import Parts
from clarion.pushservice.sockets import Socket
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent, Metric
from clarion.wire.websocket import CloseCode, WebSocketError

_DELIVERED: Final = Metric.PUSH_DELIVERED
_HAS_IT: Final = ReceiptStatus.ACKNOWLEDGED
_log = logging.getLogger(__name__)


class BrowserTalk:
    """Speaks with one browser. A talk of `sockets.Talk` and a link of `connections.Link`."""

    __slots__ = ("_greeted", "_parts", "_session", "_socket")

    def __init__(self, parts: Parts, socket: Socket) -> None:
        self._parts = parts
        self._socket = socket
        self._session: Session | None = None
        self._greeted = False

    def received(self, text: bytes) -> None:
        """Do what the browser says."""
        command = autopush.read_command(text)
        session = self._session
        if session is not None and isinstance(command, autopush.Ack):
            self._ack(session, command.updates)
            return
        if isinstance(command, autopush.Hello):
            self._hello(command)
            return
        if isinstance(command, autopush.Ping):
            self._socket.say(autopush.PING)
            return
        if session is None:
            raise WebSocketError(CloseCode.POLICY, "hello comes first")
        match command:
            case autopush.Ack(updates):
                self._ack(session, updates)
            case autopush.Register():
                self._register(session, command)
            case autopush.Unregister():
                channel = autopush.channel_octets(command.channel)
                self._parts.background(self._unregister(session, command.channel, channel))
            case autopush.Nack():
                self._parts.metrics.add(Metric.PUSH_DELIVERED, "nack")
            case autopush.Broadcasts():
                pass
            case _:
                assert_never(command)

    def lost(self) -> None:
        """The connection has ended."""
        if self._session is not None:
            self._parts.connections.leave(self._session)

    def eased(self) -> None:
        """The browser reads again."""
        if self._session is not None:
            self._parts.connections.eased(self._session)

    def push(self, push: Push) -> None:
        """Send a message."""
        self._socket.say(autopush.say_push(push))

    def replaced(self) -> None:
        """The browser has connected anew."""
        self._socket.close(CloseCode.NORMAL, "another connection serves this browser")

    @property
    def crowded(self) -> bool:
        """The browser does not read."""
        return self._socket.crowded

    def _hello(self, hello: autopush.Hello) -> None:
        if self._greeted:
            raise WebSocketError(CloseCode.POLICY, "hello comes once")
        if not hello.use_webpush:
            raise WebSocketError(CloseCode.UNSUPPORTED, "only use_webpush is spoken here")
        self._greeted = True
        name = hello.name()
        if name is None:
            self._welcome(Session(self._parts.chance.token(NAME_OCTETS), self))
            return
        self._parts.arrivals.attach(name).add_done_callback(lambda found: self._found(name, found))

    def _found(self, name: bytes, found: "asyncio.Future[Attached | None]") -> None:
        error = found.exception()
        if error is not None:
            # Never a new name for a browser that we could not look up: it would drop everything.
            self._socket.close(CloseCode.TRY_AGAIN_LATER, "the store is away")
            return
        if self._socket.over:
            return
        attached = found.result()
        if attached is None:
            self._welcome(Session(self._parts.chance.token(NAME_OCTETS), self))
            return
        session = Session(name, self)
        self._parts.connections.seat(session, attached.device, attached.channels)
        self._welcome(session)
        self._parts.connections.want(session)

    def _welcome(self, session: Session) -> None:
        self._session = session
        self._socket.welcome()
        self._socket.say(autopush.say_hello(session.name))

    def _ack(self, session: Session, updates: list[autopush.Update]) -> None:
        connections, tally = self._parts.connections, self._parts.tally
        for update in updates:
            push = update.push()
            if push is None:
                continue
            delivered = update.code == autopush.DELIVERED or update.code is None
            connections.acked(session, push, _HAS_IT if delivered else ReceiptStatus.GAVE_UP)
            tally.add(_DELIVERED, "ack" if delivered else "failed")

    def _register(self, session: Session, command: autopush.Register) -> None:
        channel = autopush.channel_octets(command.channel)
        now = self._parts.clock.monotonic()
        quotas = self._parts.quotas
        if quotas.device.take(session.name, now) or quotas.address.take(self._socket.peer, now):
            self._socket.say(autopush.say_failed("register", command.channel, 429))
            return
        try:
            key_hash = autopush.key_hash(command.key)
        except autopush.BadKeyError:
            self._socket.say(autopush.say_failed("register", command.channel, 400))
            return
        self._parts.background(self._subscribe(session, command.channel, channel, key_hash))

    async def _subscribe(
        self, session: Session, text: str, channel: bytes, key_hash: bytes | None
    ) -> None:
        parts = self._parts
        try:
            made = await parts.devices.register(
                session.name, channel, key_hash, parts.node, parts.clock.now()
            )
        except TooManySubscriptionsError:
            self._socket.say(autopush.say_failed("register", text, 429))
            return
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            self._socket.say(autopush.say_failed("register", text, 500))
            return
        if made.key_hash != key_hash:
            self._socket.say(autopush.say_failed("register", text, 409))
            return
        if self._socket.over:
            return
        if session.device is None:
            parts.connections.seat(session, made.device, session.channels)
        session.channels[channel] = made.subscription
        endpoint = Endpoint(made.device, made.subscription, channel, key_hash)
        url = parts.capabilities.endpoint_url(endpoint)
        self._socket.say(autopush.say_registered(text, url))

    async def _unregister(self, session: Session, text: str, channel: bytes) -> None:
        parts = self._parts
        try:
            await parts.devices.unregister(session.name, channel, parts.node, parts.clock.now())
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            self._socket.say(autopush.say_failed("unregister", text, 500))
            return
        session.channels.pop(channel, None)
        self._socket.say(autopush.say_unregistered(text))
