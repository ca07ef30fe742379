"""The sending half of a server connection: answers into frames, held back by flow control.

RFC 9113 sections 6.9 (flow control), 4.3.1 (table size), 8.1 (responses).
"""

from collections.abc import Sequence
from typing import Final

from clarion.wire.http2 import frames
from clarion.wire.http2.errors import ErrorCode, ProtocolError, StreamError
from clarion.wire.http2.field_encoding import Field, table_size_update
from clarion.wire.http2.server_headers import write_response
from clarion.wire.http2.server_streams import Stream, Streams

# A response that is `:status 200` and nothing else: nine octets of frame header and 0x88.
_OK_HEAD: Final = frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 0, b"\x88")[
    :5
]
_OK_STATUS: Final = 200
_DEFAULT_TABLE: Final = 4096


class Sending:
    """Frames waiting to be written, and the client's limits on them."""

    def __init__(self, streams: Streams) -> None:
        self.out: list[bytes] = []
        self._streams = streams
        self._window = frames.DEFAULT_WINDOW
        self._max_frame = frames.DEFAULT_MAX_FRAME
        self._table = _DEFAULT_TABLE
        self._block_prefix = b""
        self._waiting: dict[int, Stream] = {}

    def pull(self) -> bytes:
        """All octets to be written now."""
        if not self.out:
            return b""
        data = self.out[0] if len(self.out) == 1 else b"".join(self.out)
        self.out.clear()
        return data

    def answer(self, state: Stream, status: int, fields: Sequence[Field], body: bytes) -> None:
        """Send a whole answer, its content as far as flow control allows now.

        Raises:
            ValueError: for a status or a field that HTTP/2 cannot carry.
        """
        stream = state.number
        if status == _OK_STATUS and not body and not fields and not self._block_prefix:
            self.out.append(_OK_HEAD + stream.to_bytes(4) + b"\x88")
            self._streams.drop(stream, reset=False)
            return
        block = self._block_prefix + write_response(status, fields)
        self._block_prefix = b""
        content = b"" if state.head.method == "HEAD" else body
        self.out.append(
            frames.headers_frames(stream, block, self._max_frame, end_stream=not content)
        )
        if content:
            state.unsent = content
            self._send(state)
        else:
            self._streams.drop(stream, reset=False)

    def reset(self, stream: int, code: ErrorCode) -> None:
        """Break a stream off, whatever it still had to send."""
        self._streams.drop(stream, reset=True)
        self._waiting.pop(stream, None)
        self.out.append(frames.reset_frame(stream, code))

    def forget(self, stream: int) -> None:
        """The client has broken the stream off: what it still had to send is void."""
        self._waiting.pop(stream, None)

    def apply(self, key: int, value: int) -> None:
        """Take over a setting of the client whose range has been checked.

        Raises:
            ProtocolError: the change makes a window overflow (section 6.9.2).
        """
        if key == frames.INITIAL_WINDOW_SIZE:
            if not self._streams.change_initial_window(value):
                raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "a window overflows")
        elif key == frames.MAX_FRAME_SIZE:
            self._max_frame = value
        elif key == frames.HEADER_TABLE_SIZE and value < self._table:
            # Section 4.3.1: the next header block must say that the table has shrunk.
            self._table = value
            self._block_prefix = table_size_update(value)

    def widen(self, stream: int, increment: int) -> None:
        """WINDOW_UPDATE for the connection (0) or a stream.

        Raises:
            ProtocolError, StreamError: increment 0, or a window above 2^31 - 1 (section 6.9).
        """
        if stream == 0:
            if not increment:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._window += increment
            if self._window > frames.MAX_WINDOW:
                raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is full")
            return
        state = self._streams.open.get(stream)
        if state is None:
            return  # section 5.1: it may follow a stream that has just closed
        if not increment:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        state.send_window += increment
        if state.send_window > frames.MAX_WINDOW:
            raise StreamError(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is full")

    def resume(self) -> None:
        """Windows may have grown: send what waits."""
        for state in list(self._waiting.values()):
            self._send(state)

    def _send(self, state: Stream) -> None:
        while True:
            room = min(self._window, state.send_window, self._max_frame)
            if room <= 0:
                self._waiting[state.number] = state
                return
            piece, state.unsent = state.unsent[:room], state.unsent[room:]
            self._window -= len(piece)
            state.send_window -= len(piece)
            flags = 0 if state.unsent else frames.END_STREAM
            self.out.append(frames.frame(frames.DATA, flags, state.number, piece))
            if not state.unsent:
                self._waiting.pop(state.number, None)
                self._streams.drop(state.number, reset=False)
                return
