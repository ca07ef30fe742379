"""Requests and answers, as HTTP/1.1 carries them (RFC 9112)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import parse_qs

import httptools

from clarion.pushservice.refusals import Refusal, RefusedError

if TYPE_CHECKING:
    from clarion.pushservice.familiar import Head

Fields = Sequence[tuple[bytes, bytes]]

_OLD: Final = "1.0"
_BREAK: Final = re.compile(rb"[\x00\r\n]")
_NO_BODY: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus
}


@dataclass(slots=True)
class Request:
    """One request, whole.

    Attributes:
        fields: names in lower case, repeated ones joined with a comma.
        peer: the client's address, as far as it can be known.
        keep_alive: the client wants the connection to stay.
        head: what is remembered of its fields, if anything.
    """

    method: str
    path: str
    query: str
    fields: dict[str, str]
    body: bytes
    peer: str
    keep_alive: bool = True
    upgrade: bool = False
    head: "Head | None" = None

    def parameters(self) -> dict[str, str]:
        """What the query says, the first value of each name."""
        return {name: values[0] for name, values in parse_qs(self.query).items()}


class Answer(NamedTuple):
    """What is answered; `lines` are fields as octets, each with its line's end."""

    status: int
    fields: Fields = ()
    body: bytes = b""
    close: bool = False
    lines: bytes = b""

    def encode(
        self, *, date: bytes, keep_alive: bool, head: bool = False, more: Fields = ()
    ) -> bytes:
        """The octets, with `date` (a field and its line's end) and further fields.

        Raises:
            ValueError: a field has a line break.
        """
        status, fields, body, close, lines = self
        line = _LINES[status]
        if lines and keep_alive and not (body or fields or more or close):
            return b"%b%b%bcontent-length: 0\r\n\r\n" % (line, date, lines)  # as most are
        parts = [line, date, lines]
        if fields or more:
            parts.append(encode_fields((*fields, *more)))
        if status not in _NO_BODY:
            parts.append(b"content-length: %d\r\n" % len(body))
        if not keep_alive or close:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n" if head else b"\r\n" + body)
        return b"".join(parts)


def encode_fields(fields: Fields) -> bytes:
    """Header fields as octets, each with its line's end.

    Raises:
        ValueError: a field has a line break.
    """
    for _, value in fields:
        if _BREAK.search(value):
            raise ValueError("a header field has a line break")
    return b"".join([b"%b: %b\r\n" % field for field in fields])


class RequestReader:
    """Reads one connection's requests; callbacks are the parser's."""

    __slots__ = (
        "_body", "_body_octets", "_fields", "_head_octets", "_max_body", "_max_head", "_parser",
        "_peer", "_target", "begun", "done", "in_head", "waited_for",
    )  # fmt: skip

    def __init__(self, peer: str, *, max_head: int, max_body: int) -> None:
        self._peer = peer
        self._max_head, self._max_body = max_head, max_body
        self._parser = httptools.HttpRequestParser(self)
        self.begun = False
        """Some of a request is here, and not all of it."""
        self.in_head = False
        self.waited_for = False
        """The client sends the body once it is told to go on (RFC 9110 section 10.1.1)."""
        self.done: list[Request] = []
        """Whole requests; the reader's owner takes them out."""
        self._begin()

    def feed(self, data: bytes) -> bytes | None:
        """Take octets, cut anywhere; returns those after an upgrade, None where there is none.

        Raises:
            RefusedError: the request can't be read, or is too large; nothing after it can be read.
        """
        try:
            self._parser.feed_data(data)
            if self.in_head:  # the parser gathers a field until it is whole
                self._count(len(data))
        except httptools.HttpParserUpgrade as upgrade:
            # RFC 9110 section 7.8: other protocols may be ignored, and in HTTP/1.0 each must be.
            request = self.done[-1]
            websocket = "websocket" in request.fields.get("upgrade", "").lower()
            request.upgrade = websocket and self._parser.get_http_version() != _OLD
            request.keep_alive = request.upgrade  # what follows may be of that protocol
            return data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            raise (error.__context__ or error) from None  # the parser only wraps it
        except httptools.HttpParserError as error:
            raise RefusedError(Refusal.BAD_REQUEST, str(error)) from error
        return None

    def _begin(self) -> None:
        self._target = b""
        self._fields: dict[str, str] = {}
        self._body: list[bytes] = []
        self._body_octets = self._head_octets = 0

    def on_message_begin(self) -> None:
        """A request starts."""
        self.begun = self.in_head = True
        self._begin()

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self._count(len(url))
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field."""
        self._count(len(name) + len(value) + 4)
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._fields[key] = f"{self._fields[key]}, {text}" if key in self._fields else text

    def on_headers_complete(self) -> None:
        """The head is here: what is too large is refused before it is read."""
        self.in_head = False
        fields = self._fields
        length = fields.get("content-length", "0")
        if length.isdecimal() and int(length) > self._max_body:
            raise RefusedError(Refusal.TOO_LARGE)
        if self._parser.get_http_version() != _OLD:
            host = fields.get("host")  # RFC 9112 section 3.2; two of them are joined by now
            if host is None or "," in host:
                raise RefusedError(Refusal.BAD_REQUEST, "a request names one host")
            self.waited_for = "expect" in fields and fields["expect"].lower() == "100-continue"

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self.waited_for = False
        self._body_octets += len(data)
        if self._body_octets > self._max_body:
            raise RefusedError(Refusal.TOO_LARGE)
        self._body.append(data)

    def on_message_complete(self) -> None:
        """The request is whole."""
        path, _, query = self._target.decode("latin-1").partition("?")
        request = Request(
            method=self._parser.get_method().decode("ascii"),
            path=path,
            query=query,
            fields=self._fields,
            body=self._body[0] if len(self._body) == 1 else b"".join(self._body),
            peer=self._peer,
            keep_alive=self._parser.should_keep_alive(),
        )
        self.done.append(request)
        self.begun = self.waited_for = False

    def _count(self, octets: int) -> None:
        self._head_octets += octets
        if self._head_octets > self._max_head:
            raise RefusedError(Refusal.HEAD_TOO_LARGE)
