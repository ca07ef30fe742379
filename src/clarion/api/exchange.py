"""One request and its answer, on bare ASGI: small enough for the hot endpoints."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope

from clarion.api.decoding import convert, decode
from clarion.api.problems import ProblemError, field_problem
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.ports.keys import KeyRecord
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

T = TypeVar("T")
Headers = tuple[tuple[bytes, bytes], ...]

JSON: Final = b"application/json"
SHORT: Final = "clarion.short"
"""ASGI extension of our own server, with two callables. `arrived()`: the whole body if it is here
already, else None. `whole(status, fields, body)`: writes a complete answer; False if it has not."""
KIND: Final = "clarion.kind"
"""ASGI extension: of which kind (`clarion.api.plain_messages.Kind`) a message would be, if its
check finds that all of its kind are fine."""
SECURITY: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'"),
    (b"cache-control", b"no-store"),
)
"""What every answer carries that is not a page."""
SECURITY_FIELDS: Final = b"".join(b"%b: %b\r\n" % field for field in SECURITY)
"""The same as octets."""
_ENCODER: Final = msgspec.json.Encoder()
_LOGGER: Final = logging.getLogger(__name__)


class ClientGoneError(Exception):
    """The client closed the connection: nobody waits for an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer."""

    status: int
    body: bytes = b""
    media_type: bytes = JSON
    headers: Headers = ()
    security: Headers | None = None
    """What a page or a script carries instead of the fields that protect JSON; caching included."""


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer that goes on until its pieces end or the client leaves."""

    pieces: AsyncIterator[bytes]
    media_type: bytes
    headers: Headers = ()


def json_answer(value: msgspec.Struct, status: int = 200, headers: Headers = ()) -> Answer:
    """An answer with a JSON body; its shape is the one that the OpenAPI document shows."""
    return Answer(status, _ENCODER.encode(value), JSON, headers)


class Exchange:
    """What a route sees of a request."""

    __slots__ = ("_headers", "_receive", "_time_s", "key", "params", "path", "request_id", "scope")

    def __init__(self, scope: Scope, receive: Receive, time_s: float) -> None:
        self.scope = scope
        self.path: str = scope["path"]
        self.params: Mapping[str, str] = {}
        self.request_id = ""
        self.key: KeyRecord | None = None
        self._receive = receive
        self._headers: dict[bytes, bytes] | None = None
        self._time_s = time_s

    @property
    def method(self) -> str:
        """The method, upper case."""
        return str(self.scope["method"])

    @property
    def short(self) -> Mapping[str, Any] | None:
        """The short way in and out, where the server has one; see `SHORT`."""
        found: Mapping[str, Any] | None = self.scope.get("extensions", {}).get(SHORT)
        return found

    def extension(self, name: str) -> Any:  # noqa: ANN401  whoever put it there knows its type
        """What our own server knows about the request under this name; None where it does not."""
        return self.scope.get("extensions", {}).get(name)

    @property
    def caller(self) -> KeyRecord:
        """The key that the router has checked."""
        if self.key is None:
            raise RuntimeError("this route asks for no key, so it has no caller")
        return self.key

    def note(self, event: LogEvent, **fields: str | int) -> None:
        """Log what an operator would want to know later: who did what; ids and numbers only."""
        key = None if self.key is None else self.key.id
        log(
            _LOGGER,
            logging.INFO,
            event,
            error=None,
            request_id=self.request_id,
            key=key,
            **fields,
        )

    def header(self, name: bytes) -> str | None:
        """The value of a header (lower-case name), last one first; None when absent."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        value = self._headers.get(name)
        return None if value is None else value.decode("latin-1")

    def media_type(self) -> str:
        """The body's media type in lower case without parameters; empty when absent."""
        return (self.header(b"content-type") or "").partition(";")[0].strip().lower()

    def query(self, kind: type[T]) -> T:
        """The query parameters as `kind`; raises `ProblemError` with code `query_invalid`."""
        raw: bytes = self.scope.get("query_string", b"")
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
        except ValueError:
            raise ProblemError(
                ErrorCode.QUERY_INVALID, "The query is not percent-encoded UTF-8."
            ) from None
        named = dict(pairs)
        if len(named) != len(pairs):
            raise ProblemError(ErrorCode.QUERY_INVALID, "A query parameter is given twice.")
        return convert(named, kind)

    async def json(self, kind: type[T], limit: int) -> T:
        """The JSON body as `kind`."""
        return decode(await self.json_bytes(limit), kind)

    async def json_bytes(self, limit: int) -> bytes:
        """The body of a request that must be JSON, before it is decoded."""
        kind = self.media_type()
        if kind not in {"application/json", ""} and not kind.endswith("+json"):
            raise unsupported("application/json")
        return await self.body(limit)

    async def body(self, limit: int) -> bytes:
        """The whole body, at most `limit` octets, within the time limit."""
        self._check_length(limit)
        short = self.short
        here: bytes | None = None if short is None else short["arrived"]()
        if here is not None:  # the usual case: nothing to wait for, so no time limit to set
            if len(here) > limit:
                raise too_large(limit)
            return here
        try:
            async with asyncio.timeout(self._time_s):
                message = await self._receive()
                if message["type"] == "http.request" and not message.get("more_body", False):
                    body: bytes = message.get("body", b"")
                    if len(body) > limit:
                        raise too_large(limit)
                    return body
                return await self._rest(message, limit)
        except TimeoutError:
            raise slow_body(self._time_s) from None

    async def _rest(self, message: Mapping[str, object], limit: int) -> bytes:
        pieces = bytearray()
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece = message.get("body", b"")
            pieces += piece if isinstance(piece, bytes) else b""
            if len(pieces) > limit:
                raise too_large(limit)
            if not message.get("more_body", False):
                return bytes(pieces)
            message = await self._receive()

    async def pieces(self, limit: int) -> AsyncIterator[bytes]:
        """The body as it arrives; the time limit is between two pieces."""
        self._check_length(limit)
        seen = 0
        more = True
        while more:
            try:
                async with asyncio.timeout(self._time_s):
                    message = await self._receive()
            except TimeoutError:
                raise slow_body(self._time_s) from None
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            piece: bytes = message.get("body", b"")
            seen += len(piece)
            if seen > limit:
                raise too_large(limit)
            if piece:
                yield piece
            more = message.get("more_body", False)

    async def gone(self) -> None:
        """Return when the client has closed the connection (the body must have been read)."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _check_length(self, limit: int) -> None:
        announced = self.header(b"content-length")
        if announced is not None and announced.isdecimal() and int(announced) > limit:
            raise too_large(limit)


def unsupported(*accepted: str) -> ProblemError:
    """The body has a media type that the route does not read."""
    names = ", ".join(accepted)
    return ProblemError(
        ErrorCode.MEDIA_TYPE_UNSUPPORTED,
        f"Send the body as {names}.",
        errors=[field_problem("Content-Type", FieldCode.INVALID, f"One of {names}.")],
        headers={"accept": names},
    )


def too_large(limit: int) -> ProblemError:
    """The body is longer than the route reads."""
    return ProblemError(ErrorCode.BODY_TOO_LARGE, f"The body may have at most {limit} octets.")


def slow_body(seconds: float) -> ProblemError:
    """The body did not come in time; the connection is closed with the answer."""
    return ProblemError(
        ErrorCode.BODY_TIMEOUT,
        f"The body did not arrive within {seconds:g} s.",
        headers={"connection": "close"},
    )
