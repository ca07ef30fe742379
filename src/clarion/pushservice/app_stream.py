"""The simple protocol for apps, as bytes: JSON messages down, acknowledgements up.

Sans-I/O. The same JSON goes over a WebSocket and as server-sent events; the id of a message is the
cursor to resume from.
"""

import base64
import re
from typing import Final

import msgspec
import orjson

from clarion.ports.pushservice import Push, PushCoding, PushId, PushUrgency
from clarion.pushservice.autopush import channel_text
from clarion.wire.websocket import CloseCode, WebSocketError

SUBPROTOCOL: Final = "clarion-push"
MEDIA_TYPE: Final = b"text/event-stream"
KEEP_ALIVE: Final = b": still here\n\n"

_CURSOR: Final = re.compile(r"[0-9a-f]{1,16}", re.ASCII)
_FLOORS: Final = {
    "very-low": PushUrgency.VERY_LOW,
    "low": PushUrgency.LOW,
    "normal": PushUrgency.NORMAL,
    "high": PushUrgency.HIGH,
}
_CODINGS: Final = {PushCoding.AES128GCM: "aes128gcm", PushCoding.AESGCM: "aesgcm"}


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """What an app says: everything up to `ack` has arrived."""

    ack: str


_DECODER: Final = msgspec.json.Decoder(_Said)


def read_cursor(text: str | None) -> PushId | None:
    """A cursor; None for none, and for what is not one of ours."""
    return PushId(int(text, 16)) if text is not None and _CURSOR.fullmatch(text) else None


def read_floor(text: str | None) -> PushUrgency | None:
    """The least urgency that is wanted (RFC 8030 section 5.3); None for a word that is none."""
    return PushUrgency.VERY_LOW if text is None else _FLOORS.get(text)


def read_ack(text: bytes) -> PushId:
    """What has arrived.

    Raises:
        WebSocketError: it is no acknowledgement.
    """
    try:
        cursor = read_cursor(_DECODER.decode(text).ack)
    except msgspec.DecodeError as error:
        raise WebSocketError(CloseCode.POLICY, f'not {{"ack":"<id>"}}: {error}') from None
    if cursor is None:
        raise WebSocketError(CloseCode.POLICY, "ack names no id of ours")
    return cursor


def say_push(push: Push) -> bytes:
    """A message as one line of JSON."""
    said: dict[str, str | None] = {
        "id": f"{push.id:x}",
        "subscription": channel_text(push.channel),
    }
    if push.coding is not PushCoding.NONE:
        said["data"] = base64.urlsafe_b64encode(push.body).rstrip(b"=").decode()
        said["encoding"] = _CODINGS[push.coding]
    elif push.body:
        said["data"] = base64.urlsafe_b64encode(push.body).rstrip(b"=").decode()
    if push.coding is PushCoding.AESGCM:
        said |= {"encryption": push.encryption, "crypto_key": push.crypto_key}
    return orjson.dumps(said)


def event(push: Push) -> bytes:
    """A message as a server-sent event."""
    return b"id: %x\nevent: push\ndata: %b\n\n" % (push.id, say_push(push))
