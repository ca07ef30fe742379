"""The server side of HTTP/2 without I/O: octets in, requests out; answers in, octets out.

Strict about RFC 9113, because it stands in for services that are. What a client may not do ends
the stream or the connection with the error code that the section names.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from hpack import HPACKError, OversizedHeaderListError

from clarion.wire.http2 import frames
from clarion.wire.http2.errors import ErrorCode, ProtocolError, StreamError
from clarion.wire.http2.field_encoding import Field
from clarion.wire.http2.server_decoding import RequestDecoder
from clarion.wire.http2.server_events import (
    ConnectionFailed,
    Event,
    PeerLeft,
    RequestRead,
    StreamCancelled,
    StreamRefused,
)
from clarion.wire.http2.server_frames import check_form, header_fragment, read_settings
from clarion.wire.http2.server_headers import MalformedError, check_trailers, read_request_head
from clarion.wire.http2.server_sending import Sending
from clarion.wire.http2.server_streams import Stream, Streams

_HEAD: Final = struct.Struct(">IBI")
_STREAM_MASK: Final = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerLimits:
    """What the server announces and enforces."""

    max_streams: int = 100
    stream_window: int = frames.DEFAULT_WINDOW
    connection_window: int = 1 << 20
    max_frame: int = frames.DEFAULT_MAX_FRAME
    header_block: int = 65_536
    """Octets of a header block, encoded and decoded."""
    body: int = 1 << 20
    """Octets of a request's content; more is reset with ENHANCE_YOUR_CALM."""


@dataclass(kw_only=True, slots=True)
class _PartialBlock:
    """A header block whose CONTINUATION frames are still to come."""

    stream: int
    end_stream: bool
    octets: bytearray


class ServerConnection:
    """One connection. `feed` what was read, act on the events, write what `pull` returns."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._unread = b""
        self._greeted = False
        self._settled = False
        self._events: list[Event] = []
        self._decoder = RequestDecoder(limits.header_block)
        self._block: _PartialBlock | None = None
        self._receive_window = limits.connection_window
        self._last_promised: int | None = None
        self._failed = False
        self._streams = Streams(limit=limits.max_streams, initial_send_window=frames.DEFAULT_WINDOW)
        self._sending = Sending(self._streams)
        self._greet()

    def _greet(self) -> None:
        limits = self._limits
        self._sending.out.append(
            frames.settings_frame(
                {
                    frames.MAX_CONCURRENT_STREAMS: limits.max_streams,
                    frames.INITIAL_WINDOW_SIZE: limits.stream_window,
                    frames.MAX_FRAME_SIZE: limits.max_frame,
                    frames.MAX_HEADER_LIST_SIZE: limits.header_block,
                }
            )
        )
        self._streams.announce_limit(limits.max_streams)
        if limits.connection_window > frames.DEFAULT_WINDOW:
            self._sending.out.append(
                frames.window_frame(0, limits.connection_window - frames.DEFAULT_WINDOW)
            )
        else:
            # Section 6.9.2: SETTINGS cannot change the connection's window.
            self._receive_window = frames.DEFAULT_WINDOW

    # ── the driver's side ───────────────────────────────────────────────────────────────────

    @property
    def finished(self) -> bool:
        """Whether nothing more is to be done after the output has been written."""
        return self._failed or (self._last_promised is not None and not self._streams.open)

    @property
    def open_streams(self) -> int:
        """How many requests are being read or wait for their answer."""
        return len(self._streams.open)

    def pull(self) -> bytes:
        """The octets to write now; empty if there are none."""
        return self._sending.pull()

    def feed(self, data: bytes) -> list[Event]:
        """Read octets, cut anywhere; returns what they brought about, in order. Never raises."""
        if self._failed:
            return []
        self._events = []
        buffer = self._unread + data if self._unread else data
        try:
            self._unread = buffer[self._read(buffer) :]
        except ProtocolError as fault:
            self._failed = True
            self._unread = b""
            debug = fault.sentence.encode()
            self._sending.out.append(frames.goaway_frame(self._streams.highest, fault.code, debug))
            self._events.append(ConnectionFailed(fault.code, fault.sentence))
        return self._events

    def respond(
        self, stream: int, status: int, fields: Sequence[Field] = (), body: bytes = b""
    ) -> None:
        """Answer a request that was read; without effect where the client has cancelled it.

        Raises:
            ValueError: for a status or a field that HTTP/2 cannot carry.
        """
        state = self._streams.open.get(stream)
        if state is not None and not self._failed:
            self._sending.answer(state, status, fields, body)

    def reset(self, stream: int, code: ErrorCode) -> None:
        """End a stream with RST_STREAM."""
        if stream in self._streams.open and not self._failed:
            self._sending.reset(stream, code)

    def announce_max_streams(self, limit: int) -> None:
        """Send a new MAX_CONCURRENT_STREAMS; a lower one binds once acknowledged."""
        self._sending.out.append(frames.settings_frame({frames.MAX_CONCURRENT_STREAMS: limit}))
        self._streams.announce_limit(limit)

    def go_away(self, debug: bytes = b"", code: ErrorCode = ErrorCode.NO_ERROR) -> None:
        """Promise to finish the streams seen so far and ignore later ones (section 6.8)."""
        if self._last_promised is None and not self._failed:
            self._last_promised = self._streams.highest
            self._sending.out.append(frames.goaway_frame(self._last_promised, code, debug))

    def ping(self, payload: bytes) -> None:
        """Send PING with eight octets."""
        self._sending.out.append(frames.frame(frames.PING, 0, 0, payload))

    # ── reading ─────────────────────────────────────────────────────────────────────────────

    def _read(self, buffer: bytes) -> int:
        at = 0
        if not self._greeted:
            if not frames.PREFACE.startswith(buffer[: len(frames.PREFACE)]):
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "no client preface")
            if len(buffer) < len(frames.PREFACE):
                return 0
            self._greeted = True
            at = len(frames.PREFACE)
        end = len(buffer)
        max_frame = self._limits.max_frame
        while end - at >= frames.HEADER_OCTETS:
            head, flags, stream = _HEAD.unpack_from(buffer, at)
            length = head >> 8
            if length > max_frame:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "frame above MAX_FRAME_SIZE")
            following = at + frames.HEADER_OCTETS + length
            if following > end:
                break
            payload = buffer[at + frames.HEADER_OCTETS : following]
            at = following
            self._take_frame(head & 0xFF, flags, stream & _STREAM_MASK, payload)
        return at

    def _take_frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        block = self._block
        if block is not None and (kind != frames.CONTINUATION or stream != block.stream):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a frame inside a header block")
        if not self._settled and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "SETTINGS must come first")
        if kind > frames.HEADERS:
            check_form(kind, stream, payload)
        handle = self._HANDLERS.get(kind)
        if handle is None:
            return  # section 4.1: frames of unknown type are ignored
        try:
            handle(self, flags, stream, payload)
        except StreamError as fault:
            self._sending.reset(stream, fault.code)
            self._events.append(StreamRefused(stream, fault.code, str(fault)))

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        streams = self._streams
        if streams.is_idle(stream):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "DATA on an idle stream")
        self._count_received(len(payload))
        state = streams.open.get(stream)
        if state is None:
            self._check_ignorable(stream)
            return
        if state.ended:
            raise StreamError(ErrorCode.STREAM_CLOSED, "DATA after END_STREAM")
        state.receive_window -= len(payload)
        if state.receive_window < 0:
            raise StreamError(ErrorCode.FLOW_CONTROL_ERROR, "stream window exceeded")
        content = frames.unpadded(flags, payload)
        state.received += len(content)
        if state.received > self._limits.body:
            raise StreamError(ErrorCode.ENHANCE_YOUR_CALM, "content too long")
        state.body.append(content)
        if flags & frames.END_STREAM:
            self._complete(state)
        elif state.receive_window < self._limits.stream_window // 2:
            credit = self._limits.stream_window - state.receive_window
            state.receive_window += credit
            self._sending.out.append(frames.window_frame(stream, credit))

    def _count_received(self, octets: int) -> None:
        self._receive_window -= octets
        if self._receive_window < 0:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "connection window exceeded")
        full = max(self._limits.connection_window, frames.DEFAULT_WINDOW)
        if self._receive_window < full // 2:
            self._sending.out.append(frames.window_frame(0, full - self._receive_window))
            self._receive_window = full

    def _check_ignorable(self, stream: int) -> None:
        """A frame for a closed stream is ignored if the client could not know (section 5.1)."""
        if self._streams.was_reset(stream):
            return
        if self._last_promised is not None and stream > self._last_promised:
            return
        raise ProtocolError(ErrorCode.STREAM_CLOSED, "a frame for a closed stream")

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        if not stream & 1:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "HEADERS on an even stream")
        fragment = header_fragment(flags, payload)
        ended = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._take_block(stream, fragment, ended=ended)
        else:
            self._block = _PartialBlock(stream=stream, end_stream=ended, octets=bytearray(fragment))

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        block = self._block
        if block is None:
            raise ProtocolError(
                ErrorCode.PROTOCOL_ERROR, f"CONTINUATION on stream {stream} without HEADERS"
            )
        block.octets += payload
        if len(block.octets) > self._limits.header_block:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "header block too long")
        if flags & frames.END_HEADERS:
            self._block = None
            self._take_block(stream, bytes(block.octets), ended=block.end_stream)

    def _take_block(self, stream: int, block: bytes, *, ended: bool) -> None:
        try:
            # Decoded even where the stream is refused: the table is the connection's (4.3).
            decoded = self._decoder.fields(block)
        except OversizedHeaderListError as error:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "header list too long") from error
        except HPACKError as error:
            raise ProtocolError(ErrorCode.COMPRESSION_ERROR, str(error)) from error
        if stream > self._streams.highest:
            self._open(stream, decoded, ended=ended)
            return
        state = self._streams.open.get(stream)
        if state is not None:
            self._take_trailers(state, decoded, ended=ended)
        elif self._streams.was_skipped(stream):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a stream number went backwards")
        else:
            self._check_ignorable(stream)

    def _open(self, stream: int, decoded: list[Field], *, ended: bool) -> None:
        streams = self._streams
        full = streams.full
        streams.take_number(stream)
        if self._last_promised is not None:
            return  # section 6.8: above what GOAWAY promised
        if full:
            raise StreamError(ErrorCode.REFUSED_STREAM, "MAX_CONCURRENT_STREAMS")
        try:
            head = read_request_head(decoded)
        except MalformedError as error:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, str(error)) from error
        state = streams.open[stream] = Stream(
            number=stream,
            head=head,
            receive_window=self._limits.stream_window,
            send_window=streams.initial_send_window,
        )
        if ended:
            self._complete(state)

    def _take_trailers(self, state: Stream, decoded: list[Field], *, ended: bool) -> None:
        if state.ended:
            raise StreamError(ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM")
        if not ended:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "a trailer section without END_STREAM")
        try:
            check_trailers(decoded)
        except MalformedError as error:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, str(error)) from error
        self._complete(state)

    def _complete(self, state: Stream) -> None:
        head = state.head
        if head.length not in {-1, state.received}:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "content-length differs from the content")
        state.ended = True
        body = state.body[0] if len(state.body) == 1 else b"".join(state.body)
        state.body.clear()
        self._events.append(
            RequestRead(state.number, head.method, head.path, head.authority, head.fields, body)
        )

    def _on_priority(self, _flags: int, _stream: int, _payload: bytes) -> None:
        """Section 5.3.2 deprecates what it says; its form has been checked."""

    def _on_reset(self, _flags: int, stream: int, payload: bytes) -> None:
        if self._streams.is_idle(stream):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        self._sending.forget(stream)
        if self._streams.drop(stream, reset=False) is not None:
            self._events.append(StreamCancelled(stream, frames.word_of(payload)))

    def _on_settings(self, flags: int, _stream: int, payload: bytes) -> None:
        pairs = read_settings(flags, payload)
        if pairs is None:
            if not self._streams.acknowledge():
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "ACK of no SETTINGS")
            return
        self._settled = True
        for key, value in pairs:
            self._sending.apply(key, value)
        self._sending.out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
        self._sending.resume()

    def _on_push_promise(self, _flags: int, _stream: int, _payload: bytes) -> None:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "clients cannot push")

    def _on_ping(self, flags: int, _stream: int, payload: bytes) -> None:
        if not flags & frames.ACK:
            self._sending.out.append(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _on_goaway(self, _flags: int, _stream: int, payload: bytes) -> None:
        self._events.append(PeerLeft(frames.word_of(payload[4:8]), payload[8:]))

    def _on_window_update(self, _flags: int, stream: int, payload: bytes) -> None:
        if stream and self._streams.is_idle(stream):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
        self._sending.widen(stream, frames.word_of(payload) & _STREAM_MASK)
        self._sending.resume()

    _HANDLERS: ClassVar[dict[int, Callable[["ServerConnection", int, int, bytes], None]]] = {
        frames.DATA: _on_data,
        frames.HEADERS: _on_headers,
        frames.PRIORITY: _on_priority,
        frames.RST_STREAM: _on_reset,
        frames.SETTINGS: _on_settings,
        frames.PUSH_PROMISE: _on_push_promise,
        frames.PING: _on_ping,
        frames.GOAWAY: _on_goaway,
        frames.WINDOW_UPDATE: _on_window_update,
        frames.CONTINUATION: _on_continuation,
    }
