"""CPU time and memory of a process and everything below it, from Linux's `/proc`.

CPU is user and system time of the living, and of those that their parents have reaped. Memory is
the sum of PSS (proportional set size): resident memory in which a page that several processes
share is counted once, divided among them. The plain sum of RSS would count the cache that
PostgreSQL's processes share once for each of them.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_PROC: Final = Path("/proc")
_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_EVERY_S: Final = 0.2
_KIB_IN_MIB: Final = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a tree of processes at one moment, in MiB."""

    by_role: Mapping[str, float]
    """Sum of PSS of each role's processes."""
    largest_mib: float
    """RSS of the largest process alone."""

    @property
    def all_mib(self) -> float:
        """All processes together, shared pages counted once."""
        return sum(self.by_role.values())


class ProcessTree:
    """A process and its descendants, whoever they are at the time of asking."""

    def __init__(self, root: int) -> None:
        self._root = root

    def cpu_s(self) -> Mapping[str, float]:
        """Role -> CPU seconds so far. The roles are the platform's, `postgres` and `supervisor`."""
        found: dict[str, float] = defaultdict(float)
        for pid, stat in self._members():
            ticks = sum(int(field) for field in stat[11:15])  # utime stime cutime cstime: proc(5)
            found[_role(pid)] += ticks * _TICK_S
        return found

    def memory(self) -> Memory:
        """Memory now."""
        largest, by_role = 0.0, defaultdict[str, float](float)
        for pid, _ in self._members():
            mib = _rollup(pid)
            by_role[_role(pid)] += mib.get("Pss", 0.0)
            largest = max(largest, mib.get("Rss", 0.0))
        return Memory(by_role, largest)

    def _members(self) -> Iterator[tuple[int, list[str]]]:
        """Process id and the fields of `stat` from the third on, of every member."""
        stats = dict(_stats())
        children: dict[int, list[int]] = defaultdict(list)
        for pid, stat in stats.items():
            children[int(stat[1])].append(pid)
        left = [self._root]
        while left:
            pid = left.pop()
            if pid in stats:
                yield pid, stats[pid]
                left += children[pid]


class MemoryWatch:
    """Looks at a tree's memory five times a second as long as the block runs.

    Attributes:
        peak: the moment when all processes together had most.
        largest_mib: the highest RSS of one process at any moment.
    """

    def __init__(self, tree: ProcessTree) -> None:
        self.peak = Memory({}, 0)
        self.largest_mib = 0.0
        self._tree = tree
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            now = self._tree.memory()
            self.largest_mib = max(self.largest_mib, now.largest_mib)
            if now.all_mib > self.peak.all_mib:
                self.peak = now


def _stats() -> Iterator[tuple[int, list[str]]]:
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            try:
                text = (_PROC / entry.name / "stat").read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
            yield int(entry.name), text.rpartition(")")[2].split()


def _role(pid: int) -> str:
    try:
        words = (_PROC / str(pid) / "cmdline").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return "supervisor"
    argv = words.rstrip("\0").split("\0")
    if "--role" in argv:
        return argv[argv.index("--role") + 1]
    # PostgreSQL's children write their title over their arguments: `postgres: …`.
    return "postgres" if "postgres" in Path(argv[0].partition(":")[0]).name else "supervisor"


def _rollup(pid: int) -> Mapping[str, float]:
    """Name -> MiB."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return {}  # it has just ended
    words = (line.split() for line in text.splitlines())
    return {
        name.rstrip(":"): int(kib) / _KIB_IN_MIB
        for name, kib, *_ in words
        if name in {"Pss:", "Rss:"}
    }
