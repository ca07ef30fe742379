"""Heads of requests that need no parser: it has read the same octets before.

The requests that a client makes to one path have the same head but for four fields. What the
parser made of a head holds for all that differ from it in the values of those only: such a head is
recognised in one step, where a parser tells each field to a callback.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

REMEMBERED: Final = 256
"""Forms of heads; beyond that the memory starts anew."""
_OWN: Final = re.compile(
    rb"\r\n(authorization|content-length|idempotency-key|x-request-id): "
    rb"([!-~](?:[ -~]*[!-~])?)(?=\r\n)",
    re.IGNORECASE,
)
"""What differs from request to request: a field whose value is visible ASCII, spaces within it
(RFC 9110 section 5.5), so that no parser would take it for anything else."""
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length"
_STAYS: Final = b"keep-alive"
_MORE: Final = frozenset({b"expect", b"transfer-encoding", b"upgrade"})

Form = tuple[bytes, ...]
"""A head without the values of its own fields."""


class KnownHeads:
    """Forms of heads of requests to one path, and the fields that all of a form have."""

    def __init__(self, path: bytes) -> None:
        self._line: Final = b"POST %b HTTP/1.1\r\n" % path
        self._known: dict[Form, Mapping[bytes, bytes]] = {}

    def read(self, data: bytes) -> tuple[Mapping[bytes, bytes], bytes] | None:
        """Header fields (names in lower case) and body of the one whole request that this is.

        None: it is something else, or has to be parsed to know.
        """
        if not data.startswith(self._line):
            return None
        end = data.find(_END)
        if end < 0:
            return None
        form, own = _parted(data, end)
        shared = self._known.get(form)
        if shared is None:
            return None
        length = own[_LENGTH]
        # As every client writes it: Python refuses to read a number of thousands of digits.
        if length != b"%d" % (len(data) - end - len(_END)):
            return None
        return {**shared, **own}, data[end + len(_END) :]

    def learn(self, data: bytes, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Remember the form of a whole request, of which the parser has made these fields.

        What asks for more than an answer on a connection that stays open is no form.
        """
        end = data.find(_END)
        if end < 0 or not data.startswith(self._line):
            return
        form, own = _parted(data, end)
        pairs = list(fields)
        parsed = dict(pairs)
        if (
            len(parsed) < len(pairs)
            or own.get(_LENGTH) != b"%d" % (len(data) - end - len(_END))
            or any(parsed.get(name) != value for name, value in own.items())
            or not parsed.keys().isdisjoint(_MORE)
            or parsed.get(b"connection", _STAYS).lower() != _STAYS
        ):
            return
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[form] = {name: parsed[name] for name in parsed if name not in own}


def _parted(data: bytes, end: int) -> tuple[Form, dict[bytes, bytes]]:
    """A head as its form, and its own fields."""
    parts = _OWN.split(data[: end + 2])
    names = [name.lower() for name in parts[1::3]]
    return (*parts[::3], *names), dict(zip(names, parts[2::3], strict=True))
