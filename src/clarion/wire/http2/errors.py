"""What can go wrong on a connection, and the codes the wire gives it (RFC 9113, section 7)."""

from enum import Enum, IntEnum


class ErrorCode(IntEnum):
    """Error codes of RST_STREAM and GOAWAY (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


class Cause(Enum):
    """Why a connection is over."""

    DRAINED = "drained"
    """It finished what it had promised: after a GOAWAY, a drain, or the last stream id."""
    PEER_BROKE_PROTOCOL = "peer_broke_protocol"
    STATEFUL_HEADERS = "stateful_headers"
    """The peer used a header table we had set to size 0: read this host with full HPACK."""
    STUCK = "stuck"
    """Work was open and nothing came of it for longer than the watchdog allows."""
    SILENT = "silent"
    """A PING, or our preface, was left without an answer."""
    LOST = "lost"
    """The transport ended."""


class ProtocolError(Exception):
    """A connection error (RFC 9113, section 5.4.1): the connection ends with GOAWAY."""

    def __init__(self, code: ErrorCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.cause = Cause.PEER_BROKE_PROTOCOL


class StatefulHeadersError(ProtocolError):
    """The peer's answer leans on a header table that we had set to size 0 (RFC 7541, 4.2)."""

    def __init__(self) -> None:
        super().__init__(
            ErrorCode.COMPRESSION_ERROR, "an answer uses the header table although its size is 0"
        )
        self.cause = Cause.STATEFUL_HEADERS


class StreamError(Exception):
    """A stream error (RFC 9113, section 5.4.2): the stream ends with RST_STREAM."""

    def __init__(self, code: ErrorCode, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
