"""A batch of requests: columns in, columns out."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

import numpy as np
import numpy.typing as npt

from clarion.wire.http2.field_encoding import Field

Matrix = npt.NDArray[np.uint8]

_FORBIDDEN_NAMES: Final = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_FORBIDDEN_OCTETS: Final = frozenset(b"\x00\r\n")


class Failure(Enum):
    """How a request ended that got no answer."""

    REFUSED = "refused"
    """The server did not process it, or it was never written: safe to send again."""
    GOAWAY_ABOVE = "goaway_above"
    """It lay above the last stream a GOAWAY promised to finish: safe to send again."""
    RESET = "reset"
    """The stream was broken off: it may or may not have taken effect."""
    DEADLINE = "deadline"
    """No answer came in time: it may or may not have taken effect."""
    CONNECTION_LOST = "connection_lost"
    """The connection ended before the answer: it may or may not have taken effect."""

    @property
    def safe_to_resend(self) -> bool:
        """Whether the server can't have acted on the request (RFC 9113, section 8.7)."""
        match self:
            case Failure.REFUSED | Failure.GOAWAY_ABOVE:
                return True
            case Failure.RESET | Failure.DEADLINE | Failure.CONNECTION_LOST:
                return False
            case _:
                assert_never(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer kept whole; `headers` are all fields but `:status`, in wire order."""

    status: int
    headers: tuple[Field, ...]
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderSet:
    """What every request of a batch shares; equal sets share one encoding per connection.

    Attributes:
        method: The request method.
        path_prefix: Leading part of every `:path`; may be empty when the paths are whole.
        headers: Fields in wire order, names in lower case, without pseudo-header fields.
        literal: Names whose values must not enter the peer's header table.

    Raises:
        ValueError: A field that RFC 9113, section 8.2 calls malformed.
    """

    method: bytes = b"POST"
    path_prefix: bytes
    headers: tuple[Field, ...]
    literal: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        for name, value in self.headers:
            _check_field(name, value)


class Batch:
    """Requests with one header set, and what became of them.

    Args:
        headers: Shared by all requests.
        paths: One per request: what follows `path_prefix`.
        body: The body of every request, or None when `bodies` has one each.
        bodies: One body per request.
        extra: Encoded header fields of each request (see `literal_field`), or a matrix of octets
            with one row per request where all are equally long.
        deadline_s: Seconds a request waits for its answer once it is written, and a request not
            yet written waits for its turn.
        keep_bodies: Keep headers and body of 2xx answers too.

    Attributes:
        statuses: HTTP status per request, unsigned 16-bit; 0 while there is no answer.
        answers: Index → answer, for what is not 2xx (for all when `keep_bodies`).
        failures: Index → how a request without answer ended.
        left: Requests not ended yet.
        claimed: Requests already taken by a connection; those above wait.
        on_done: Called once with the batch when the last request has ended.
        on_written: Called once, as the octets of the last request's HEADERS go to the host.

    Raises:
        ValueError: Columns of different length, or both or neither of `body` and `bodies`.
    """

    __slots__ = (
        "_extra", "answers", "bodies", "body", "body_octets", "claimed", "deadline_s",
        "extra_matrix", "extra_octets", "failures", "headers", "keep_bodies", "left", "on_done",
        "on_written", "path_octets", "paths", "queued_at", "statuses",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - one argument per column; a record would only move them
        self,
        headers: HeaderSet,
        paths: list[bytes],
        *,
        body: bytes | None = None,
        bodies: list[bytes] | None = None,
        extra: list[bytes] | Matrix | None = None,
        deadline_s: float = 30.0,
        keep_bodies: bool = False,
    ) -> None:
        if body is not None and bodies is not None:
            raise ValueError("give `body` or `bodies`, not both")
        for column in (bodies, extra):
            if column is not None and len(column) != len(paths):
                raise ValueError("every column needs one entry per path")
        self.headers = headers
        self.paths = paths
        self.body = body if body is not None else b""
        self.bodies = bodies
        self.extra_matrix = extra if isinstance(extra, np.ndarray) else None
        self._extra = extra if isinstance(extra, list) else None
        self.deadline_s = deadline_s
        self.keep_bodies = keep_bodies
        self.path_octets = _even_length(paths)
        self.extra_octets = _width(extra)
        self.body_octets = len(self.body) if bodies is None else _even_length(bodies)
        self.statuses = array("H", bytes(2 * len(paths)))
        self.answers: dict[int, Answer] = {}
        self.failures: dict[int, Failure] = {}
        self.left = len(paths)
        self.claimed = 0
        self.queued_at = 0.0
        self.on_done: Callable[[Batch], None] | None = None
        self.on_written: Callable[[], None] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def extra(self) -> list[bytes] | None:
        """Encoded header fields of each request, one by one."""
        if self._extra is None and self.extra_matrix is not None:
            self._extra = [row.tobytes() for row in self.extra_matrix]
        return self._extra

    @property
    def done(self) -> bool:
        """Whether every request has an answer or a failure."""
        return self.left == 0

    def body_of(self, index: int) -> bytes:
        """The body of one request."""
        return self.body if self.bodies is None else self.bodies[index]

    def safe_failures(self) -> list[int]:
        """Indexes of failed requests that may be sent again without doubling anything."""
        return [index for index, how in self.failures.items() if how.safe_to_resend]

    def subset(self, indexes: Sequence[int]) -> "Batch":
        """The given requests as a fresh batch, in that order."""
        return Batch(
            self.headers,
            [self.paths[i] for i in indexes],
            body=self.body if self.bodies is None else None,
            bodies=None if self.bodies is None else [self.bodies[i] for i in indexes],
            extra=_chosen(self.extra_matrix if self._extra is None else self._extra, indexes),
            deadline_s=self.deadline_s,
            keep_bodies=self.keep_bodies,
        )

    def take_over(self, indexes: Iterable[int], part: "Batch") -> None:
        """Write the outcome of `subset(indexes)` over the failures of those requests."""
        for at, index in enumerate(indexes):
            self.failures.pop(index, None)
            self.statuses[index] = part.statuses[at]
            if at in part.answers:
                self.answers[index] = part.answers[at]
            if at in part.failures:
                self.failures[index] = part.failures[at]


def _width(column: list[bytes] | Matrix | None) -> int:
    """Octets of every entry, or -1 where they differ."""
    if column is None:
        return 0
    return _even_length(column) if isinstance(column, list) else column.shape[1]


def _chosen(
    column: list[bytes] | Matrix | None, indexes: Sequence[int]
) -> list[bytes] | Matrix | None:
    if isinstance(column, list):
        return [column[i] for i in indexes]
    return None if column is None else column[np.array(indexes, np.int64)]


def _even_length(column: list[bytes]) -> int:
    """The length all entries share, or -1: equal lengths are packed as one matrix."""
    lengths = set(map(len, column))
    return lengths.pop() if len(lengths) == 1 else -1


def _check_field(name: bytes, value: bytes) -> None:
    """RFC 9113, sections 8.2.1 and 8.2.2."""
    if not name or name != name.lower() or name.startswith(b":") or b" " in name:
        raise ValueError(f"header name {name!r} must be lower case, plain and not a pseudo-header")
    if name in _FORBIDDEN_NAMES:
        raise ValueError(f"header {name!r} belongs to HTTP/1.1 connections")
    if not _FORBIDDEN_OCTETS.isdisjoint(value) or value != value.strip(b" \t"):
        raise ValueError(f"the value of header {name!r} has a forbidden octet or outer space")
