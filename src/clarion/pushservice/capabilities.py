"""What the service's capability URLs stand for: push resources, messages, receipts, devices."""

import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from clarion.ports.pushservice import DeviceNumber, PushId, SubscriptionNumber
from clarion.wire.capability import CapabilityError, CapabilityKind, CapabilitySeal

OPEN: Final = "/wpush/v1/"
"""Push resources that anybody with the URL may push to."""
RESTRICTED: Final = "/wpush/v2/"
"""Push resources that are bound to a VAPID key (RFC 8292 section 4)."""
MESSAGE: Final = "/m/"
RECEIPTS: Final = "/r/"

_TOKEN_AT: Final = slice(len(OPEN), None)
"""Where the token stands in the path of a push resource of either sort."""
_PUSH: Final = CapabilityKind.ENDPOINT
_SENT: Final = CapabilityKind.MESSAGE
_ENDPOINT: Final = struct.Struct(">qq16s")
_BOUND: Final = struct.Struct(">qq16s32s")
_MESSAGE: Final = struct.Struct(">qq")
NAME_OCTETS: Final = 16


class Endpoint(NamedTuple):
    """One push resource."""

    device: DeviceNumber
    subscription: SubscriptionNumber
    channel: bytes
    key_hash: bytes | None
    """SHA-256 of the VAPID key that it is restricted to."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Makes and reads the service's URLs.

    Attributes:
        origin: of every URL, without a slash at its end.
    """

    seal: CapabilitySeal
    origin: str

    def endpoint_url(self, endpoint: Endpoint) -> str:
        """The URL that application servers push to."""
        numbers = endpoint.device, endpoint.subscription, endpoint.channel
        if endpoint.key_hash is None:
            token = self.seal.close(_PUSH, _ENDPOINT.pack(*numbers))
            return f"{self.origin}{OPEN}{token}"
        bound = _BOUND.pack(*numbers, endpoint.key_hash)
        return f"{self.origin}{RESTRICTED}{self.seal.close(_PUSH, bound)}"

    def endpoint(self, path: str) -> Endpoint:
        """Which push resource a path names; no database is asked.

        Raises:
            CapabilityError: none that we made.
        """
        if path.startswith(RESTRICTED):
            content = self.seal.open(_PUSH, path[_TOKEN_AT], _BOUND.size)
            return Endpoint._make(_BOUND.unpack(content))
        if path.startswith(OPEN):
            content = self.seal.open(_PUSH, path[_TOKEN_AT], _ENDPOINT.size)
            device, subscription, channel = _ENDPOINT.unpack(content)
            return Endpoint(device, subscription, channel, None)
        raise CapabilityError("no such resource")

    def message_url(self, subscription: SubscriptionNumber, push: PushId) -> str:
        """The URL of a message: the same each time, so that a receipt can name it."""
        token = self.seal.close(_SENT, _MESSAGE.pack(subscription, push))
        return f"{self.origin}{MESSAGE}{token}"

    def message(self, path: str) -> tuple[SubscriptionNumber, PushId]:
        """Which message a path names.

        Raises:
            CapabilityError: none that we made.
        """
        token = path.removeprefix(MESSAGE)
        content = self.seal.open(_SENT, token, _MESSAGE.size)
        subscription, push = _MESSAGE.unpack(content)
        return subscription, push

    def receipts_url(self, reader: bytes) -> str:
        """The URL of a receipt subscription."""
        token = self.seal.close(CapabilityKind.RECEIPTS, reader)
        return f"{self.origin}{RECEIPTS}{token}"

    def receipts(self, reference: str) -> bytes:
        """Which receipt subscription a path, or a URL of ours, names.

        Raises:
            CapabilityError: none that we made.
        """
        path = reference.removeprefix(self.origin)
        if not path.startswith(RECEIPTS):
            raise CapabilityError("no such resource")
        return self.seal.open(CapabilityKind.RECEIPTS, path[len(RECEIPTS) :], NAME_OCTETS)

    def device_token(self, name: bytes) -> str:
        """What an app on a device identifies itself with."""
        return self.seal.close(CapabilityKind.DEVICE, name)

    def device(self, token: str) -> bytes:
        """Which device a token names.

        Raises:
            CapabilityError: none that we made.
        """
        return self.seal.open(CapabilityKind.DEVICE, token, NAME_OCTETS)
