"""The protocol that Firefox speaks with its push service, as bytes (Mozilla's autopush).

Sans-I/O: a text message in, a command or a close code out; and what the service says, as JSON.
"""

import binascii
import hashlib
import re
import struct
from typing import Final, TypeAlias

import msgspec
import orjson

from clarion.ports.pushservice import Push, PushCoding, PushId
from clarion.wire.jose import JoseError, base64url_decode
from clarion.wire.webpush_keys import WebPushError, load_point
from clarion.wire.websocket import CloseCode, WebSocketError

SUBPROTOCOL: Final = "push-notification"
DELIVERED: Final = 100
MAX_UPDATES: Final = 1_000
PING: Final = b"{}"

_LONGEST_PING: Final = 16
_BASE64URL: Final = bytes.maketrans(b"+/", b"-_")
_UAID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_UUID_PARTS: Final = struct.Struct("8s4s4s4s12s")
_NO_CODING: Final = PushCoding.NONE
_MODERN: Final = PushCoding.AES128GCM
_VERSION: Final = re.compile(r"[0-9a-f]{1,16}", re.ASCII)


class Hello(msgspec.Struct, tag_field="messageType", tag="hello"):
    """Who the browser is; a name only where it holds subscriptions."""

    use_webpush: bool = False
    uaid: str | None = None

    def name(self) -> bytes | None:
        """16 octets; None for a new browser, and for a name that is none of ours."""
        uaid = self.uaid or ""
        return bytes.fromhex(uaid) if _UAID.fullmatch(uaid) else None


class Register(msgspec.Struct, tag_field="messageType", tag="register"):
    """A new subscription, maybe restricted to a VAPID key."""

    channel: str = msgspec.field(name="channelID")
    key: str | None = None


class Unregister(msgspec.Struct, tag_field="messageType", tag="unregister"):
    """The end of a subscription: 200 by the site, 201 over its quota, 202 permission withdrawn."""

    channel: str = msgspec.field(name="channelID")
    code: int | None = None


class Update(msgspec.Struct):
    """A message that the browser has: 100 delivered, 101 not decryptable, 102 not delivered."""

    channel: str = msgspec.field(name="channelID")
    version: str = ""
    code: int | None = None

    def push(self) -> PushId | None:
        """Which message; None for a version that is none of ours."""
        return PushId(int(self.version, 16)) if _VERSION.fullmatch(self.version) else None


class Ack(msgspec.Struct, tag_field="messageType", tag="ack"):
    """Messages have arrived."""

    updates: list[Update] = []


class Nack(msgspec.Struct, tag_field="messageType", tag="nack"):
    """The site's worker failed: 301 exception, 302 rejection, 303 internal. The message counts."""

    version: str = ""
    code: int | None = None


class Broadcasts(msgspec.Struct, tag_field="messageType", tag="broadcast_subscribe"):
    """Broadcasts that the browser wants; this service has none."""

    broadcasts: dict[str, str] = {}


class Ping(msgspec.Struct, tag_field="messageType", tag="ping"):
    """The browser wants to know whether we live."""


Command: TypeAlias = Hello | Register | Unregister | Ack | Nack | Broadcasts | Ping

_DECODER: Final = msgspec.json.Decoder(Command)


def read_command(text: bytes) -> Command:
    """Read what the browser says.

    Raises:
        WebSocketError: it is no message of this protocol.
    """
    if len(text) <= _LONGEST_PING and text.strip() == PING:
        return Ping()
    try:
        command: Command = _DECODER.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WebSocketError(CloseCode.POLICY, f"not a message of this protocol: {error}") from None
    if isinstance(command, Ack) and len(command.updates) > MAX_UPDATES:
        raise WebSocketError(CloseCode.POLICY, "too many acknowledgements at once")
    return command


def channel_octets(channel: str) -> bytes:
    """A channel's 16 octets.

    Raises:
        WebSocketError: it is not a UUID in its canonical form.
    """
    if not _UUID.fullmatch(channel):
        raise WebSocketError(CloseCode.POLICY, "channelID is not a UUID in lower case")
    return bytes.fromhex(channel.replace("-", ""))


def channel_text(octets: bytes) -> str:
    """A channel as it is written."""
    return _channel(octets).decode("ascii")


def _channel(octets: bytes) -> bytes:
    return b"%b-%b-%b-%b-%b" % _UUID_PARTS.unpack(binascii.hexlify(octets))


class BadKeyError(ValueError):
    """A key to restrict a subscription to is not a point of P-256."""


def key_hash(key: str | None) -> bytes | None:
    """SHA-256 of a VAPID key that stands in base64url or base64, padded or not.

    Raises:
        BadKeyError: it is not a key.
    """
    if key is None:
        return None
    try:
        point = base64url_decode(key.rstrip("=").replace("+", "-").replace("/", "_"))
        load_point(point, "the VAPID public key")
    except (JoseError, WebPushError) as error:
        raise BadKeyError(str(error)) from error
    return hashlib.sha256(point).digest()


def say_hello(name: bytes) -> bytes:
    """The answer to `hello`. Another name than before makes Firefox drop every subscription."""
    return (
        b'{"messageType":"hello","uaid":"%b","status":200,"use_webpush":true,"broadcasts":{}}'
        % name.hex().encode()
    )


def say_registered(channel: str, endpoint: str) -> bytes:
    """The answer to `register`."""
    said = {"messageType": "register", "channelID": channel, "status": 200}
    return orjson.dumps({**said, "pushEndpoint": endpoint})


def say_failed(command: str, channel: str, status: int) -> bytes:
    """A `register` or `unregister` that did not work."""
    said = {"messageType": command, "channelID": channel, "status": status}
    return orjson.dumps({**said, "pushEndpoint": ""} if command == "register" else said)


def say_unregistered(channel: str) -> bytes:
    """The answer to `unregister`."""
    return orjson.dumps({"messageType": "unregister", "channelID": channel, "status": 200})


def say_push(push: Push) -> bytes:
    """A message, as it stands on the wire."""
    lead = b'{"messageType":"notification","channelID":"%b","version":"%x"' % (
        _channel(push.channel),
        push.id,
    )
    body, coding = push.body, push.coding
    if not body:
        return lead + b"}"
    data = binascii.b2a_base64(body, newline=False).rstrip(b"=").translate(_BASE64URL)
    if coding is _MODERN:
        return b'%b,"data":"%b","headers":{"encoding":"aes128gcm"}}' % (lead, data)
    if coding is _NO_CODING:  # from a sender that can't encrypt, to an app that knows
        return b'%b,"data":"%b","headers":{}}' % (lead, data)
    headers = orjson.dumps(
        {"encoding": "aesgcm", "encryption": push.encryption, "crypto_key": push.crypto_key}
    )
    return b'%b,"data":"%b","headers":%b}' % (lead, data, headers)
