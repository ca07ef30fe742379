"""A connection that speaks HTTP/1.1: requests one after the other, streams, upgrades."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

from typing_extensions import override

from clarion.ports.store import StoreUnavailableError
from clarion.pushservice import cors
from clarion.pushservice.parts import Parts
from clarion.pushservice.refusals import Refusal, RefusedError, body_of, headers_of
from clarion.pushservice.requests import Answer, Fields, Request, RequestReader, encode_fields
from clarion.pushservice.sockets import Socket, Talk
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent, Metric

_log = logging.getLogger(__name__)

MAX_PIPELINED = 32
GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
LOOK_S = 5.0


@dataclass(frozen=True, slots=True)
class Later:
    """An answer that is not known yet."""

    answer: "asyncio.Future[Answer]"


class Pending:
    """The same without the loop's future: who settles it calls the connection at once."""

    __slots__ = ("answer", "then")

    def __init__(self) -> None:
        self.answer: Answer | RefusedError | None = None
        self.then: Callable[[Answer | RefusedError], None] | None = None

    def settle(self, answer: Answer | RefusedError) -> None:
        """The answer is known."""
        self.answer = answer
        if self.then is not None:
            self.then(answer)


@dataclass(frozen=True, slots=True)
class SwitchToSocket:
    """The connection becomes a WebSocket."""

    head: bytes
    talk: Callable[[Socket], Talk]


@dataclass(frozen=True, slots=True)
class StartStream:
    """The connection becomes a stream of events, until it ends."""

    open: Callable[["EventStream"], "StreamOwner"]


Outcome = Answer | Later | Pending | SwitchToSocket | StartStream


class StreamOwner(Protocol):
    """Who fills a stream."""

    def lost(self) -> None:
        """The reader has left."""
        ...

    def eased(self) -> None:
        """The reader reads again."""
        ...

    def beat(self) -> None:
        """Some time has passed: say that the stream lives."""
        ...


class HttpConnection(asyncio.Protocol):
    """One connection of a sender or a device."""

    __slots__ = (
        "_busy", "_counted", "_deaf", "_halted", "_last", "_owner", "_parts", "_reader", "_route",
        "_since", "_transport", "crowded", "deadline", "peer",
    )  # fmt: skip

    def __init__(
        self, parts: Parts, route: Callable[[Request], Outcome], counted: str | None
    ) -> None:
        """`counted`: the address whose connection this is, where it is known already."""
        self._parts = parts
        self._counted = counted
        self._route = route
        self._busy: Request | None = None
        self._owner: StreamOwner | None = None
        self._since = parts.clock.monotonic()
        self.crowded = self._deaf = self._halted = self._last = False
        self.deadline: float | None = self._since + LOOK_S

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else "local"
        limits = self._parts.limits
        self._reader = RequestReader(self.peer, max_head=limits.max_head, max_body=limits.max_body)
        self._parts.held.add(self)
        self._parts.deadlines.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self.deadline is None or self._deaf:
            return
        reader = self._reader
        alone = not reader.begun and self._busy is None
        if alone:
            request = None if self.crowded else self._parts.heads.request(data, self.peer)
            if request is not None:
                self._take(request, b"")
                return
            self._since = self._parts.clock.monotonic()
        try:
            rest = reader.feed(data)
        except RefusedError as error:
            self._end_with(error)
            return
        if alone and len(reader.done) == 1 and not reader.begun:
            self._parts.heads.learn(data, reader.done[0])
        if len(reader.done) > MAX_PIPELINED:
            self._halted = True
            self._transport.pause_reading()
        self._next(rest or b"")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline = None
        self._parts.held.discard(self)
        if self._counted is not None:
            self._parts.addresses.leave(self._counted)
        if self._owner is not None:
            self._owner.lost()

    @override
    def pause_writing(self) -> None:
        self.crowded = True

    @override
    def resume_writing(self) -> None:
        self.crowded = False
        if self._owner is not None:
            self._owner.eased()
        elif self._busy is None and self.deadline is not None:
            self._next(b"")

    def due(self, now: float) -> None:
        """A request that does not arrive, or none for long: end."""
        limits = self._parts.limits
        waited = now - self._since
        self.deadline = now + LOOK_S
        if self._deaf and self._busy is None:
            self.finish()
        elif self._owner is not None:
            if self.crowded and waited > limits.idle_s:
                self.abort()
            elif waited > limits.keep_alive_s / 3:
                self._since = now
                self._owner.beat()
        elif self._busy is None and self._reader.begun and waited > limits.head_s:
            self._end_with(RefusedError(Refusal.TIMEOUT))
        elif self._busy is None and waited > limits.keep_alive_s:
            self.finish()

    def finish(self) -> None:
        """Close when everything has been read."""
        self.deadline = None
        self._transport.close()

    def abort(self) -> None:
        """Cut the connection."""
        self.deadline = None
        self._transport.abort()

    def write(self, data: bytes) -> None:
        """Send octets of a stream."""
        if self.deadline is not None:
            self._transport.write(data)

    def date(self) -> bytes:
        """The field of an answer that is written now."""
        return self._parts.dates.line(self._parts.clock.monotonic())

    def drain(self) -> None:
        """The process ends: what is accepted is still answered."""
        if self._busy is None or self._owner is not None:
            self.finish()
        else:
            self._last = True

    def _next(self, rest: bytes) -> None:
        """Take requests until one has to wait."""
        done = self._reader.done
        while done and self._busy is None and self.deadline is not None and not self.crowded:
            self._take(done.pop(0), rest)
        if self._halted and self.deadline is not None and len(done) <= MAX_PIPELINED:
            self._halted = False
            self._transport.resume_reading()
        # Not while an earlier request waits for its answer, which comes first.
        reader = self._reader
        if reader.waited_for and self._busy is None and not done and self.deadline is not None:
            reader.waited_for = False
            self._transport.write(GO_ON)

    def _take(self, request: Request, rest: bytes) -> None:
        self._busy = request
        try:
            outcome = self._route(request)
        except RefusedError as error:
            outcome = _refusal(error)
        except Exception as error:  # noqa: BLE001  the edge: a bug is logged once
            outcome = _bug(error)
        self._act(request, outcome, rest)

    def _act(self, request: Request, outcome: Outcome, rest: bytes) -> None:
        if isinstance(outcome, Answer):
            self._say(request, outcome)
        elif isinstance(outcome, Pending):
            if outcome.answer is None:
                outcome.then = self._settled
            else:
                self._say(request, _answer(outcome.answer))
        elif isinstance(outcome, Later):
            outcome.answer.add_done_callback(self._known)
        elif not self._counted_in(request.peer):
            self._say(request, _refusal(RefusedError(Refusal.ADDRESS)))
        elif isinstance(outcome, SwitchToSocket):
            self._switch(outcome, request.peer, rest)
        else:
            self._since = self._parts.clock.monotonic()
            self._owner = outcome.open(
                EventStream(self, cors.fields(request, self._parts.allowed_origins))
            )

    def _settled(self, answer: Answer | RefusedError) -> None:
        request = self._busy
        if request is not None and self.deadline is not None:  # else the client has left
            self._say(request, _answer(answer))
            if self._halted or self._reader.done or self._reader.waited_for:
                self._next(b"")

    def _known(self, answer: "asyncio.Future[Answer]") -> None:
        request = self._busy
        if request is None or self.deadline is None:
            answer.exception()  # the client has left; whatever it was has been done
            return
        error = answer.exception()
        if error is None:
            self._say(request, answer.result())
        elif isinstance(error, RefusedError):
            self._say(request, _refusal(error))
        elif isinstance(error, StoreUnavailableError):
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            self._say(request, _refusal(RefusedError(Refusal.BUSY)))
        else:
            self._say(request, _bug(error))
        self._next(b"")

    def _say(self, request: Request, answer: Answer) -> None:
        parts, fields = self._parts, request.fields
        keep = not (self._last or answer.close or request.upgrade) and request.keep_alive
        more = cors.fields(request, parts.allowed_origins) if "origin" in fields else ()
        self._since = now = parts.clock.monotonic()
        date = parts.dates.line(now)
        self._transport.write(
            answer.encode(date=date, keep_alive=keep, head=request.method == "HEAD", more=more)
        )
        self._busy = None
        if not keep:
            self.finish()

    def _counted_in(self, address: str) -> bool:
        """Count a connection that stays, where it came through a proxy and is not counted yet."""
        if self._counted is None:
            if not self._parts.addresses.enter(address, self._parts.clock.monotonic()):
                return False
            self._counted = address
        return True

    def _switch(self, switch: SwitchToSocket, peer: str, rest: bytes) -> None:
        self.deadline = None
        self._parts.held.discard(self)
        self._transport.write(switch.head)
        socket = Socket(self._parts, self._transport, peer, switch.talk)
        self._counted = None  # it is the socket's from now on
        self._transport.set_protocol(socket)
        if rest:
            socket.data_received(rest)

    def _end_with(self, error: RefusedError) -> None:
        """Refuse what can't be read, and close: where the next request begins is not known.

        While an earlier request waits for its answer, a refusal would be taken for that: the answer
        comes, and the connection ends with it. A stream of events ends at once.
        """
        self._parts.metrics.add(Metric.PUSH_REQUESTS, str(error.refusal.status))
        # What still comes is not read, but taken: a reset would overtake the answer.
        self._deaf = True
        self._reader.done.clear()
        self._reader.waited_for = False
        if self._owner is not None:
            self.finish()
        elif self._busy is not None:
            self._last = True
        else:
            self._transport.write(_refusal(error).encode(date=self.date(), keep_alive=False))
            self._transport.write_eof()


class EventStream:
    """Server-sent events over one connection, in chunks."""

    __slots__ = ("_connection", "_more")

    def __init__(self, connection: HttpConnection, more: Fields) -> None:
        self._connection = connection
        self._more = more

    def start(self, head: bytes) -> None:
        """Send the head of the answer: its status line and fields, each with its line's end."""
        date = self._connection.date()
        self._connection.write(head + date + encode_fields(self._more) + b"\r\n")

    def say(self, event: bytes) -> None:
        """Send an event."""
        self._connection.write(b"%x\r\n%b\r\n" % (len(event), event))

    def refuse(self, error: RefusedError) -> None:
        """Answer with a refusal instead of a stream."""
        date = self._connection.date()
        self._connection.write(_refusal(error).encode(date=date, keep_alive=False, more=self._more))
        self._connection.finish()

    def end(self) -> None:
        """No more events."""
        self._connection.write(b"0\r\n\r\n")
        self._connection.finish()

    @property
    def crowded(self) -> bool:
        """The reader does not read."""
        return self._connection.crowded


def _answer(settled: Answer | RefusedError) -> Answer:
    return _refusal(settled) if isinstance(settled, RefusedError) else settled


def _refusal(error: RefusedError) -> Answer:
    return Answer(error.refusal.status, headers_of(error), body_of(error))


def _bug(error: BaseException) -> Answer:
    log(_log, logging.ERROR, LogEvent.REQUEST_FAILED, error=error)
    return _refusal(RefusedError(Refusal.BUG))
