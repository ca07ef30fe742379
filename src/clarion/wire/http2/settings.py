"""What each side allows the other (RFC 9113, section 6.5.2)."""

from dataclasses import dataclass

from clarion.wire.http2 import frames
from clarion.wire.http2.errors import ErrorCode, ProtocolError


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalSettings:
    """Our side of a connection: what we announce, and how patient we are.

    Attributes:
        max_streams: Our own bound on open streams, below whatever the server allows.
        stateful_headers: Announce a header table and decode with full HPACK; for hosts that
            ignore a table of size 0.
        stream_window: Octets of answer body a stream may send ahead.
        connection_window: Octets of answer bodies all streams together may send ahead; it can't
            be less than 65,535 (RFC 9113, section 6.9.2).
        max_header_list: Octets of header fields in one answer (RFC 9113, section 10.5.1).
        max_body: Octets of an answer's body we keep; a longer one breaks its stream off.
        stall_s: Watchdog: work is open and nothing has come of it for so long.
        settings_s: Patience for the server's SETTINGS.
        ping_after_s: Silence after which a PING asks whether the peer is there.
        ping_patience_s: Patience for the answer to that PING.
    """

    max_streams: int = 1000
    stateful_headers: bool = False
    stream_window: int = 1 << 20
    connection_window: int = 1 << 24
    max_header_list: int = 1 << 16
    max_body: int = 1 << 18
    stall_s: float = 20.0
    settings_s: float = 10.0
    ping_after_s: float = 30.0
    ping_patience_s: float = 10.0

    def __post_init__(self) -> None:
        if self.connection_window < frames.DEFAULT_WINDOW:
            raise ValueError("a connection's window can't be less than 65,535 octets")
        if self.stream_window < frames.DEFAULT_MAX_FRAME:
            raise ValueError("a stream's window must hold one frame of 16,384 octets")

    def announcement(self) -> bytes:
        """The frames that follow the preface: SETTINGS, and the connection's window."""
        table = {} if self.stateful_headers else {frames.HEADER_TABLE_SIZE: 0}
        settings = frames.settings_frame(
            table
            | {
                frames.ENABLE_PUSH: 0,
                frames.INITIAL_WINDOW_SIZE: self.stream_window,
                frames.MAX_HEADER_LIST_SIZE: self.max_header_list,
            }
        )
        # The connection's window starts at 65,535 and grows by WINDOW_UPDATE alone (6.9.2).
        extra = self.connection_window - frames.DEFAULT_WINDOW
        return settings + (frames.window_frame(0, extra) if extra > 0 else b"")


class PeerSettings:
    """The server's side, as its last SETTINGS left it."""

    __slots__ = ("initial_window", "max_frame", "max_streams", "table_size")

    def __init__(self) -> None:
        self.max_streams = (1 << 32) - 1  # unlimited until the server says otherwise
        self.initial_window = frames.DEFAULT_WINDOW
        self.max_frame = frames.DEFAULT_MAX_FRAME
        self.table_size = 4096

    def apply(self, key: int, value: int) -> None:
        """Takes one setting over; unknown identifiers are ignored (RFC 9113, section 6.5.2).

        Raises:
            ProtocolError: The value is outside the range the RFC gives it.
        """
        match key:
            case frames.HEADER_TABLE_SIZE:
                self.table_size = value
            case frames.ENABLE_PUSH if value:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a server can't enable push")
            case frames.MAX_CONCURRENT_STREAMS:
                self.max_streams = value
            case frames.INITIAL_WINDOW_SIZE:
                if value > frames.MAX_WINDOW:
                    raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "initial window too large")
                self.initial_window = value
            case frames.MAX_FRAME_SIZE:
                if not frames.DEFAULT_MAX_FRAME <= value < 1 << 24:
                    raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "maximum frame out of range")
                self.max_frame = value
            case _:
                pass
