"""What the HTTP/2 server core tells its driver."""

from typing import NamedTuple

from clarion.wire.http2.errors import ErrorCode


class RequestRead(NamedTuple):
    """A request has arrived whole; fields are the regular ones in order, names in lower case."""

    stream: int
    method: str
    path: str
    authority: str
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


class StreamRefused(NamedTuple):
    """The server has reset a stream because of what the client did."""

    stream: int
    code: ErrorCode
    reason: str


class StreamCancelled(NamedTuple):
    """The client has reset a stream; an answer to it would go nowhere."""

    stream: int
    code: int


class PeerLeft(NamedTuple):
    """The client has sent GOAWAY: it will open no more streams."""

    code: int
    debug: bytes


class ConnectionFailed(NamedTuple):
    """The client broke the protocol: GOAWAY is in the output, nothing more will be read."""

    code: ErrorCode
    reason: str


Event = RequestRead | StreamRefused | StreamCancelled | PeerLeft | ConnectionFailed
