"""How many connections one address holds, and how fast it makes new ones.

A proxy that we trust speaks for many: what comes through it is counted by the address that it
names, once that has become a WebSocket or a stream.
"""

from collections import Counter
from functools import lru_cache
from typing import Final

from clarion.domain.client_address import counted_address
from clarion.pushservice.limits import Buckets, PushLimits

counted: Final = lru_cache(maxsize=4096)(counted_address)
"""As whom an address is counted: every request asks, and most come from few."""


class Addresses:
    """The addresses that are connected to one node. Memory grows with its connections alone.

    All of an IPv6 site's are one.
    """

    __slots__ = ("_held", "_made", "_most", "_trusted")

    def __init__(self, limits: PushLimits, trusted: frozenset[str]) -> None:
        self._held: Counter[str] = Counter()
        self._made = Buckets(limits.handshakes_per_s, limits.handshakes_burst)
        self._most = limits.connections_per_address
        self._trusted = trusted

    def __len__(self) -> int:
        return len(self._held)

    def speaks_for_others(self, peer: str) -> bool:
        """Whether a peer is one of our proxies."""
        return peer in self._trusted

    def enter(self, address: str, now: float) -> bool:
        """One more connection of an address; False where it may have no more. `now` is monotonic.

        Each that is let in leaves once.
        """
        address = counted(address)
        if self._made.take(address, now) or self._held[address] >= self._most:
            self._tidy(address)
            return False
        self._held[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection has ended."""
        address = counted(address)
        self._held[address] -= 1
        self._tidy(address)

    def _tidy(self, address: str) -> None:
        if not self._held[address]:
            del self._held[address]
