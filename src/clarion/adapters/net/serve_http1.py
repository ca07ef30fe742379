"""HTTP/1.1 for simulators of networks that take it besides HTTP/2 (RFC 9112)."""

import re
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

import httptools

from clarion.ports.simulator import SimulatedAnswer
from clarion.wire.http2.server_events import RequestRead

_BAD_VALUE = re.compile(rb"[\x00\r\n]")
_LONGEST_BODY = 1 << 20
_LONGEST_HEAD = 65_536


class Driver(Protocol):
    """What an HTTP/1.1 connection needs from what carries it."""

    def ask(self, request: RequestRead) -> SimulatedAnswer:
        """Let the simulator judge a request."""
        ...

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        """Act after a delay."""
        ...

    def write(self, data: bytes) -> None:
        """Send octets."""
        ...

    def abort(self) -> None:
        """Cut the connection."""
        ...

    def finish(self) -> None:
        """Close when the client has read all."""
        ...


class Http1Connection:
    """Requests one after the other; each waits until the one before it has been answered."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[tuple[RequestRead, bool]] = deque()
        self._answering = False
        self._ended = False
        self._count = 0
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._body_octets = self._head_octets = 0

    def receive(self, data: bytes) -> None:
        """Read octets, cut anywhere."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._driver.finish()  # answered already; what follows would be another protocol
        except httptools.HttpParserCallbackError as error:
            # A fault of ours or of the simulator, not of the client; the parser only wraps it.
            raise (error.__context__ or error) from None
        except httptools.HttpParserError as error:
            if not self._ended:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))

    # ── called by the parser ────────────────────────────────────────────────────────────────

    def on_message_begin(self) -> None:
        """A request starts."""
        self._target = b""
        self._fields = []
        self._body = []
        self._body_octets = self._head_octets = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._target += url
        self._head_octets += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field, or a trailer."""
        self._fields.append((name.lower(), value))
        self._head_octets += len(name) + len(value)
        if self._head_octets > _LONGEST_HEAD and not self._ended:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "header fields too long")

    def on_body(self, body: bytes) -> None:
        """A piece of the content."""
        self._body_octets += len(body)
        if self._body_octets <= _LONGEST_BODY:
            self._body.append(body)
        elif not self._ended:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "content too long")

    def on_message_complete(self) -> None:
        """A request is whole."""
        if self._ended:
            return
        hosts = [value for name, value in self._fields if name == b"host"]
        if len(hosts) != 1:
            self._refuse(HTTPStatus.BAD_REQUEST, "exactly one Host field is needed")
            return
        self._count += 1
        request = RequestRead(
            stream=self._count,
            method=self._parser.get_method().decode("latin-1"),
            path=self._target.decode("latin-1"),
            authority=hosts[0].decode("latin-1"),
            fields=tuple(field for field in self._fields if field[0] != b"host"),
            body=b"".join(self._body),
        )
        self._requests.append((request, self._parser.should_keep_alive()))
        self._next()

    # ── answering ───────────────────────────────────────────────────────────────────────────

    def _next(self) -> None:
        while self._requests and not self._answering and not self._ended:
            request, keep_alive = self._requests.popleft()
            answer = self._driver.ask(request)
            self._answering = True
            act = self._act_on(answer, request, ends=not keep_alive or answer.goaway is not None)
            if answer.silent:
                return
            if answer.delay_s > 0:
                self._driver.later(answer.delay_s, self._followed(act))
            else:
                act()

    def _followed(self, act: Callable[[], None]) -> Callable[[], None]:
        def act_then_go_on() -> None:
            act()
            self._next()

        return act_then_go_on

    def _act_on(
        self, answer: SimulatedAnswer, request: RequestRead, *, ends: bool
    ) -> Callable[[], None]:
        def act() -> None:
            self._answering = False
            self._ended = ends or answer.drop_connection or answer.reset is not None
            if answer.drop_connection or answer.reset is not None:
                self._driver.abort()
                return
            self._driver.write(_write_answer(answer, request.method, ends=ends))
            if ends:
                self._driver.finish()

        return act

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self._ended = True
        if self._answering:
            self._driver.abort()  # or the refusal would pass for the answer to an earlier request
            return
        answer = SimulatedAnswer(status=status, body=sentence.encode())
        self._driver.write(_write_answer(answer, "", ends=True))
        self._driver.finish()


def _write_answer(answer: SimulatedAnswer, method: str, *, ends: bool) -> bytes:
    try:
        phrase = HTTPStatus(answer.status).phrase
    except ValueError:
        phrase = ""  # RFC 9112 section 4: the reason phrase may be empty
    lines = [b"HTTP/1.1 %d %s" % (answer.status, phrase.encode())]
    for name, value in answer.headers:
        if _BAD_VALUE.search(value):
            raise ValueError(f"the value of {name!r} holds a forbidden octet")
        lines.append(b"%s: %s" % (name, value))
    if answer.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
        lines.append(b"content-length: %d" % len(answer.body))
    if ends:
        lines.append(b"connection: close")
    body = b"" if method == "HEAD" else answer.body
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
