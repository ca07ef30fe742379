"""What arrives on streams that need a closer look (RFC 9113, sections 6.1, 6.2, 6.4 and 8.1).

The receiving loop settles plain successes by itself; everything else comes here: other statuses,
answers that are kept, bodies in several frames, interim answers, trailers, resets.
"""

from typing import Final

from clarion.wire.http2 import frames
from clarion.wire.http2.batch import Answer, Failure
from clarion.wire.http2.errors import ErrorCode, ProtocolError, StreamError
from clarion.wire.http2.field_decoding import AnswerDecoder
from clarion.wire.http2.field_encoding import Field
from clarion.wire.http2.segments import Segment, Segments
from clarion.wire.http2.sending import Sender
from clarion.wire.http2.settings import LocalSettings

_OK: Final = 200


class Begun:
    """An answer whose headers have come and whose end has not."""

    __slots__ = ("body", "fields", "keep", "status", "unacknowledged")

    def __init__(self, status: int, fields: tuple[Field, ...], *, keep: bool) -> None:
        self.status = status
        self.fields = fields
        self.keep = keep
        self.body = bytearray()
        self.unacknowledged = 0


PLAIN: Final = Begun(_OK, (), keep=False)
"""Stands for every 200 whose headers and body nobody reads; shared, so never changed."""


class Answering:
    """Answers in progress on one connection.

    Attributes:
        decoder: The header block decoder.
        control: Frames to write, oldest first.
        begun: Stream → the answer it is in the middle of; `PLAIN` for a 200 to be dropped.
    """

    def __init__(
        self, local: LocalSettings, segments: Segments, sender: Sender, control: list[bytes]
    ) -> None:
        self.decoder = AnswerDecoder(
            stateful=local.stateful_headers, max_list=local.max_header_list
        )
        self.control = control
        self._local = local
        self._segments = segments
        self._sender = sender
        self.begun: dict[int, Begun] = {}
        self._cancelled: set[int] = set()
        self._unacknowledged = 0
        self._owing: set[int] = set()

    def live(self, stream_id: int) -> Segment | None:
        """The segment of a stream whose request has not ended, or None when it has.

        Raises:
            ProtocolError: The stream was never opened by us (RFC 9113, section 5.1.1), or the
                server has itself ended it (section 5.1).
        """
        if not stream_id & 1 or stream_id >= self._sender.next_stream_id:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a frame on a stream that is idle")
        segment = self._segments.find(stream_id)
        if segment is not None and segment.pending(stream_id):
            return segment
        if stream_id not in self._cancelled:
            raise ProtocolError(ErrorCode.STREAM_CLOSED, "a frame on a stream that has ended")
        return None

    def headers(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        """A whole field section: an answer's, an interim answer's, or a trailer's."""
        segment = self.live(stream_id)
        if segment is None:
            self.decoder.pass_over(block)
            return
        if stream_id in self.begun:
            self._trailers(stream_id, block, end_stream=end_stream)
        else:
            self._head(segment, stream_id, block, end_stream=end_stream)

    def data(self, stream_id: int, flags: int, payload: bytes) -> None:
        """A DATA frame; padding counts for flow control (RFC 9113, section 6.9.1)."""
        self.consumed(len(payload))
        content = frames.unpadded(flags, payload)
        if self.live(stream_id) is None:
            return
        begun = self.begun.get(stream_id)
        if begun is None:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "a body before its headers")
        if begun is PLAIN:
            begun = self.begun[stream_id] = Begun(_OK, (), keep=False)
        self._count(stream_id, begun, len(payload))
        if begun.keep:
            begun.body += content
            if len(begun.body) > self._local.max_body:
                raise StreamError(ErrorCode.ENHANCE_YOUR_CALM, "an answer's body is too long")
        if flags & frames.END_STREAM:
            self._end(stream_id)

    def reset(self, stream_id: int, code: int) -> None:
        """RST_STREAM by the server (RFC 9113, section 6.4)."""
        if not stream_id & 1 or stream_id >= self._sender.next_stream_id:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a reset of a stream that is idle")
        segment = self._segments.find(stream_id)
        # After a whole answer a server may reset what it no longer reads (section 8.1).
        if segment is None or not segment.pending(stream_id):
            return
        refused = code == ErrorCode.REFUSED_STREAM
        self._segments.fail(segment, [stream_id], Failure.REFUSED if refused else Failure.RESET)
        self.forget(stream_id)

    def cancel(self, stream_id: int, code: ErrorCode) -> None:
        """Resets a stream from our side; what still arrives on it is ignored (section 5.1)."""
        self.forget(stream_id)
        self._cancelled.add(stream_id)
        self.control.append(frames.reset_frame(stream_id, code))

    def break_off(self, stream_id: int, code: ErrorCode) -> None:
        """Ends a stream because of a stream error (section 5.4.2)."""
        segment = self._segments.find(stream_id)
        if segment is not None and segment.pending(stream_id):
            self._segments.fail(segment, [stream_id], Failure.RESET)
        self.cancel(stream_id, code)

    def forget(self, stream_id: int) -> None:
        """Drops all that is kept about an unfinished stream."""
        self.begun.pop(stream_id, None)
        self._sender.uploads.stop(stream_id)

    def ignore(self, stream_ids: list[int]) -> None:
        """Streams above a GOAWAY: nothing is to come, and what does is of no account (6.8)."""
        for stream_id in stream_ids:
            self.forget(stream_id)
            self._cancelled.add(stream_id)

    def consumed(self, octets: int) -> None:
        """DATA has arrived and is disposed of: the connection's window may grow again (6.9.1).

        Raises:
            ProtocolError: FLOW_CONTROL_ERROR when the server sent more than the window.
        """
        self._unacknowledged += octets
        if self._unacknowledged > self._local.connection_window:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "the connection window was exceeded")

    def window_updates(self) -> list[bytes]:
        """WINDOW_UPDATE for each window of which more than half is used (section 6.9)."""
        out: list[bytes] = []
        if self._unacknowledged > self._local.connection_window >> 1:
            out.append(frames.window_frame(0, self._unacknowledged))
            self._unacknowledged = 0
        for stream_id in self._owing:
            begun = self.begun.get(stream_id)
            if begun is not None:
                out.append(frames.window_frame(stream_id, begun.unacknowledged))
                begun.unacknowledged = 0
        self._owing.clear()
        return out

    def _head(self, segment: Segment, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        keep_all = segment.batch.keep_bodies
        fields: tuple[Field, ...] = ()
        if keep_all or self.decoder.stateful:
            status, fields = self.decoder.fields(block)
        else:
            status = self.decoder.status(block)
        if status < _OK:
            # Interim answers are not the answer, and can't end the stream (RFC 9113, 8.1).
            if end_stream:
                raise StreamError(ErrorCode.PROTOCOL_ERROR, "an interim answer ends its stream")
            return
        keep = keep_all or not _is_success(status)
        if keep and not fields and not self.decoder.stateful:
            fields = self.decoder.fields(block)[1]
        self.begun[stream_id] = Begun(status, fields, keep=keep)
        if end_stream:
            self._end(stream_id)

    def _trailers(self, stream_id: int, block: bytes, *, end_stream: bool) -> None:
        fields = self.decoder.trailers(block)
        if not end_stream:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "a trailer that does not end its stream")
        begun = self.begun[stream_id]
        if begun.keep:
            begun.fields += fields
        self._end(stream_id)

    def _count(self, stream_id: int, begun: Begun, octets: int) -> None:
        begun.unacknowledged += octets
        window = self._local.stream_window
        if begun.unacknowledged > window:
            raise StreamError(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window was exceeded")
        if begun.unacknowledged > window >> 1:
            self._owing.add(stream_id)

    def _end(self, stream_id: int) -> None:
        """The server has ended the stream: the answer is whole."""
        begun = self.begun.pop(stream_id)
        segment = self._segments.find(stream_id)
        if segment is None:
            return
        kept = Answer(begun.status, begun.fields, bytes(begun.body)) if begun.keep else None
        self._segments.answer(segment, stream_id, begun.status, kept)
        if stream_id in self._sender.uploads:
            # The rest of the body is of no use to the server (RFC 9113, section 8.1).
            self.cancel(stream_id, ErrorCode.NO_ERROR)


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004 - RFC 9110, section 15.3
