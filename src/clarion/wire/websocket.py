"""The WebSocket protocol, RFC 6455, as bytes: frames in, events out.

Sans-I/O and for the server's side. No extension is negotiated, so the reserved bits must be zero.
A connection that is idle holds two small objects and no buffer.
"""

import base64
import binascii
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
VERSION: Final = "13"
NONCE_OCTETS: Final = 16
MAX_CONTROL_OCTETS: Final = 125
_TWO_OCTETS: Final = 126
_EIGHT_OCTETS: Final = 127
_MAX_SHORT: Final = 0xFFFF
_FIN: Final = 0x80
_RESERVED: Final = 0x70
_OPCODE: Final = 0x0F
_MASKED: Final = 0x80
_LENGTH: Final = 0x7F
_MASK_OCTETS: Final = 4
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_FIRST_CONTROL: Final = _CLOSE
_SHORTEST: Final = 8
"""Octets of a frame that has a header of its own and something in it."""


class CloseCode(IntEnum):
    """Why a connection ends (RFC 6455 section 7.4.1, and the registry's later ones)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    INVALID_DATA = 1007
    POLICY = 1008
    TOO_BIG = 1009
    INTERNAL = 1011
    TRY_AGAIN_LATER = 1013


_NEVER_SENT: Final = frozenset({1004, 1005, 1006, 1015})
_FIRST_CODE, _FIRST_FREE, _LAST_CODE = 1000, 3000, 4999
_LAST_REGISTERED: Final = 1014


class WebSocketError(ValueError):
    """The peer broke the protocol; close with `code`."""

    def __init__(self, code: CloseCode, sentence: str) -> None:
        self.code = code
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Text:
    """A whole text message, checked UTF-8."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Binary:
    """A whole binary message."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ping:
    """To be answered with a pong of the same data."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """The peer lives."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """The peer ends the connection; `code` is None where it gave none."""

    code: int | None
    reason: str


Event: TypeAlias = Text | Binary | Ping | Pong | Close


class FrameReader:
    """Reads the frames of one client."""

    __slots__ = ("_begun", "_buffer", "_max", "_parts", "_size")

    def __init__(self, max_message: int) -> None:
        """`max_message`: octets that a message may have, all its fragments together."""
        self._max = max_message
        self._buffer = b""
        self._begun = 0
        self._parts: list[bytes] | None = None
        self._size = 0

    def text(self, data: bytes) -> bytes | None:
        """The one short text message that octets are, whole; None where `feed` has to look."""
        if self._buffer or self._parts is not None or len(data) <= _SHORTEST:
            return None
        size, head = data[1] - _MASKED, 2
        if size >= _TWO_OCTETS:
            if size == _EIGHT_OCTETS:
                return None
            size, head = int.from_bytes(data[2:4], "big"), 4
        begin = head + _MASK_OCTETS
        if data[0] != _FIN | _TEXT or size > self._max or len(data) != begin + size:
            return None
        text = _unmask(data[begin:], data[head:begin])
        return text if text.isascii() else None

    def feed(self, data: bytes) -> list[Event]:
        """Take octets, cut anywhere, and return what they complete, in order.

        Raises:
            WebSocketError: nothing after this can be read.
        """
        if self._buffer:
            data = self._buffer + data
        events: list[Event] = []
        at = 0
        while True:
            frame = self._frame(data, at)
            if frame is None:
                break
            first, payload, at = frame
            event = self._event(first, payload)
            if event is not None:
                events.append(event)
        self._buffer = data[at:]
        return events

    def _frame(self, data: bytes, at: int) -> tuple[int, bytes, int] | None:
        """First octet, unmasked payload and end of the frame at `at`; None while incomplete."""
        if len(data) - at < 2:  # noqa: PLR2004  the fixed part of a header
            return None
        first, second = data[at], data[at + 1]
        length = second & _LENGTH
        head = at + 2
        if length == _TWO_OCTETS:
            if len(data) < head + 2:
                return None
            length = int.from_bytes(data[head : head + 2], "big")
            head += 2
        elif length == _EIGHT_OCTETS:
            if len(data) < head + 8:
                return None
            length = int.from_bytes(data[head : head + 8], "big")
            head += 8
        self._check(first, second, length)
        begin = head + _MASK_OCTETS
        end = begin + length
        if len(data) < end:
            return None
        return first, _unmask(data[begin:end], data[head:begin]), end

    def _check(self, first: int, second: int, length: int) -> None:
        """Refuse a bad header at once, before its payload is kept."""
        if first & _RESERVED:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")
        if not second & _MASKED:  # section 5.1: a server closes upon an unmasked frame
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a client's frames are masked")
        opcode = first & _OPCODE
        if opcode >= _FIRST_CONTROL:
            if not first & _FIN or length > MAX_CONTROL_OCTETS:
                raise WebSocketError(
                    CloseCode.PROTOCOL_ERROR, "a control frame is whole and has 125 octets at most"
                )
        elif self._size + length > self._max:
            raise WebSocketError(CloseCode.TOO_BIG, f"a message has {self._max} octets at most")

    def _event(self, first: int, payload: bytes) -> Event | None:
        opcode = first & _OPCODE
        if opcode >= _FIRST_CONTROL:
            return _control(opcode, payload)
        if opcode == _CONTINUATION:
            if self._parts is None:
                raise WebSocketError(CloseCode.PROTOCOL_ERROR, "nothing is to be continued")
        elif opcode not in {_TEXT, _BINARY}:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "an unknown opcode")
        elif self._parts is not None:
            raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a message within a message")
        elif first & _FIN:
            return _message(opcode, payload)
        else:
            self._begun, self._parts = opcode, []
        self._parts = self._parts or []
        self._size += len(payload) + 1  # the octet stands for the object: no flood of empty ones
        self._parts.append(payload)
        if self._size > self._max + 1:
            raise WebSocketError(CloseCode.TOO_BIG, f"a message has {self._max} octets at most")
        if not first & _FIN:
            return None
        whole = b"".join(self._parts)
        self._parts, self._size = None, 0
        return _message(self._begun, whole)


def _message(opcode: int, payload: bytes) -> Event:
    if opcode == _BINARY:
        return Binary(payload)
    if not payload.isascii():
        try:
            payload.decode("utf-8")
        except UnicodeDecodeError as error:
            raise WebSocketError(CloseCode.INVALID_DATA, "a text is not UTF-8") from error
    return Text(payload)


def _control(opcode: int, payload: bytes) -> Event:
    if opcode == _PING:
        return Ping(payload)
    if opcode == _PONG:
        return Pong(payload)
    if opcode != _CLOSE:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "an unknown opcode")
    if not payload:
        return Close(None, "")
    if len(payload) == 1:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "a close code has two octets")
    code = int.from_bytes(payload[:2], "big")
    unregistered = _LAST_REGISTERED < code < _FIRST_FREE
    if not _FIRST_CODE <= code <= _LAST_CODE or code in _NEVER_SENT or unregistered:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "no such close code")
    try:
        return Close(code, payload[2:].decode("utf-8"))
    except UnicodeDecodeError as error:
        raise WebSocketError(CloseCode.INVALID_DATA, "a close reason is not UTF-8") from error


def _unmask(data: bytes, mask: bytes) -> bytes:
    """Section 5.3. As one long number: a hundred times faster than octet by octet."""
    size = len(data)
    if not size:
        return b""
    key = (mask * (size // _MASK_OCTETS + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def text_frame(data: bytes) -> bytes:
    """A whole text message, as a server sends it."""
    return _frame_of(_TEXT, data)


def ping_frame(data: bytes = b"") -> bytes:
    """A ping; at most 125 octets of data."""
    return _frame_of(_PING, data)


def pong_frame(data: bytes) -> bytes:
    """The answer to a ping."""
    return _frame_of(_PONG, data)


def close_frame(code: int, reason: str = "") -> bytes:
    """A close; a long reason is cut."""
    said = reason.encode("utf-8")[: MAX_CONTROL_OCTETS - 2].decode("utf-8", "ignore")
    return _frame_of(_CLOSE, struct.pack("!H", code) + said.encode("utf-8"))


def _frame_of(opcode: int, data: bytes) -> bytes:
    size = len(data)
    if size < _TWO_OCTETS:
        return bytes((_FIN | opcode, size)) + data
    if size <= _MAX_SHORT:
        return struct.pack("!BBH", _FIN | opcode, _TWO_OCTETS, size) + data
    return struct.pack("!BBQ", _FIN | opcode, _EIGHT_OCTETS, size) + data


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A request to speak WebSocket that may be granted.

    Attributes:
        accept: the answer to its nonce.
        offered: sub-protocols, in the client's order.
    """

    accept: bytes
    offered: tuple[str, ...]


def read_upgrade(fields: Mapping[str, str]) -> Upgrade:
    """Check the fields of a GET (names in lower case) as section 4.2.1 demands.

    Raises:
        WebSocketError: they ask for something else; the sentence says what is missing.
    """
    if "websocket" not in _words(fields.get("upgrade", "")):
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "Upgrade is not websocket")
    if "upgrade" not in _words(fields.get("connection", "")):
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "Connection does not say upgrade")
    if not fields.get("host", "").strip():
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "Host is missing")
    if fields.get("sec-websocket-version", "").strip() != VERSION:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "Sec-WebSocket-Version is not 13")
    key = fields.get("sec-websocket-key", "").strip()
    try:
        nonce = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "Sec-WebSocket-Key is no base64") from error
    if len(nonce) != NONCE_OCTETS:
        raise WebSocketError(CloseCode.PROTOCOL_ERROR, "Sec-WebSocket-Key has not 16 octets")
    digest = hashlib.sha1(key.encode("ascii") + GUID, usedforsecurity=False).digest()
    offered = tuple(
        word.strip() for word in fields.get("sec-websocket-protocol", "").split(",") if word.strip()
    )
    return Upgrade(accept=base64.b64encode(digest), offered=offered)


def _words(value: str) -> set[str]:
    return {word.strip().lower() for word in value.split(",")}
