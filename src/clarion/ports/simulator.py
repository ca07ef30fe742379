"""What a network's simulator is: a strict judge of requests, served by a small HTTP/2 server."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedRequest:
    """One complete request as the server read it."""

    connection: int
    """Number of the connection it came over."""
    stream: int
    method: str
    path: str
    authority: str
    headers: Sequence[tuple[bytes, bytes]]
    """Regular fields in order, names in lower case; pseudo-header fields are left out."""
    body: bytes
    peer_certificate: bytes | None
    """The client certificate in DER, where one was presented."""
    now: datetime
    scheme: str = "https"
    """`http` where the connection is without TLS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatedAnswer:
    """What the simulator answers, and what it does to the connection besides."""

    status: int = 200
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes = b""
    delay_s: float = 0.0
    silent: bool = False
    """Never answer this stream."""
    reset: int | None = None
    """Answer with RST_STREAM and this error code instead."""
    goaway: bytes | None = None
    """After this answer, send GOAWAY with this debug data and close when streams have ended."""
    max_streams: int | None = None
    """Announce this MAX_CONCURRENT_STREAMS from now on."""
    drop_connection: bool = False
    """Cut the connection without a word."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SimulatorCounts:
    """What a simulator saw, for tests that count at the receiving end."""

    requests: int
    by_status: dict[int, int] = field(default_factory=dict)


class Simulator(Protocol):
    """A network's judge. Implementations live in `providers/<network>/simulator.py`."""

    @property
    def initial_max_streams(self) -> int:
        """MAX_CONCURRENT_STREAMS in the server's first SETTINGS."""
        ...

    @property
    def speaks_http1(self) -> bool:
        """Whether the network takes HTTP/1.1 too (APNs does not)."""
        ...

    def answer(self, request: SimulatedRequest) -> SimulatedAnswer:
        """Judge one request."""
        ...

    def closed(self, connection: int) -> None:
        """A connection has ended: forget what belongs to it."""
        ...

    def counts(self) -> SimulatorCounts:
        """What was seen so far."""
        ...
