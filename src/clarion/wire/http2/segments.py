"""Which request a stream carries: runs of consecutive streams, so that the answer is an addition.

A connection claims contiguous requests of a batch and gives them consecutive odd stream ids
(RFC 9113, section 5.1.1). Such a run is a segment: index = base + stream id / 2. Deadlines belong
to segments, not to requests.
"""

from bisect import bisect_right
from typing import Final

from clarion.wire.http2.batch import Answer, Batch, Failure

_MERGE_WITHIN_S: Final = 0.25
"""Requests written this close together may share a segment, and so one deadline."""
_MERGE_UP_TO: Final = 2048


class Segment:
    """Streams `lo`, `lo + 2`, … below `hi` carry consecutive requests of one batch."""

    __slots__ = ("base", "batch", "deadline", "exact", "hi", "left", "lo", "opened_at")

    def __init__(self, batch: Batch, index: int, stream_id: int, count: int, now: float) -> None:
        self.batch = batch
        self.lo = stream_id
        self.hi = stream_id + 2 * count
        self.base = index - (stream_id >> 1)
        self.left = count
        self.opened_at = now
        self.deadline = now + batch.deadline_s
        # True: each answer must be looked at (bodies are kept, or some stream has failed or is
        # still sending its body), so the fast path of the receiver stays away.
        self.exact = batch.keep_bodies

    def pending(self, stream_id: int) -> bool:
        """Whether the request on this stream has not ended."""
        index = self.base + (stream_id >> 1)
        return not self.batch.statuses[index] and index not in self.batch.failures

    def pending_from(self, stream_id: int) -> list[int]:
        """Stream ids at or above the given one whose requests have not ended."""
        first = max(self.lo, stream_id | 1)
        return [sid for sid in range(first, self.hi, 2) if self.pending(sid)]


class Segments:
    """The open segments in order of their stream ids.

    Attributes:
        open: Streams that are open, over all segments.
        finished: Batches that ended since the list was last taken.
        ended: Requests that ended on this connection so far.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._items: list[Segment] = []
        self.open = 0
        self.ended = 0
        self.finished: list[Batch] = []

    def opened(self, batch: Batch, stream_id: int, count: int, now: float) -> None:
        """Requests `batch.claimed` onwards now run on consecutive streams from `stream_id`."""
        index = batch.claimed
        batch.claimed = index + count
        self.open += count
        last = self._items[-1] if self._items else None
        if last is not None and self._continues(last, batch, stream_id, now):
            last.hi += 2 * count
            last.left += count
            last.deadline = now + batch.deadline_s
            return
        self._starts.append(stream_id)
        self._items.append(Segment(batch, index, stream_id, count, now))

    def watch(self, stream_id: int) -> None:
        """The answer on this stream must be looked at: it may come before the body is sent."""
        segment = self.find(stream_id)
        if segment is not None:
            segment.exact = True

    @staticmethod
    def _continues(last: Segment, batch: Batch, stream_id: int, now: float) -> bool:
        return (
            last.batch is batch
            and last.hi == stream_id
            and last.exact == batch.keep_bodies
            and now - last.opened_at < _MERGE_WITHIN_S
            and last.hi - last.lo < 2 * _MERGE_UP_TO
        )

    def find(self, stream_id: int) -> Segment | None:
        """The segment of a stream, or None when the stream is idle, long closed or not ours.

        Ours are odd (RFC 9113, section 5.1.1); an even one lies between two of ours.
        """
        at = bisect_right(self._starts, stream_id) - 1
        if at < 0 or not stream_id & 1 or stream_id >= self._items[at].hi:
            return None
        return self._items[at]

    def settle(self, segment: Segment, count: int) -> None:
        """So many more requests of a segment have ended."""
        segment.left -= count
        self.open -= count
        self.ended += count
        if not segment.left:
            at = bisect_right(self._starts, segment.lo) - 1
            del self._starts[at], self._items[at]
        self.end(segment.batch, count)

    def end(self, batch: Batch, count: int) -> None:
        """So many more requests of a batch have ended, on a stream or without one."""
        batch.left -= count
        if not batch.left:
            self.finished.append(batch)

    def answer(self, segment: Segment, stream_id: int, status: int, kept: Answer | None) -> None:
        """The request on a stream has its answer."""
        index = segment.base + (stream_id >> 1)
        segment.batch.statuses[index] = status
        if kept is not None:
            segment.batch.answers[index] = kept
        self.settle(segment, 1)

    def fail(self, segment: Segment, stream_ids: list[int], failure: Failure) -> None:
        """The requests on these streams end without an answer."""
        if not stream_ids:
            return
        segment.exact = True
        for stream_id in stream_ids:
            segment.batch.failures[segment.base + (stream_id >> 1)] = failure
        self.settle(segment, len(stream_ids))

    def fail_from(self, stream_id: int, failure: Failure) -> list[int]:
        """Every open request at or above a stream id ends without an answer.

        Returns:
            The stream ids that ended by it.
        """
        gone: list[int] = []
        for segment in [item for item in self._items if item.hi > stream_id]:
            pending = segment.pending_from(stream_id)
            self.fail(segment, pending, failure)
            gone += pending
        return gone

    def overdue(self, now: float) -> list[int]:
        """Ends every request whose deadline has passed.

        Returns:
            The stream ids to cancel.
        """
        gone: list[int] = []
        for segment in [item for item in self._items if item.deadline <= now]:
            pending = segment.pending_from(segment.lo)
            self.fail(segment, pending, Failure.DEADLINE)
            gone += pending
        return gone

    def take_finished(self) -> list[Batch]:
        """The batches that ended since the last call."""
        finished, self.finished = self.finished, []
        return finished
