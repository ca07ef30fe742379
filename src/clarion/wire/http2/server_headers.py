"""Header fields of requests read strictly, and of responses written without state.

Rules of well-formed requests: RFC 9113 section 8.2 and 8.3. Responses use nothing but the static
table (RFC 7541 appendix A), so that a client may announce a table of size 0.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from clarion.wire.http2.field_encoding import STATIC_INDEX, Field, indexed, literal_field

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_BAD_VALUE = re.compile(rb"[\x00\r\n]|^[ \t]|[ \t]$")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CONNECTION_SPECIFIC = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})

_SMALLEST_STATUS = 100
_LARGEST_STATUS = 599


class MalformedError(ValueError):
    """A message is malformed (RFC 9113 section 8.1.1); the sentence names the rule."""


class RequestHead(NamedTuple):
    """The fields of a well-formed request."""

    method: str
    path: str
    authority: str
    fields: tuple[Field, ...]
    length: int
    """What `content-length` promises; -1 where it is absent."""


def read_request_head(block: Iterable[Field]) -> RequestHead:
    """Check the decoded fields of a request.

    Raises:
        MalformedError: with the rule that was broken.
    """
    pseudo: dict[bytes, bytes] = {}
    regular: list[Field] = []
    for name, value in block:
        if name[:1] == b":":
            if regular:
                raise MalformedError(f"{_shown(name)} after a regular field")
            if name not in _PSEUDO:
                raise MalformedError(f"{_shown(name)} is no pseudo-header field of requests")
            if name in pseudo:
                raise MalformedError(f"{_shown(name)} twice")
            if _BAD_VALUE.search(value):
                raise MalformedError(f"{_shown(name)} holds a forbidden octet")
            pseudo[name] = value
        else:
            _check_regular(name, value)
            regular.append((name, value))
    length, host = _read_length_and_host(regular)
    method = pseudo.get(b":method")
    if not method:
        raise MalformedError(":method is missing or empty")
    authority = _read_authority(pseudo, host)
    path = _read_path(pseudo, method)
    return RequestHead(
        method.decode("latin-1"),
        path.decode("latin-1"),
        authority.decode("latin-1"),
        tuple(regular),
        length,
    )


def check_trailers(block: Iterable[Field]) -> None:
    """Check the decoded fields of a trailer section (RFC 9113 section 8.1).

    Raises:
        MalformedError: with the rule that was broken.
    """
    for name, value in block:
        if name[:1] == b":":
            raise MalformedError(f"{_shown(name)} in a trailer section")
        _check_regular(name, value)


def _shown(name: bytes) -> str:
    return name[:64].decode("latin-1")


@lru_cache(maxsize=256)
def _check_regular(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name):
        raise MalformedError(f"{_shown(name)!r} is no lower-case field name")
    if _BAD_VALUE.search(value):
        raise MalformedError(f"the value of {_shown(name)} holds a forbidden octet")
    if name in _CONNECTION_SPECIFIC:
        raise MalformedError(f"{_shown(name)} is specific to HTTP/1.1 connections")
    if name == b"te" and value != b"trailers":
        raise MalformedError("te may say nothing but trailers")


def _read_length_and_host(regular: Sequence[Field]) -> tuple[int, bytes | None]:
    length = -1
    host: bytes | None = None
    for name, value in regular:
        if name == b"content-length":
            if not _LENGTH.fullmatch(value) or length not in {-1, int(value)}:
                raise MalformedError("content-length is no single number")
            length = int(value)
        elif name == b"host":
            if host is not None and host != value:
                raise MalformedError("host twice")
            host = value
    return length, host


def _read_authority(pseudo: dict[bytes, bytes], host: bytes | None) -> bytes:
    authority = pseudo.get(b":authority", host)
    if not authority:
        raise MalformedError("neither :authority nor host names the target")
    if host is not None and host.lower() != authority.lower():
        raise MalformedError("host and :authority differ")
    if b"@" in authority:
        raise MalformedError(":authority holds user information")
    return authority


def _read_path(pseudo: dict[bytes, bytes], method: bytes) -> bytes:
    path = pseudo.get(b":path")
    scheme = pseudo.get(b":scheme")
    if method == b"CONNECT":
        if path is not None or scheme is not None:
            raise MalformedError("CONNECT with :path or :scheme")
        return b""
    if scheme not in {b"http", b"https"}:
        raise MalformedError(":scheme is neither http nor https")
    if not path or (path[:1] != b"/" and (method, path) != (b"OPTIONS", b"*")):
        raise MalformedError(":path is missing or does not start with a slash")
    if b" " in path or b"#" in path:
        raise MalformedError(":path holds a space or a fragment")
    return path


@lru_cache(maxsize=256)
def _write_status(status: int) -> bytes:
    if not _SMALLEST_STATUS <= status <= _LARGEST_STATUS:
        raise ValueError(f"{status} is no status code")
    field = (b":status", b"%d" % status)
    index = STATIC_INDEX.get(field)
    return literal_field(*field) if index is None else indexed(index)


@lru_cache(maxsize=512)
def _check_response_name(name: bytes) -> None:
    if not _NAME.fullmatch(name) or name in _CONNECTION_SPECIFIC:
        raise ValueError(f"{_shown(name)!r} may not be sent as a field name")


def write_response(status: int, fields: Sequence[Field]) -> bytes:
    """The header block of a response: static table and literals without indexing only.

    `:status 200` alone is the single octet 0x88. Raises `ValueError` for what may not be sent.
    """
    if not fields:
        return _write_status(status)
    parts = [_write_status(status)]
    for name, value in fields:
        if _BAD_VALUE.search(value):
            raise ValueError(f"the value of {_shown(name)} holds a forbidden octet")
        _check_response_name(name)
        parts.append(literal_field(name, value))
    return b"".join(parts)
