"""Messages and targets as the JSON that the state store keeps."""

import msgspec

from clarion.domain.content import Message
from clarion.ports.messages import Target

_MESSAGE = msgspec.json.Decoder(Message)
_TARGET = msgspec.json.Decoder(Target)


def encode_message(message: Message) -> bytes:
    """A message as JSON bytes."""
    return msgspec.json.encode(message)


def decode_message(envelope: bytes) -> Message:
    """The message that `encode_message` wrote."""
    return _MESSAGE.decode(envelope)


def encode_target(target: Target) -> str:
    """A target as JSON text."""
    return msgspec.json.encode(target).decode()


def decode_target(text: str) -> Target:
    """The target that `encode_target` wrote."""
    return _TARGET.decode(text)
