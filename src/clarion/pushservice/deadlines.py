"""When connections have to be looked at: one list for all of them instead of a timer for each.

Tens of thousands of idle connections cost one glance a second.
"""

from typing import Protocol


class Dated(Protocol):
    """What has a deadline, in seconds of the monotonic clock; None when it has ended."""

    deadline: float | None

    def due(self, now: float) -> None:
        """The deadline has come. Sets the next one, or ends."""
        ...


class Deadlines:
    """Everything by the second in which it is to be looked at.

    A deadline that moves later is found too early once and put where it belongs; so moving one, as
    every message does, costs nothing. One that moves earlier must be added anew.
    """

    __slots__ = ("_at", "_slots")

    def __init__(self, now: float) -> None:
        self._at = int(now)
        self._slots: dict[int, list[Dated]] = {}

    def add(self, thing: Dated) -> None:
        """Watch something; its deadline says when."""
        if thing.deadline is not None:
            second = max(int(thing.deadline) + 1, self._at + 1)
            self._slots.setdefault(second, []).append(thing)

    def pass_to(self, now: float) -> None:
        """Look at everything whose second has come."""
        while self._at < int(now):
            self._at += 1
            for thing in self._slots.pop(self._at, ()):
                if thing.deadline is not None and thing.deadline <= now:
                    thing.due(now)
                self.add(thing)
