"""Delivery networks and the facts about them that rules need."""

from collections.abc import Mapping
from enum import IntEnum
from types import MappingProxyType


class Network(IntEnum):
    """A delivery network. The number is stored: never reuse one."""

    APNS = 1
    FCM = 2
    WEBPUSH = 3

    @property
    def label(self) -> str:
        """The name used in the API, in metrics and on the command line."""
        return self.name.lower()


class Environment(IntEnum):
    """Which of Apple's two worlds an APNs token belongs to."""

    UNKNOWN = 0
    PRODUCTION = 1
    SANDBOX = 2


class TokenKind(IntEnum):
    """What a token names at its network (FCM is moving from tokens to installation ids)."""

    TOKEN = 0
    FID = 1


NETWORK_BY_LABEL = {network.label: network for network in Network}

DEFAULT_PER_MINUTE: Mapping[Network, int] = MappingProxyType({Network.FCM: 600_000})
"""Sends per minute and credential where a network states a quota (FCM: per project)."""
