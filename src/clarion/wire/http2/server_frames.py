"""The form of frames that a client sends, checked as RFC 9113 section 6 demands."""

from typing import Final

from clarion.wire.http2 import frames
from clarion.wire.http2.errors import ErrorCode, ProtocolError

_SETTING_OCTETS: Final = 6
_PRIORITY_OCTETS: Final = 5
_GOAWAY_OCTETS: Final = 8
_LARGEST_MAX_FRAME: Final = (1 << 24) - 1

_LENGTHS: Final = {
    frames.PRIORITY: _PRIORITY_OCTETS,
    frames.RST_STREAM: 4,
    frames.PING: 8,
    frames.WINDOW_UPDATE: 4,
}
_OF_THE_CONNECTION: Final = frozenset({frames.SETTINGS, frames.PING, frames.GOAWAY})
_OF_A_STREAM: Final = frozenset({frames.PRIORITY, frames.RST_STREAM, frames.CONTINUATION})


def check_form(kind: int, stream: int, payload: bytes) -> None:
    """Check a frame other than DATA and HEADERS for its length and its stream.

    Raises:
        ProtocolError: FRAME_SIZE_ERROR or PROTOCOL_ERROR. A PRIORITY frame of wrong length is a
            stream error by section 6.3; section 5.4.1 allows to treat it as the connection's.
    """
    length = _LENGTHS.get(kind)
    if length is not None and len(payload) != length:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"frame type {kind} has {length} octets")
    if kind == frames.GOAWAY and len(payload) < _GOAWAY_OCTETS:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY below 8 octets")
    if stream and kind in _OF_THE_CONNECTION:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"frame type {kind} on a stream")
    if not stream and kind in _OF_A_STREAM:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"frame type {kind} on stream 0")


def header_fragment(flags: int, payload: bytes) -> bytes:
    """What a HEADERS frame holds without padding and deprecated priority (section 6.2).

    Raises:
        ProtocolError: the frame is too short for what its flags promise.
    """
    fragment = frames.unpadded(flags, payload)
    if not flags & frames.WITH_PRIORITY:
        return fragment
    if len(fragment) < _PRIORITY_OCTETS:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS too short for its priority")
    return fragment[_PRIORITY_OCTETS:]


def read_settings(flags: int, payload: bytes) -> list[tuple[int, int]] | None:
    """The pairs of a SETTINGS frame in order, unknown ones too; None for an acknowledgement.

    Raises:
        ProtocolError: where section 6.5 demands it.
    """
    if flags & frames.ACK:
        if payload:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS ACK with a payload")
        return None
    if len(payload) % _SETTING_OCTETS:
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS length is no multiple of 6")
    pairs = list(frames.settings_of(payload))
    for key, value in pairs:
        _check_setting(key, value)
    return pairs


def _check_setting(key: int, value: int) -> None:
    if key == frames.ENABLE_PUSH and value > 1:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is neither 0 nor 1")
    if key == frames.INITIAL_WINDOW_SIZE and value > frames.MAX_WINDOW:
        raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE too large")
    if key == frames.MAX_FRAME_SIZE and not frames.DEFAULT_MAX_FRAME <= value <= _LARGEST_MAX_FRAME:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "MAX_FRAME_SIZE out of range")
