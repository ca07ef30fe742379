"""Requests whose header fields were seen before: one look instead of one for each field.

What a sender posts differs in path and body alone, for as long as it uses one token: the octets
between request line and empty line are the same. So what the parser made of them is remembered, and
a request that arrives whole needs no parser. Everything else takes the long way.
"""

import re
from dataclasses import dataclass
from typing import Final

from clarion.domain.recent import Recent
from clarion.pushservice.protocol import Asked
from clarion.pushservice.requests import Request

MOST: Final = 512
MAX_OCTETS: Final = 2_048
"""Of the fields that are remembered: 1 MiB in all."""

_LINE: Final = re.compile(rb"POST (/wpush/v[12]/[A-Za-z0-9_-]{1,256}) HTTP/1\.1\r\n")
_END: Final = b"\r\n\r\n"
_UNLIKE: Final = frozenset({"transfer-encoding", "expect", "upgrade"})


@dataclass(slots=True)
class Head:
    """Header fields that were parsed.

    Attributes:
        fields: names in lower case.
        length: octets of the body.
        asked: what they ask for, once that was judged.
    """

    fields: dict[str, str]
    length: int
    asked: Asked | None = None


class Heads:
    """What one node remembers."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: Recent[bytes, Head] = Recent(MOST)

    def request(self, data: bytes, peer: str) -> Request | None:
        """The request that octets are, whole and alone; None where the parser has to look."""
        line = _LINE.match(data)
        if line is None:
            return None
        end = data.find(_END, line.end())
        fields = data[line.end() : end]
        head = self._known.known(fields) if end >= 0 else None  # else it is cut
        if head is None or end + len(_END) + head.length != len(data):
            return None
        body = data[end + len(_END) :]
        return Request("POST", line[1].decode("ascii"), "", head.fields, body, peer, head=head)

    def learn(self, data: bytes, request: Request) -> None:
        """Remember the fields of a request that came whole and alone in `data`."""
        line = _LINE.match(data)
        if line is None or not request.keep_alive or request.upgrade:
            return
        end = data.find(_END, line.end())
        fields = data[line.end() : end]
        length = len(data) - end - len(_END)
        whole = end >= 0 and request.fields.get("content-length", "0") == str(length)
        if not whole or len(fields) > MAX_OCTETS or _UNLIKE & request.fields.keys():
            return
        request.head = Head(request.fields, length)
        self._known.learn(fields, request.head)
