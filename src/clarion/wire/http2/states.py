"""The life of a connection as a table: (state, input) → state; what is absent is refused."""

from enum import Enum
from typing import Final


class State(Enum):
    """Where a connection stands."""

    AWAITING_SETTINGS = "awaiting_settings"
    """Our preface may be sent; no request is, before the server's SETTINGS (RFC 9113, 3.4)."""
    OPEN = "open"
    DRAINING = "draining"
    """No new request; open streams may finish (RFC 9113, section 6.8)."""
    CLOSED = "closed"


class Input(Enum):
    """What moves a connection on."""

    SETTINGS = "settings"
    GOAWAY = "goaway"
    IDS_USED_UP = "ids_used_up"
    DRAIN_ASKED = "drain_asked"
    LAST_STREAM_ENDED = "last_stream_ended"
    FAULT = "fault"


TRANSITIONS: Final[dict[tuple[State, Input], State]] = {
    (State.AWAITING_SETTINGS, Input.SETTINGS): State.OPEN,
    (State.AWAITING_SETTINGS, Input.DRAIN_ASKED): State.DRAINING,
    (State.AWAITING_SETTINGS, Input.FAULT): State.CLOSED,
    (State.OPEN, Input.SETTINGS): State.OPEN,
    (State.OPEN, Input.GOAWAY): State.DRAINING,
    (State.OPEN, Input.IDS_USED_UP): State.DRAINING,
    (State.OPEN, Input.DRAIN_ASKED): State.DRAINING,
    (State.OPEN, Input.FAULT): State.CLOSED,
    (State.DRAINING, Input.SETTINGS): State.DRAINING,
    (State.DRAINING, Input.GOAWAY): State.DRAINING,
    (State.DRAINING, Input.DRAIN_ASKED): State.DRAINING,
    (State.DRAINING, Input.LAST_STREAM_ENDED): State.CLOSED,
    (State.DRAINING, Input.FAULT): State.CLOSED,
}
