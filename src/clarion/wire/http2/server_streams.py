"""The streams of one server connection: which are open, and both directions of flow control.

RFC 9113 section 5.1 (states), 5.1.1 (numbers), 5.1.2 (concurrency) and 6.9 (flow control).
"""

from collections import deque
from dataclasses import dataclass, field

from clarion.wire.http2.frames import MAX_WINDOW
from clarion.wire.http2.server_headers import RequestHead

_REMEMBERED_RESETS = 4096
_REMEMBERED_GAPS = 64


@dataclass(kw_only=True, slots=True)
class Stream:
    """A stream that is open or half-closed (remote)."""

    number: int
    head: RequestHead
    receive_window: int
    send_window: int
    received: int = 0
    """Octets of content so far, without padding."""
    body: list[bytes] = field(default_factory=list)
    ended: bool = False
    """The client has sent END_STREAM: the stream is half-closed (remote)."""
    unsent: bytes = b""
    """Content of the answer that flow control holds back."""


class Streams:
    """All streams of a connection; those not in `open` are idle or closed by their number."""

    def __init__(self, *, limit: int, initial_send_window: int) -> None:
        self.open: dict[int, Stream] = {}
        self.highest = 0
        self.initial_send_window = initial_send_window
        self._limit = limit
        self._announced: deque[int] = deque()
        self._resets: dict[int, None] = {}
        self._gaps: deque[range] = deque(maxlen=_REMEMBERED_GAPS)

    def announce_limit(self, limit: int) -> None:
        """A SETTINGS frame has gone out with this MAX_CONCURRENT_STREAMS."""
        self._announced.append(limit)

    def acknowledge(self) -> bool:
        """The client has acknowledged the oldest SETTINGS; False if none was outstanding."""
        if not self._announced:
            return False
        self._limit = self._announced.popleft()
        return True

    @property
    def limit(self) -> int:
        """How many streams the client may have open; a lower limit binds once acknowledged."""
        return max(self._limit, *self._announced) if self._announced else self._limit

    @property
    def full(self) -> bool:
        """Whether one more stream would exceed MAX_CONCURRENT_STREAMS."""
        return len(self.open) >= self.limit

    def is_idle(self, number: int) -> bool:
        """Whether the client has not used this number yet; servers open no streams here."""
        return number > self.highest or not number & 1

    def was_skipped(self, number: int) -> bool:
        """Whether the number was passed over, so that it closed without ever being used."""
        return any(number in gap for gap in self._gaps)

    def take_number(self, number: int) -> None:
        """The client has opened a stream with this number, the highest so far."""
        following = self.highest + 1 | 1
        if number > following:
            self._gaps.append(range(following, number, 2))
        self.highest = number

    def was_reset(self, number: int) -> bool:
        """Whether we reset the stream, so that frames under way for it must be ignored."""
        return number in self._resets

    def drop(self, number: int, *, reset: bool) -> Stream | None:
        """A stream has closed; `reset` if by us before the client had ended it."""
        if reset:
            self._resets[number] = None
            if len(self._resets) > _REMEMBERED_RESETS:
                del self._resets[next(iter(self._resets))]
        return self.open.pop(number, None)

    def change_initial_window(self, octets: int) -> bool:
        """The client's INITIAL_WINDOW_SIZE has changed; False if a window overflows (6.9.2)."""
        change = octets - self.initial_send_window
        self.initial_send_window = octets
        for stream in self.open.values():
            stream.send_window += change
            if stream.send_window > MAX_WINDOW:
                return False
        return True
