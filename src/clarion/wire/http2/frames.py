"""Frames as bytes: the nine-octet header and the frames we write (RFC 9113, sections 4.1 and 6).

Types and flags are plain integers, because the receiving loop compares them for every answer.
"""

import struct
from collections.abc import Iterator
from typing import Final

from clarion.wire.http2.errors import ErrorCode, ProtocolError

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""The client's connection preface (RFC 9113, section 3.4)."""

HEADER_OCTETS: Final = 9
DEFAULT_MAX_FRAME: Final = 16_384
MAX_WINDOW: Final = (1 << 31) - 1
MAX_STREAM_ID: Final = (1 << 31) - 1
DEFAULT_WINDOW: Final = 65_535

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

_HEAD: Final = struct.Struct(">IBI")
_SETTING: Final = struct.Struct(">HI")
_WORD: Final = struct.Struct(">I")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """One frame of any type (RFC 9113, section 4.1)."""
    # The length has 24 bits and the type 8, so both fit the first 32-bit word.
    return _HEAD.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings_frame(values: dict[int, int]) -> bytes:
    """SETTINGS with the given identifiers and values (RFC 9113, section 6.5)."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*item) for item in values.items()))


def settings_of(payload: bytes) -> Iterator[tuple[int, int]]:
    """The (identifier, value) pairs of a SETTINGS payload, in wire order."""
    return ((key, value) for key, value in _SETTING.iter_unpack(payload))


def reset_frame(stream_id: int, code: ErrorCode) -> bytes:
    """RST_STREAM (RFC 9113, section 6.4)."""
    return frame(RST_STREAM, 0, stream_id, _WORD.pack(code))


def window_frame(stream_id: int, increment: int) -> bytes:
    """WINDOW_UPDATE (RFC 9113, section 6.9); stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, _WORD.pack(increment))


def goaway_frame(last_stream_id: int, code: ErrorCode, debug: bytes = b"") -> bytes:
    """GOAWAY (RFC 9113, section 6.8)."""
    return frame(GOAWAY, 0, 0, _WORD.pack(last_stream_id) + _WORD.pack(code) + debug)


def headers_frames(stream_id: int, block: bytes, max_frame: int, *, end_stream: bool) -> bytes:
    """HEADERS, and CONTINUATION where the block exceeds one frame (RFC 9113, section 6.10)."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= max_frame:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [block[at : at + max_frame] for at in range(0, len(block), max_frame)]
    last = len(pieces) - 1
    return frame(HEADERS, flags, stream_id, pieces[0]) + b"".join(
        frame(CONTINUATION, END_HEADERS if at == last else 0, stream_id, piece)
        for at, piece in enumerate(pieces[1:], 1)
    )


def word_of(payload: bytes) -> int:
    """The 32-bit number that a RST_STREAM or WINDOW_UPDATE payload is made of.

    Raises:
        ProtocolError: FRAME_SIZE_ERROR when the payload is not four octets (RFC 9113, 6.4, 6.9).
    """
    if len(payload) != _WORD.size:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a payload of four octets was due")
    value: int = _WORD.unpack(payload)[0]
    return value


def unpadded(flags: int, payload: bytes) -> bytes:
    """The payload of DATA or HEADERS without its padding (RFC 9113, sections 6.1 and 6.2).

    Raises:
        ProtocolError: PROTOCOL_ERROR when the padding is as long as the payload or longer.
    """
    if not flags & PADDED:
        return payload
    if not payload:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without a pad length")
    if payload[0] >= len(payload):
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "more padding than payload")
    return payload[1 : len(payload) - payload[0]]
