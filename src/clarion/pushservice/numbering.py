"""Numbers of messages: they rise with time, and no two nodes give the same.

63 bits: milliseconds since 2020 (41), node (10), a counter (12). Devices see a message's number
as its version and use it to tell repeats apart; senders never see it unsealed.
"""

from datetime import UTC, datetime
from typing import Final

from clarion.ports.pushservice import NodeNumber, PushId

_EPOCH_MS: Final = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000)
_NODE_BITS: Final = 10
_COUNTER_BITS: Final = 12
_COUNTER: Final = (1 << _COUNTER_BITS) - 1


class Numbering:
    """The numbers of one node."""

    __slots__ = ("_last", "_node")

    def __init__(self, node: NodeNumber, not_before: datetime) -> None:
        """`not_before`: numbers of this node from before it may exist already."""
        self._node = node << _COUNTER_BITS
        self._last = (_ticks(not_before) + 1) << _COUNTER_BITS

    def next(self, now: datetime) -> PushId:
        """A number greater than every one before it, also where the clock goes back."""
        self._last = last = max(self._last + 1, _ticks(now) << _COUNTER_BITS)
        counter = last & _COUNTER
        return PushId(((last - counter) << _NODE_BITS) | self._node | counter)


def _ticks(now: datetime) -> int:
    return int(now.timestamp() * 1000) - _EPOCH_MS
