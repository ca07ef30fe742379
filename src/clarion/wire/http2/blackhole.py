"""A server that says 200 to everything at next to no cost, so that a benchmark measures the client.

It reads no header block and keeps no stream: a frame with END_STREAM is answered with HEADERS of
one octet, an indexed `:status 200`. Requests that look alike are answered as a column. It trusts
its client; the strict server is another module.
"""

import heapq
import struct
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.wire.http2 import frames
from clarion.wire.http2.field_encoding import table_size_update

_HEAD: Final = struct.Struct(">IBI").unpack_from
_ANSWER: Final = np.frombuffer(
    frames.frame(frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, 0, b"\x88"), np.uint8
)
_COLUMN_FROM: Final = 8
_WINDOW: Final = 1 << 24
_DEFAULT_TABLE: Final = 4096

Delays = Callable[[int], npt.NDArray[np.float64]]
"""Draws so many delays, in seconds."""


class Blackhole:
    """The server side of one connection.

    Args:
        max_streams: MAX_CONCURRENT_STREAMS to announce.
        delays: Where each answer's own delay comes from; None answers at once.

    Attributes:
        answered: Answers given out so far.
    """

    def __init__(self, *, max_streams: int = 1000, delays: Delays | None = None) -> None:
        self.answered = 0
        self._delays = delays
        self._tail = b""
        self._greeted = False
        self._update = b""
        self._received = 0
        self._due: list[tuple[float, int]] = []
        self._out: list[bytes] = [
            frames.settings_frame(
                {
                    frames.MAX_CONCURRENT_STREAMS: max_streams,
                    frames.INITIAL_WINDOW_SIZE: _WINDOW,
                }
            ),
            frames.window_frame(0, _WINDOW),
        ]

    def feed(self, data: bytes, now: float) -> None:
        """Takes octets from the client."""
        data = self._tail + data
        position = 0
        if not self._greeted:
            if len(data) < len(frames.PREFACE):
                self._tail = data
                return
            self._greeted, position = True, len(frames.PREFACE)
        size = len(data)
        ended: list[int] = []
        while size - position >= frames.HEADER_OCTETS:
            position = self._column(data, position, now)
            if size - position < frames.HEADER_OCTETS:
                break
            word, flags, stream_id = _HEAD(data, position)
            end = position + frames.HEADER_OCTETS + (word >> 8)
            if end > size:
                break
            if self._one(word, flags, data[position + frames.HEADER_OCTETS : end]):
                ended.append(stream_id)
            position = end
        if ended:
            self._answer(np.array(ended, np.uint32), now)
        self._tail = data[position:]

    def pull(self) -> bytes:
        """What to write now, without the answers that have a delay of their own."""
        if self._received > _WINDOW >> 1:
            self._out.append(frames.window_frame(0, self._received))
            self._received = 0
        out = b"".join(self._out)
        self._out.clear()
        return out

    def due(self, now: float) -> list[bytes]:
        """The delayed answers whose time has come, one by one."""
        out: list[bytes] = []
        while self._due and self._due[0][0] <= now:
            _, stream_id = heapq.heappop(self._due)
            out.append(self._take_update(stream_id))
        return out

    @property
    def waiting(self) -> bool:
        """Whether answers are due later."""
        return bool(self._due)

    def _one(self, word: int, flags: int, payload: bytes) -> bool:
        """One frame; True when it ends a request."""
        kind = word & 0xFF
        if kind == frames.DATA:
            self._received += len(payload)
        if kind in {frames.DATA, frames.HEADERS}:
            return bool(flags & frames.END_STREAM)
        if flags & frames.ACK:
            return False
        if kind == frames.SETTINGS:
            self._out.append(frames.frame(frames.SETTINGS, frames.ACK, 0))
            table = dict(frames.settings_of(payload)).get(frames.HEADER_TABLE_SIZE, _DEFAULT_TABLE)
            # A smaller table must be acknowledged in the next block (RFC 7541, section 4.2).
            self._update = b"" if table >= _DEFAULT_TABLE else table_size_update(table)
        elif kind == frames.PING:
            self._out.append(frames.frame(frames.PING, frames.ACK, 0, payload))
        return False

    def _column(self, data: bytes, position: int, now: float) -> int:
        """Answers a run of requests of equal shape, HEADERS and one DATA each; returns its end."""
        size = len(data)
        word, flags, _ = _HEAD(data, position)
        second = position + frames.HEADER_OCTETS + (word >> 8)
        if (
            word & 0xFF != frames.HEADERS
            or flags & (frames.END_HEADERS | frames.END_STREAM) != frames.END_HEADERS
            or size - second < frames.HEADER_OCTETS
        ):
            return position
        body_word, body_flags, _ = _HEAD(data, second)
        octets = second - position + frames.HEADER_OCTETS + (body_word >> 8)
        count = (size - position) // octets
        if body_word & 0xFF or body_flags != frames.END_STREAM or count < _COLUMN_FROM:
            return position
        at = second - position
        rows = np.frombuffer(data, np.uint8, count * octets, position).reshape(count, octets)
        alike = (rows[:, :5] == rows[0, :5]).all(axis=1)
        alike &= (rows[:, at : at + 5] == rows[0, at : at + 5]).all(axis=1)
        alike &= (rows[:, 5:9] == rows[:, at + 5 : at + 9]).all(axis=1)
        run = count if alike.all() else int(alike.argmin())
        self._received += run * (body_word >> 8)
        self._answer(np.ascontiguousarray(rows[:run, 5:9]).view(">u4")[:, 0].astype(np.uint32), now)
        end: int = position + run * octets
        return end

    def _answer(self, ids: npt.NDArray[np.uint32], now: float) -> None:
        self.answered += len(ids)
        if self._delays is not None:
            for due, stream_id in zip(
                (now + self._delays(len(ids))).tolist(), ids.tolist(), strict=True
            ):
                heapq.heappush(self._due, (due, stream_id))
            return
        if self._update:
            self._out.append(self._take_update(int(ids[0])))
            ids = ids[1:]
        answers = np.empty((len(ids), len(_ANSWER)), np.uint8)
        answers[:] = _ANSWER
        answers[:, 5:9] = ids.astype(">u4").view(np.uint8).reshape(len(ids), 4)
        self._out.append(answers.tobytes())

    def _take_update(self, stream_id: int) -> bytes:
        update, self._update = self._update, b""
        return frames.frame(
            frames.HEADERS, frames.END_HEADERS | frames.END_STREAM, stream_id, update + b"\x88"
        )
