"""Which requests go out now: the queue of batches, and the limits it obeys."""

from collections import deque
from typing import Final

from clarion.wire.http2 import frames
from clarion.wire.http2.batch import Batch, Failure
from clarion.wire.http2.header_tables import BlockTemplate, RequestEncoder
from clarion.wire.http2.packing import Octets, Run, pack
from clarion.wire.http2.segments import Segments
from clarion.wire.http2.settings import PeerSettings
from clarion.wire.http2.uploads import Uploads

_LONGEST_TURN: Final = 512
"""Requests a batch may write before another waiting batch has its turn, at most; with few streams
allowed at once, a turn is as many as half of them, so that none waits long."""


class Sender:
    """The requests of one connection that wait, and their way into frames.

    Attributes:
        encoder: Our half of the request header table.
        uploads: Bodies on their way and the connection's send window.
        next_stream_id: The id of the next request (RFC 9113, section 5.1.1).
        queued: Requests that wait.
    """

    def __init__(self, authority: bytes, peer: PeerSettings, segments: Segments) -> None:
        self.encoder = RequestEncoder(authority)
        self.uploads = Uploads()
        self.next_stream_id = 1
        self.queued = 0
        self._peer = peer
        self._segments = segments
        self._queue: deque[Batch] = deque()
        self._turn_left = 0

    @property
    def ids_used_up(self) -> bool:
        """Whether no stream id is left on this connection."""
        return self.next_stream_id > frames.MAX_STREAM_ID

    def enqueue(self, batch: Batch) -> None:
        """Puts a batch at the end of the queue."""
        self._queue.append(batch)
        self.queued += len(batch) - batch.claimed

    def write(self, limit: int, now: float) -> list[Octets]:
        """Frames of bodies on their way, then of as many requests as may be opened.

        Args:
            limit: Streams that may be open at once.
            now: The current time.
        """
        out: list[Octets] = [*self.uploads.pump(self._peer.max_frame)]
        room = limit - self._segments.open
        ids_left = (frames.MAX_STREAM_ID - self.next_stream_id) // 2 + 1
        room = min(room, ids_left)
        turn = max(1, min(_LONGEST_TURN, limit // 2))
        while room > 0 and self._queue:
            batch = self._queue[0]
            count = min(room, len(batch) - batch.claimed)
            if len(self._queue) > 1:
                self._turn_left = self._turn_left if 0 < self._turn_left <= turn else turn
                count = min(count, self._turn_left)
            written = self._write_run(batch, count, out, now)
            if not written:
                break
            room -= written
            self._rotate(batch, written)
        return out

    def drop_queue(self) -> None:
        """Everything that waits ends as REFUSED: it was never written."""
        for batch in self._queue:
            self._refuse_rest(batch)
        self._queue.clear()

    def drop_overdue(self, now: float) -> None:
        """Whatever has waited for its turn longer than its deadline ends as REFUSED."""
        for batch in [item for item in self._queue if item.queued_at + item.deadline_s <= now]:
            self._queue.remove(batch)
            self._refuse_rest(batch)

    def _refuse_rest(self, batch: Batch) -> None:
        rest = range(batch.claimed, len(batch))
        batch.failures.update(dict.fromkeys(rest, Failure.REFUSED))
        batch.claimed = len(batch)
        self.queued -= len(rest)
        self._segments.end(batch, len(rest))

    def _rotate(self, batch: Batch, written: int) -> None:
        """Counts what a batch has written; at the end of its turn it goes to the back."""
        self.queued -= written
        self._turn_left -= written
        if batch.claimed == len(batch):
            if batch.on_written is not None:
                batch.on_written()
            self._queue.popleft()
            self._turn_left = 0
        elif self._turn_left <= 0:
            self._queue.rotate(-1)

    def _write_run(self, batch: Batch, count: int, out: list[Octets], now: float) -> int:
        """Writes up to `count` requests of a batch, and returns how many."""
        fitting, octets = self._fitting(batch, count)
        if not fitting:
            return self._write_slowly(batch, out, now)
        template, once = self.encoder.next_block(batch.headers, count)
        if once:
            fitting, octets = 1, len(batch.body_of(batch.claimed))
        if self._longest_block(batch, fitting, template) > self._peer.max_frame:
            self._write_split(batch, template, out, now)
            return 1
        run = Run(batch, batch.claimed, fitting, self.next_stream_id)
        out.append(pack(run, template))
        self.uploads.window -= octets
        self._open(batch, fitting, now)
        return fitting

    def _fitting(self, batch: Batch, count: int) -> tuple[int, int]:
        """How many of the next requests have bodies that fit, one DATA frame each; and octets."""
        frame_room = min(self._peer.initial_window, self._peer.max_frame)
        window = self.uploads.window
        if batch.bodies is None or batch.body_octets >= 0:
            octets = batch.body_octets
            if not octets:
                return count, 0
            fitting = 0 if octets > frame_room else max(0, min(count, window // octets))
            return fitting, fitting * octets
        total = 0
        for at, body in enumerate(batch.bodies[batch.claimed : batch.claimed + count]):
            if len(body) > frame_room or total + len(body) > window:
                return at, total
            total += len(body)
        return count, total

    def _write_slowly(self, batch: Batch, out: list[Octets], now: float) -> int:
        """One request whose body takes several DATA frames, if a window lets it begin."""
        if self.uploads.window <= 0 or (self.uploads and self._peer.initial_window <= 0):
            return 0
        one_frame = min(self._peer.initial_window, self._peer.max_frame)
        if len(batch.body_of(batch.claimed)) <= one_frame and self._segments.open:
            return 0  # the connection's window is spent: what is open will let it grow again
        template, _ = self.encoder.next_block(batch.headers, 1)
        self._write_split(batch, template, out, now)
        return 1

    def _write_split(
        self, batch: Batch, template: BlockTemplate, out: list[Octets], now: float
    ) -> None:
        index = batch.claimed
        body = batch.body_of(index)
        block = template.block(
            batch.paths[index], b"" if batch.extra is None else batch.extra[index]
        )
        stream_id = self.next_stream_id
        out.append(
            frames.headers_frames(stream_id, block, self._peer.max_frame, end_stream=not body)
        )
        if body:
            self.uploads.start(stream_id, body, self._peer.initial_window)
            out += self.uploads.pump(self._peer.max_frame)
        self._open(batch, 1, now)
        self._segments.watch(stream_id)

    def _open(self, batch: Batch, count: int, now: float) -> None:
        self._segments.opened(batch, self.next_stream_id, count, now)
        self.next_stream_id += 2 * count

    @staticmethod
    def _longest_block(batch: Batch, count: int, template: BlockTemplate) -> int:
        span = slice(batch.claimed, batch.claimed + count)
        path = batch.path_octets
        extra = batch.extra_octets
        if path < 0:
            path = max(map(len, batch.paths[span]))
        if extra < 0 and batch.extra is not None:
            extra = max(map(len, batch.extra[span]))
        return len(template.head(path)) + path + len(template.after) + extra
