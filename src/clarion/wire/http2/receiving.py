"""Bytes in: one pass over the buffer (RFC 9113, sections 4.1 and 5.5).

The loop settles the common answers without a call per frame: HEADERS with END_STREAM whose block
starts with an indexed `:status 200`, and the same followed by one DATA frame that nobody reads.
Every other frame goes through the table of handlers, where all the rules live. Where a server
answers many requests with records of one length, they are settled as a column.
"""

import struct
from array import array
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.wire.http2 import frames
from clarion.wire.http2.answering import PLAIN, Answering
from clarion.wire.http2.errors import ErrorCode, ProtocolError, StreamError
from clarion.wire.http2.segments import Segment, Segments

_HEAD: Final = struct.Struct(">IBIB").unpack_from
_BARE_HEAD: Final = struct.Struct(">IBI").unpack_from
_STATUS_200: Final = 0x88
_OK: Final = 200
_ALL: Final = frames.END_HEADERS | frames.END_STREAM
_TYPE_AND_EXCESS: Final = 0xFFC0_00FF
"""Bits of the first word that hold the type, and a length of 16,384 or more."""
_COLUMN_UP_TO: Final = 4096
_COLUMN_FROM: Final = 64
"""Records from which on settling them as a column is cheaper than one by one (measured)."""
_NO_STATUSES: Final = array("H")

Handler = Callable[[int, int, bytes], None]


@lru_cache(maxsize=256)
def _record(octets: int) -> np.dtype[np.void]:
    """A HEADERS frame of so many octets as a record: fields are compared as whole numbers."""
    return np.dtype(
        {
            "names": ["head", "flags", "stream", "first"],
            "formats": ["<u4", "u1", ">u4", "u1"],
            "offsets": [0, 4, 5, 9],
            "itemsize": octets,
        }
    )


class Receiver:
    """The inbound half of a connection.

    Args:
        segments: Which request a stream carries.
        answering: Where frames of streams go that need a closer look.
        control: Handlers of frames that concern the connection, by type.
        max_header_block: Octets of a field section over all its CONTINUATION frames.
    """

    def __init__(
        self,
        segments: Segments,
        answering: Answering,
        control: dict[int, Handler],
        max_header_block: int,
    ) -> None:
        self._segments = segments
        self._answering = answering
        self._max_header_block = max_header_block
        self._handlers: dict[int, Handler] = {
            **control,
            frames.DATA: self._data,
            frames.HEADERS: self._headers,
            frames.CONTINUATION: self._continuation,
            frames.RST_STREAM: self._reset,
            frames.PRIORITY: self._priority,
            frames.PUSH_PROMISE: self._push_promise,
        }
        self._tail = b""
        self._begun = False
        # A field section whose CONTINUATION is due: stream, END_STREAM, fragments.
        self._section: tuple[int, bool, bytearray] | None = None
        self._current: Segment | None = None
        self._long_runs = False

    def feed(self, data: bytes | memoryview) -> None:
        """Takes octets in, in pieces of any size.

        Raises:
            ProtocolError: The server broke the protocol; the connection must end.
        """
        if self._tail:
            data = self._tail + data
        size = len(data)
        position = self._frames(data, size)
        self._tail = bytes(data[position:]) if position < size else b""

    def _frames(self, data: bytes | memoryview, size: int) -> int:
        """Handles all whole frames, and returns where the first incomplete one starts."""
        begun = self._answering.begun
        last = size - frames.HEADER_OCTETS - 1
        position = self._columns(data, 0, size)
        lo, hi, base, statuses = self._cursor()
        settled = dropped = 0
        while position <= last:
            word, flags, stream_id, first = _HEAD(data, position)
            end = position + frames.HEADER_OCTETS + (word >> 8)
            if end > size:
                break
            if first == _STATUS_200 and not lo <= stream_id < hi:
                # The answer belongs to another segment than the one before it.
                self._settle(settled, dropped)
                settled = dropped = 0
                self._current = self._segments.find(stream_id) or self._current
                lo, hi, base, statuses = self._cursor()
            if (
                flags == _ALL and first == _STATUS_200 and word & _TYPE_AND_EXCESS == 1
                and lo <= stream_id < hi and not statuses[base + (stream_id >> 1)]
                and stream_id & 1 and stream_id not in begun
            ):  # fmt: skip
                statuses[base + (stream_id >> 1)] = _OK
                settled += 1
            elif (
                flags == frames.END_HEADERS and first == _STATUS_200
                and word & _TYPE_AND_EXCESS == 1 and lo <= stream_id < hi
                and not statuses[base + (stream_id >> 1)] and stream_id & 1
                and stream_id not in begun
            ):  # fmt: skip
                begun[stream_id] = PLAIN
            elif (
                flags == frames.END_STREAM and not word & _TYPE_AND_EXCESS
                and begun.get(stream_id) is PLAIN and lo <= stream_id < hi
            ):  # fmt: skip
                del begun[stream_id]
                statuses[base + (stream_id >> 1)] = _OK
                dropped += word >> 8
                settled += 1
            else:
                self._settle(settled, dropped)
                settled = dropped = 0
                self._one(word, flags, stream_id, bytes(data[position + 9 : end]))
                if self._long_runs:
                    end = self._columns(data, end, size)
                lo, hi, base, statuses = self._cursor()
            position = end
        self._settle(settled, dropped)
        return self._bare(data, position, size)

    def _settle(self, settled: int, dropped: int) -> None:
        if dropped:
            self._answering.consumed(dropped)
        if settled and self._current is not None:
            self._segments.settle(self._current, settled)

    def _cursor(self) -> tuple[int, int, int, "array[int]"]:
        """The streams the loop may settle by itself: lowest, end, base, statuses."""
        segment = self._current
        if segment is None or not segment.left or not self._may_hurry(segment):
            return 0, 0, 0, _NO_STATUSES
        return segment.lo, segment.hi, segment.base, segment.batch.statuses

    def _may_hurry(self, segment: Segment) -> bool:
        return (
            self._begun
            and self._section is None
            and not segment.exact
            and not self._answering.decoder.stateful
        )

    def _bare(self, data: bytes | memoryview, position: int, size: int) -> int:
        """A frame without payload at the end of the buffer; or a length nobody may send."""
        if size - position < frames.HEADER_OCTETS:
            return position
        word, flags, stream_id = _BARE_HEAD(data, position)
        if word >> 8 > frames.DEFAULT_MAX_FRAME:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame is longer than we allow")
        if word >> 8:
            return position
        self._one(word, flags, stream_id, b"")
        return position + frames.HEADER_OCTETS

    def _one(self, word: int, flags: int, stream_id: int, payload: bytes) -> None:
        """One frame, by all the rules."""
        kind = word & 0xFF
        stream_id &= frames.MAX_STREAM_ID  # the reserved bit is ignored (RFC 9113, 4.1)
        if len(payload) > frames.DEFAULT_MAX_FRAME:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame is longer than we allow")
        if not self._begun:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._begun = True
        if self._section is not None and kind != frames.CONTINUATION:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a field section was interrupted")
        handler = self._handlers.get(kind)
        if handler is None:
            return  # unknown types are ignored (RFC 9113, section 5.5)
        try:
            handler(flags, stream_id, payload)
        except StreamError as error:
            self._answering.break_off(stream_id, error.code)
        segment = self._segments.find(stream_id) if stream_id else None
        if segment is not None:
            self._current = segment

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        fragment = frames.unpadded(flags, payload)
        if flags & frames.WITH_PRIORITY:
            if len(fragment) < 5:  # noqa: PLR2004 - dependency and weight (RFC 9113, 6.2)
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "no room for the priority")
            fragment = fragment[5:]
        end_stream = bool(flags & frames.END_STREAM)
        if flags & frames.END_HEADERS:
            self._answering.headers(stream_id, fragment, end_stream=end_stream)
        else:
            self._answering.live(stream_id)
            self._section = stream_id, end_stream, bytearray(fragment)

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        if self._section is None or self._section[0] != stream_id:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a CONTINUATION of nothing")
        _, end_stream, fragments = self._section
        # An endless section, or one of empty frames, is an attack (RFC 9113, section 10.5.1).
        if not payload and not flags & frames.END_HEADERS:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "an empty CONTINUATION")
        fragments += payload
        if len(fragments) > self._max_header_block:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "the headers are too large")
        if flags & frames.END_HEADERS:
            self._section = None
            self._answering.headers(stream_id, bytes(fragments), end_stream=end_stream)

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        self._answering.data(stream_id, flags, payload)

    def _reset(self, flags: int, stream_id: int, payload: bytes) -> None:
        del flags
        self._answering.reset(stream_id, frames.word_of(payload))

    @staticmethod
    def _priority(flags: int, stream_id: int, payload: bytes) -> None:
        """Ignored, but for its form (RFC 9113, section 6.3)."""
        del flags
        if not stream_id:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a PRIORITY without a stream")
        if len(payload) != 5:  # noqa: PLR2004 - dependency and weight
            raise StreamError(ErrorCode.FRAME_SIZE_ERROR, "a PRIORITY of the wrong size")

    @staticmethod
    def _push_promise(flags: int, stream_id: int, payload: bytes) -> None:
        del flags, stream_id, payload
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a push although push is disabled")

    def _columns(self, data: bytes | memoryview, position: int, size: int) -> int:
        """Settles runs of equally long 200 answers as columns, and returns where they end."""
        self._long_runs = False
        if not self._begun or self._section is not None or self._answering.decoder.stateful:
            return position
        while size - position > frames.HEADER_OCTETS:
            word, flags, _, first = _HEAD(data, position)
            octets = frames.HEADER_OCTETS + (word >> 8)
            count = min((size - position) // octets, _COLUMN_UP_TO)
            if (
                count < _COLUMN_FROM or flags != _ALL or first != _STATUS_200
                or word & _TYPE_AND_EXCESS != 1
            ):  # fmt: skip
                break
            run = self._column(np.frombuffer(data, _record(octets), count, position))
            position += run * octets
            self._long_runs = run >= _COLUMN_FROM
            if run < count:
                break
        return position

    def _column(self, rows: npt.NDArray[np.void]) -> int:
        """Settles the leading rows that are plain 200 answers; returns how many, or 0."""
        heads = rows["head"]
        alike = (heads == heads[0]) & (rows["first"] == _STATUS_200) & (rows["flags"] == _ALL)
        run = len(rows) if alike.all() else int(alike.argmin())
        ids = rows["stream"][:run].astype(np.int64)
        ids.sort()
        if run < _COLUMN_FROM or (ids[1:] == ids[:-1]).any() or not (ids & 1).all():
            return 0  # one by one, by all the rules
        if self._answering.begun and not self._answering.begun.keys().isdisjoint(ids.tolist()):
            return 0
        claims: list[tuple[Segment, npt.NDArray[np.int64]]] = []
        at = 0
        while at < run:
            segment = self._segments.find(int(ids[at]))
            if segment is None or segment.exact:
                return 0
            stop = int(np.searchsorted(ids, segment.hi))
            claims.append((segment, (ids[at:stop] >> 1) + segment.base))
            at = stop
        columns = [np.frombuffer(segment.batch.statuses, np.uint16) for segment, _ in claims]
        if any(column[claim[1]].any() for column, claim in zip(columns, claims, strict=True)):
            return 0  # a stream is answered twice
        for column, (segment, indexes) in zip(columns, claims, strict=True):
            column[indexes] = _OK
            self._segments.settle(segment, len(indexes))
        return run
