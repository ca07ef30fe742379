"""Bodies that take several DATA frames: larger than a window or a frame (RFC 9113, 5.2 and 6.9)."""

from clarion.wire.http2 import frames
from clarion.wire.http2.errors import ErrorCode, ProtocolError, StreamError


class _Upload:
    __slots__ = ("at", "body", "window")

    def __init__(self, body: bytes, window: int) -> None:
        self.body = memoryview(body)
        self.at = 0
        self.window = window


class Uploads:
    """Streams whose body is on its way, and the windows that hold it back.

    Attributes:
        window: Octets the connection may still send, over all streams.
    """

    def __init__(self) -> None:
        self.window = frames.DEFAULT_WINDOW
        self._streams: dict[int, _Upload] = {}

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._streams

    def start(self, stream_id: int, body: bytes, window: int) -> None:
        """A body whose HEADERS have been written; `window` is the stream's initial one."""
        self._streams[stream_id] = _Upload(body, window)

    def stop(self, stream_id: int) -> bool:
        """Forgets a body; True when part of it was still unsent."""
        return self._streams.pop(stream_id, None) is not None

    def pump(self, max_frame: int) -> list[bytes]:
        """DATA frames as far as the windows allow, oldest stream first."""
        out: list[bytes] = []
        for stream_id, upload in list(self._streams.items()):
            while stream_id in self._streams:
                room = min(self.window, upload.window, max_frame, len(upload.body) - upload.at)
                if room <= 0:
                    break
                piece = bytes(upload.body[upload.at : upload.at + room])
                upload.at += room
                upload.window -= room
                self.window -= room
                last = upload.at == len(upload.body)
                out.append(
                    frames.frame(frames.DATA, frames.END_STREAM if last else 0, stream_id, piece)
                )
                if last:
                    del self._streams[stream_id]
        return out

    def widen_connection(self, increment: int) -> None:
        """WINDOW_UPDATE on stream 0.

        Raises:
            ProtocolError: A zero increment, or a window above 2^31 - 1 (RFC 9113, 6.9, 6.9.1).
        """
        if not increment:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a window grew by nothing")
        self.window += increment
        if self.window > frames.MAX_WINDOW:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "the connection window overflowed")

    def widen_stream(self, stream_id: int, increment: int) -> None:
        """WINDOW_UPDATE on a stream; one that has no body to send has no use for it.

        Raises:
            StreamError: A zero increment, or a window above 2^31 - 1.
        """
        if not increment:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "a window grew by nothing")
        upload = self._streams.get(stream_id)
        if upload is None:
            return
        upload.window += increment
        if upload.window > frames.MAX_WINDOW:
            raise StreamError(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window overflowed")

    def shift(self, difference: int) -> None:
        """The initial window changed: every open one moves by the difference, even below zero.

        Raises:
            ProtocolError: A window above 2^31 - 1 (RFC 9113, section 6.9.2).
        """
        for upload in self._streams.values():
            upload.window += difference
            if upload.window > frames.MAX_WINDOW:
                raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window overflowed")
