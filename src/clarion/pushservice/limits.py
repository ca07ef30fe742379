"""How much of anything a client gets, in bounded memory."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from math import ceil
from typing import Final


@dataclass(frozen=True, kw_only=True, slots=True)
class PushLimits:
    """Bounds of the service."""

    max_body: int = 4096
    """Octets of a message; RFC 8030 section 7.2 forbids less."""
    max_ttl_s: int = 30 * 86_400
    max_head: int = 16_384
    """Octets of a request's header."""
    max_frame: int = 65_536
    """Octets of a message that a device sends."""
    head_s: float = 10.0
    """Seconds that a request may take to arrive."""
    hello_s: float = 10.0
    """Seconds until a device must have said who it is."""
    idle_s: float = 300.0
    """Seconds after which a silent connection is pinged."""
    pong_s: float = 30.0
    keep_alive_s: float = 75.0
    window: int = 64
    """Messages on their way to one device without its word."""
    open_pushes: int = 20_000
    """Messages that wait for their group's commit; more are answered 503."""
    arriving: int = 2_000
    """Connections that have not said who they are; more wait in the kernel's queue."""
    connections_per_address: int = 10_000
    """Connections of one address; more are closed at once."""
    handshakes_per_s: float = 200.0
    """New connections of one address in the long run, and at once."""
    handshakes_burst: int = 4_000
    frames_per_s: float = 50.0
    """Messages that a device may send in the long run, and at once."""
    frames_burst: int = 1_000
    subscription_per_s: float = 20.0
    subscription_burst: int = 200
    origin_per_s: float = 20_000.0
    origin_burst: int = 40_000
    register_per_s: float = 5.0
    """New subscriptions of one device, and of one address times ten."""
    register_burst: int = 50
    commit_every_s: float = 0.01
    """How long a group is gathered; a message that arrives within it is never written."""


_ROUNDED: Final = 0.001
"""Of a token: what adding up may have lost."""


class Buckets:
    """Token buckets by key; the ones that were not used for longest are forgotten when full.

    A forgotten bucket is a full one, which it would be by then in any honest use. Each is one
    number, when it will be full again (the generic cell rate algorithm).
    """

    __slots__ = ("_each_s", "_held", "_most", "_slack_s")

    def __init__(self, rate: float, burst: int, *, most: int = 50_000) -> None:
        self._each_s, self._most = 1.0 / rate, most
        self._slack_s = (burst - 1 + _ROUNDED) * self._each_s
        self._held: OrderedDict[Hashable, float] = OrderedDict()

    def take(self, key: Hashable, now: float) -> int:
        """Take one; 0, or the seconds after which there will be one. `now` is monotonic."""
        held = self._held
        full_at = held.get(key, now)
        missing_s = full_at - now
        if missing_s > self._slack_s:
            held.move_to_end(key)
            return max(1, ceil(missing_s - self._slack_s))
        held[key] = (full_at if missing_s > 0.0 else now) + self._each_s
        held.move_to_end(key)
        if len(held) > self._most:
            held.popitem(last=False)
        return 0
