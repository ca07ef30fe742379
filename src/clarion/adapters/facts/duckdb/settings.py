"""What the owner of the facts is told at its start."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class FactsKept:
    """How long the facts keep each kind of fact."""

    outcomes: timedelta = timedelta(days=400)
    decisions: timedelta = timedelta(days=400)
    events: timedelta = timedelta(days=400)
    """Engagement too."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerSettings:
    """Where the owner keeps its file and listens, and how much it may use.

    Attributes:
        path: the DuckDB file; temporary files lie beside it.
        socket: where askers connect; only the same user may.
        memory_mib: DuckDB's own memory; larger sorts and joins go to disk.
        threads: how many of DuckDB's threads work on one question.
        drain_every_s: how old an outcome that nobody asks for may become before it is in the facts.
        keep_chunks: how long the state store keeps what was taken in, in case the file is lost.
        keep_events: how long the state store remembers the ids of events.
        kept: how long the facts keep what they have.
        lag_limit_s: how long an asker waits for a change it has to see, before it is refused.
    """

    path: Path
    socket: Path
    memory_mib: int = 96
    threads: int = 2
    drain_every_s: float = 0.25
    keep_chunks: timedelta = timedelta(hours=1)
    keep_events: timedelta = timedelta(days=30)
    lag_limit_s: float = 10.0
    kept: FactsKept = FactsKept()
