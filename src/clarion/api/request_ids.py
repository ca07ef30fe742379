"""Names of requests, for answers and the log."""

import re
from itertools import count
from typing import Final

from clarion.ports.system import Chance

_SANE_ID: Final = re.compile(r"[A-Za-z0-9._\-]{1,128}")
_DRAWN: Final = 9
"""Octets that tell the processes apart, in the halves of a UUID before the node."""


class RequestIds:
    """UUIDs of version 8 (RFC 9562 section 5.8): what this process drew at its start, and a count.

    They have to differ, not to be hard to guess: drawing each anew would cost more than routing.
    """

    def __init__(self, chance: Chance) -> None:
        drawn = chance.token(_DRAWN).hex()
        self._head = f"{drawn[:8]}-{drawn[8:12]}-8{drawn[12:15]}-8{drawn[15:18]}-"
        self._count = count()

    def of(self, given: str | None) -> str:
        """What the client calls its request, where that is harmless to repeat; else the next."""
        return given if given is not None and _SANE_ID.fullmatch(given) else self.next()

    def next(self) -> str:
        """36 characters."""
        return f"{self._head}{next(self._count):012x}"
