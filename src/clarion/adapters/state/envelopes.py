"""Messages and targets as the JSON that the state store keeps."""

from collections.abc import Sequence

import msgspec

from clarion.domain.app_rules import Moment
from clarion.domain.content import Message
from clarion.ports.messages import Target

_MESSAGE = msgspec.json.Decoder(Message)
_TARGET = msgspec.json.Decoder(Target)
_MESSAGES = msgspec.json.Decoder(list[Message])
_MOMENT = msgspec.json.Decoder(Moment)
_ANY_MOMENT = Moment()


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


def encode_messages(messages: Sequence[Message]) -> bytes:
    """The variants of a message as JSON bytes."""
    return msgspec.json.encode(messages)


def decode_messages(content: bytes) -> list[Message]:
    """The variants that `encode_messages` wrote."""
    return _MESSAGES.decode(content)


def encode_moment(moment: Moment) -> str | None:
    """What a sender asked for as JSON text; None for nothing."""
    return None if moment == _ANY_MOMENT else msgspec.json.encode(moment).decode()


def decode_moment(text: str | None) -> Moment:
    """The moment that `encode_moment` wrote."""
    return _ANY_MOMENT if text is None else _MOMENT.decode(text)
