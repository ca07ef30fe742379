"""What a feed has seen: PostgreSQL's own snapshots, compared as values.

A watermark of one number would either skip what a slow transaction commits late, or wait for the
slowest transaction of the whole server. A snapshot does neither: it says of every transaction
whether its changes were visible, and a pass takes what the last one did not see.
"""

from dataclasses import dataclass
from typing import Final, Self

from typing_extensions import override

_FIRST_XID: Final = 3  # PostgreSQL's first ordinary transaction (FirstNormalTransactionId)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Transactions below `xmax` that are not `running` had ended; what they committed was seen."""

    xmax: int
    running: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read PostgreSQL's form, `xmin:xmax:xip,…` (type pg_snapshot)."""
        _, xmax, running = text.split(":")
        return cls(int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))

    @override
    def __str__(self) -> str:
        return f"{self.xmin}:{self.xmax}:{','.join(str(xid) for xid in sorted(self.running))}"

    @property
    def xmin(self) -> int:
        """Everything below this transaction had ended."""
        return min(self.running, default=self.xmax)

    def has(self, xid: int) -> bool:
        """Whether this transaction, and whatever was committed before it, was seen."""
        return xid < self.xmax and xid not in self.running

    def advanced(self, now: "Snapshot", last: int) -> "Snapshot":
        """What was seen after taking, in `now`, the unseen rows of transactions up to `last`.

        `last` is the transaction of a committed row: after a crash PostgreSQL may give the numbers
        of transactions that left no trace to others, but never one below a committed one. So a
        watermark ends at a row that was seen, not at the snapshot's own end.
        """
        xmax = max(self.xmax, last + 1)
        early = {xid for xid in now.running if xid < xmax}
        late = {xid for xid in self.running if xid > last}
        return Snapshot(xmax, frozenset(early | late))


NOTHING: Final = Snapshot(_FIRST_XID)
"""The place of a feed before its first row."""
