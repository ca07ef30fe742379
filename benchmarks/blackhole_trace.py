"""What a blackhole can tell about times: when a rush of requests began, when a marked one came.

Times are those of the monotonic clock, which all processes of a machine share. Lines of the file:
`first SECONDS` for a request after a pause, `NUMBER SECONDS` for a request whose body holds the
marker followed by a number of eight digits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

DIGITS: Final = 8
PAUSE_S: Final = 0.5
"""A request this long after the one before begins a rush."""


class Trace:
    """Collects lines in memory; whoever owns it calls `flush` now and then."""

    def __init__(self, path: Path, marker: bytes) -> None:
        self.marker: Final = marker
        self._file = path.open("a", encoding="ascii")
        self._lines: list[str] = []
        self._last = float("-inf")

    def requests(self, now: float) -> None:
        """At least one request came at `now`."""
        if now - self._last > PAUSE_S:
            self._lines.append(f"first {now:.6f}\n")
        self._last = now

    def search(self, tail: bytes, data: bytes, now: float) -> bytes:
        """Notes every marked request in `data`; the tail to come back with."""
        data, octets = tail + data, len(self.marker) + DIGITS
        at = data.find(self.marker)
        while 0 <= at <= len(data) - octets:
            number = data[at + len(self.marker) : at + octets].decode("ascii")
            self._lines.append(f"{number} {now:.6f}\n")
            at = data.find(self.marker, at + octets)
        return data[-octets + 1 :]

    def flush(self) -> None:
        """Writes what was collected."""
        self._file.write("".join(self._lines))
        self._file.flush()
        self._lines.clear()

    def close(self) -> None:
        """Writes the rest, and closes the file."""
        self.flush()
        self._file.close()


def rush_after(path: Path, moment: float) -> float:
    """When the first request of the first rush after `moment` came.

    Raises:
        RuntimeError: there was none.
    """
    for line in path.read_text(encoding="ascii").splitlines():
        what, _, when = line.partition(" ")
        if what == "first" and float(when) >= moment:
            return float(when)
    raise RuntimeError("no request has reached the blackhole")


def arrivals(path: Path) -> Mapping[int, float]:
    """Number of each marked request -> when it came for the first time."""
    found: dict[int, float] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        what, _, when = line.partition(" ")
        if what != "first":
            found.setdefault(int(what), float(when))
    return found
