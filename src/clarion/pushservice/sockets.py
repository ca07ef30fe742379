"""WebSockets: frames to and from a transport, deadlines, floods. A talk knows what is said."""

import asyncio
from collections.abc import Callable
from typing import Protocol, assert_never

from typing_extensions import override

from clarion.pushservice.limits import PushLimits
from clarion.pushservice.parts import Parts
from clarion.wire.websocket import (
    Binary,
    Close,
    CloseCode,
    Event,
    FrameReader,
    Ping,
    Pong,
    Text,
    WebSocketError,
    close_frame,
    ping_frame,
    pong_frame,
    text_frame,
)


class Talk(Protocol):
    """A protocol spoken over a WebSocket."""

    def received(self, text: bytes) -> None:
        """A text message.

        Raises:
            WebSocketError: it breaks the protocol: the connection ends.
        """
        ...

    def lost(self) -> None:
        """The connection has ended."""
        ...

    def eased(self) -> None:
        """The device reads again."""
        ...


class Socket(asyncio.Protocol):
    """One WebSocket of a device."""

    __slots__ = ("_flood", "_limits", "_parts", "_pinged", "_reader", "_talk", "_transport",
                 "_welcomed",
                 "crowded", "deadline", "heard", "peer")  # fmt: skip

    def __init__(
        self,
        parts: Parts,
        transport: asyncio.Transport,
        peer: str,
        talk: Callable[["Socket"], Talk],
    ) -> None:
        limits: PushLimits = parts.limits
        now = parts.clock.monotonic()
        self._parts = parts
        self._limits = limits
        self._transport = transport
        self._reader = FrameReader(limits.max_frame)
        self._pinged = self._welcomed = False
        self._flood = 0.0
        self.peer = peer
        self.crowded = False
        self.heard = now
        self.deadline: float | None = now + limits.hello_s
        self._talk = talk(self)
        transport.set_write_buffer_limits(high=256 * 1024)
        parts.deadlines.add(self)
        parts.held.add(self)

    @property
    def over(self) -> bool:
        """Nothing more is sent or heard."""
        return self.deadline is None

    def say(self, text: bytes) -> None:
        """Send a text message."""
        if self.deadline is not None:
            self._transport.write(text_frame(text))

    def welcome(self) -> None:
        """The device has said who it is."""
        self._welcomed = True
        self.heard = self._parts.clock.monotonic()
        if self.deadline is not None:
            self.deadline = self.heard + self._limits.idle_s

    def close(self, code: int, reason: str = "") -> None:
        """End the connection."""
        if self.deadline is None:
            return
        self.deadline = None
        self._transport.write(close_frame(code, reason))
        self._transport.close()
        self._talk.lost()

    @override
    def data_received(self, data: bytes) -> None:
        if self.deadline is None:
            return
        try:
            text = self._reader.text(data)
            if text is not None:
                self._count(1)
                self._talk.received(text)
                return
            events = self._reader.feed(data)
            self._count(len(events))
            for event in events:
                if self.over:
                    return
                self._take(event)
        except WebSocketError as error:
            self.close(error.code, str(error))

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._parts.held.discard(self)
        self._parts.addresses.leave(self.peer)
        if self.deadline is not None:
            self.deadline = None
            self._talk.lost()

    @override
    def pause_writing(self) -> None:
        self.crowded = True

    @override
    def resume_writing(self) -> None:
        self.crowded = False
        if self.deadline is not None:
            self._talk.eased()

    def drain(self) -> None:
        """The process ends: the device comes again."""
        self.close(CloseCode.GOING_AWAY, "the service restarts")

    def due(self, now: float) -> None:
        """Silent for long: ask; silent still: end."""
        limits = self._limits
        quiet = now - self.heard
        if self.deadline is not None and self._pinged and quiet >= limits.idle_s + limits.pong_s:
            self.deadline = None
            self._transport.abort()
            self._talk.lost()
        elif not self._welcomed:
            self.close(CloseCode.POLICY, "hello did not come in time")
        elif quiet >= limits.idle_s:
            self._pinged = True
            self._transport.write(ping_frame())
            self.deadline = now + limits.pong_s
        else:
            self._pinged = False
            self.deadline = self.heard + limits.idle_s

    def _take(self, event: Event) -> None:
        match event:
            case Text(data):
                self._talk.received(data)
            case Binary():
                raise WebSocketError(CloseCode.UNSUPPORTED, "this protocol is text")
            case Ping(data):
                self._transport.write(pong_frame(data))
            case Pong():
                pass
            case Close():
                self.close(CloseCode.NORMAL)
            case _:
                assert_never(event)

    def _count(self, events: int) -> None:
        """Refuse a flood: a leaky bucket in one number (GCRA)."""
        limits = self._limits
        self.heard = now = self._parts.clock.monotonic()
        flood = max(now, self._flood)
        self._flood = flood = flood + (events or 1) / limits.frames_per_s
        if (flood - now) * limits.frames_per_s > limits.frames_burst:
            raise WebSocketError(CloseCode.POLICY, "too many messages")
