"""A message as quiet hours of action `silent` deliver it: shown, and nobody is disturbed."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from clarion.domain.content import Json, Message, Priority
from clarion.domain.network import Network

_QUIETLY: Final[Mapping[Network, Mapping[str, Json]]] = MappingProxyType(
    {
        Network.APNS: {"payload": {"aps": {"sound": None, "interruption-level": "passive"}}},
        Network.FCM: {
            "android": {
                "notification": {
                    "sound": None,
                    "default_sound": False,
                    "default_vibrate_timings": False,
                    "notification_priority": "PRIORITY_LOW",
                }
            },
            "apns": {"payload": {"aps": {"sound": None, "interruption-level": "passive"}}},
            "webpush": {"headers": {"Urgency": "low"}},
        },
        Network.WEBPUSH: {"notification": {"silent": True}},
    }
)
"""What is laid over each network's payload (see each provider's `payload`)."""


def silenced(message: Message) -> Message:
    """The message without sound, vibration or a lit screen; one that shows nothing is as it was."""
    content = message.content
    if content.title is None and content.subtitle is None and content.body is None:
        return message
    overrides = {
        network: _laid(content.overrides.get(network, {}), quietly)
        for network, quietly in _QUIETLY.items()
    }
    return replace(
        message,
        content=replace(content, sound=None, overrides={**content.overrides, **overrides}),
        priority=Priority.LOW,
    )


def _laid(own: Mapping[str, Json], over: Mapping[str, Json]) -> dict[str, Json]:
    """One override over another; None stays, for it takes away what the network would have."""
    result = dict(own)
    for key, value in over.items():
        before = result.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            result[key] = _laid(before, value)
        else:
            result[key] = value
    return result
