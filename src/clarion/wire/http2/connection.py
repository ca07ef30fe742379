"""One client connection: bytes in, bytes out, batches in between.

Nothing here reads a clock or touches a socket: `now` is an argument, in seconds of any clock that
never goes back.
"""

from dataclasses import dataclass
from typing import Final

from clarion.wire.http2 import frames
from clarion.wire.http2.answering import Answering
from clarion.wire.http2.batch import Batch, Failure
from clarion.wire.http2.errors import Cause, ErrorCode, ProtocolError
from clarion.wire.http2.packing import Octets
from clarion.wire.http2.receiving import Receiver
from clarion.wire.http2.segments import Segments
from clarion.wire.http2.sending import Sender
from clarion.wire.http2.settings import LocalSettings, PeerSettings
from clarion.wire.http2.states import TRANSITIONS, Input, State

_MAX_CONTROL: Final = 10_000
"""Control frames waiting to be written; a peer that provokes more is flooding (10.5)."""
_PING_OCTETS: Final = 8
_GOAWAY_OCTETS: Final = 8


@dataclass(frozen=True, slots=True)
class GoAway:
    """The server's GOAWAY (RFC 9113, section 6.8); `debug` is text for people, often JSON."""

    last_stream_id: int
    code: int
    debug: bytes


@dataclass(frozen=True, slots=True)
class Ending:
    """How a connection ended."""

    cause: Cause
    sentence: str
    code: ErrorCode = ErrorCode.NO_ERROR


class Connection:
    """The sans-I/O client side of one HTTP/2 connection.

    Args:
        authority: Value of `:authority` for every request.
        settings: What we announce, and how patient we are.
        now: The current time.

    Attributes:
        state: Where the connection stands.
        ending: How it ended, once `state` is CLOSED.
        goaway: The server's last GOAWAY.
    """

    def __init__(
        self, authority: bytes, *, settings: LocalSettings | None = None, now: float = 0.0
    ) -> None:
        self._local = settings or LocalSettings()
        self._peer = PeerSettings()
        self._segments = Segments()
        self._sender = Sender(authority, self._peer, self._segments)
        self._control: list[bytes] = [frames.PREFACE + self._local.announcement()]
        self._answering = Answering(self._local, self._segments, self._sender, self._control)
        self._receiver = Receiver(
            self._segments,
            self._answering,
            {
                frames.SETTINGS: self._on_settings,
                frames.PING: self._on_ping,
                frames.GOAWAY: self._on_goaway,
                frames.WINDOW_UPDATE: self._on_window,
            },
            self._local.max_header_list,
        )
        self.state = State.AWAITING_SETTINGS
        self.ending: Ending | None = None
        self.goaway: GoAway | None = None
        self._opened_at = self._heard_at = self._progress_at = now
        self._pinged_at: float | None = None

    @property
    def open_streams(self) -> int:
        """Requests written whose answers are due."""
        return self._segments.open

    @property
    def queued(self) -> int:
        """Requests that wait to be written."""
        return self._sender.queued

    @property
    def answered(self) -> int:
        """Requests that ended on this connection so far."""
        return self._segments.ended

    @property
    def limit(self) -> int:
        """Streams that may be open at once, by the server's word and ours."""
        return min(self._local.max_streams, self._peer.max_streams)

    @property
    def capacity(self) -> int:
        """Requests that could be written now beyond those that wait already."""
        if self.state is not State.OPEN:
            return 0
        return max(0, self.limit - self._segments.open - self._sender.queued)

    @property
    def idle(self) -> bool:
        """Whether nothing is open and nothing waits."""
        return not self._segments.open and not self._sender.queued

    def submit(self, batch: Batch, now: float) -> None:
        """Queues a batch; on a connection that takes no more, it ends as REFUSED at once."""
        if self.idle:
            self._progress_at = now
        batch.queued_at = now
        self._sender.enqueue(batch)
        if not len(batch):
            self._segments.finished.append(batch)
        if self.state in {State.DRAINING, State.CLOSED}:
            self._sender.drop_queue()
        self._report()

    def feed(self, data: bytes | memoryview, now: float) -> None:
        """Takes octets from the server, in pieces of any size."""
        if self.state is State.CLOSED:
            return
        self._heard_at = now
        self._pinged_at = None
        ended = self._segments.ended
        try:
            self._receiver.feed(data)
        except ProtocolError as error:
            self._close(Ending(error.cause, error.sentence, error.code))
        if len(self._control) > _MAX_CONTROL and self.ending is None:
            self._close(
                Ending(
                    Cause.PEER_BROKE_PROTOCOL,
                    "a flood of control frames",
                    ErrorCode.ENHANCE_YOUR_CALM,
                )
            )
        if self._segments.ended != ended:
            self._progress_at = now
        self._close_if_drained()
        self._report()

    def pull(self, now: float) -> bytes:
        """The octets to write now: control frames, then as many requests as the limits allow."""
        out: list[Octets] = [*self._control]
        self._control.clear()
        if self.state is not State.CLOSED:
            out += self._answering.window_updates()
        if self.state is State.OPEN or (self.state is State.DRAINING and self._segments.open):
            limit = self.limit if self.state is State.OPEN else 0
            before = self._sender.uploads.window
            out += self._sender.write(limit, now)
            if self._sender.uploads.window < before:
                self._progress_at = now
            if self._sender.ids_used_up and self.state is State.OPEN:
                self._move(Input.IDS_USED_UP)
                self._sender.drop_queue()
                self._report()
        return b"".join(out)

    def tick(self, now: float) -> None:
        """Deadlines, the watchdog and liveness; call it a few times a second."""
        if self.state is State.CLOSED:
            return
        for stream_id in self._segments.overdue(now):
            self._answering.cancel(stream_id, ErrorCode.CANCEL)
        self._sender.drop_overdue(now)
        self._watch(now)
        self._close_if_drained()
        self._report()

    def drain(self) -> None:
        """No new request; what is open may finish, then the connection closes."""
        if self.state is not State.CLOSED:
            self._move(Input.DRAIN_ASKED)
            self._sender.drop_queue()
            self._close_if_drained()
            self._report()

    def lost(self, sentence: str = "the transport ended") -> None:
        """The transport is gone; every request on it ends."""
        if self.state is not State.CLOSED:
            self._close(Ending(Cause.LOST, sentence))
            self._report()

    def _watch(self, now: float) -> None:
        local = self._local
        if self.state is State.AWAITING_SETTINGS:
            if now - self._opened_at >= local.settings_s:
                self._close(Ending(Cause.SILENT, "no SETTINGS came", ErrorCode.SETTINGS_TIMEOUT))
        elif not self.idle and now - self._progress_at >= local.stall_s:
            self._close(Ending(Cause.STUCK, "no request has ended for too long", ErrorCode.CANCEL))
        elif self._pinged_at is not None:
            if now - self._pinged_at >= local.ping_patience_s:
                self._close(Ending(Cause.SILENT, "a PING had no answer", ErrorCode.CANCEL))
        elif now - self._heard_at >= local.ping_after_s:
            self._pinged_at = now
            self._control.append(frames.frame(frames.PING, 0, 0, b"clarion?"))

    def _move(self, what: Input) -> None:
        self.state = TRANSITIONS[self.state, what]

    def _close_if_drained(self) -> None:
        if self.state is State.DRAINING and not self._segments.open:
            self._move(Input.LAST_STREAM_ENDED)
            self.ending = Ending(Cause.DRAINED, "all that was promised is done")
            self._control.append(frames.goaway_frame(0, ErrorCode.NO_ERROR))

    def _close(self, ending: Ending) -> None:
        """A connection error, or the transport's end: whatever is open ends here (5.4.1)."""
        self._move(Input.FAULT)
        self.ending = ending
        self._answering.ignore(self._segments.fail_from(0, Failure.CONNECTION_LOST))
        self._sender.drop_queue()
        # The server never opens streams (push is off), so the last one we handled is 0.
        self._control.append(frames.goaway_frame(0, ending.code, ending.sentence.encode()))

    def _report(self) -> None:
        for batch in self._segments.take_finished():
            if batch.on_done is not None:
                batch.on_done(batch)

    def _on_settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        """RFC 9113, sections 6.5 and 6.5.3: values take effect in order, then the ACK."""
        if stream_id:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            if payload:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "an ACK with a payload")
            return
        if len(payload) % 6:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of the wrong size")
        for key, value in frames.settings_of(payload):
            before = self._peer.initial_window
            self._peer.apply(key, value)
            self._sender.uploads.shift(self._peer.initial_window - before)
            if key == frames.HEADER_TABLE_SIZE:
                self._sender.encoder.resize(value)
        self._move(Input.SETTINGS)
        self._control.append(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _on_ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        """RFC 9113, section 6.7."""
        if stream_id:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != _PING_OCTETS:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "PING of the wrong size")
        if not flags & frames.ACK:
            self._control.append(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _on_goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        """RFC 9113, section 6.8: finish what it promises, hand back what lies above."""
        del flags
        if stream_id:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < _GOAWAY_OCTETS:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of the wrong size")
        last = frames.word_of(payload[:4]) & frames.MAX_STREAM_ID
        self.goaway = GoAway(last, frames.word_of(payload[4:8]), payload[8:])
        self._move(Input.GOAWAY)
        self._answering.ignore(self._segments.fail_from(last + 1, Failure.GOAWAY_ABOVE))
        self._sender.drop_queue()

    def _on_window(self, flags: int, stream_id: int, payload: bytes) -> None:
        """RFC 9113, section 6.9."""
        del flags
        increment = frames.word_of(payload) & frames.MAX_WINDOW
        if not stream_id:
            self._sender.uploads.widen_connection(increment)
        elif stream_id >= self._sender.next_stream_id or not stream_id & 1:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a window of a stream that is idle")
        else:
            self._sender.uploads.widen_stream(stream_id, increment)
