"""For your own tests: a clock that you move, bodies and credentials, and the networks' simulators.

Put `pytest_plugins = ["clarion.testing.pytest_plugin"]` into your `conftest.py` for the fixtures,
or use what is here by hand.
"""

from clarion.testing.clock import ManualClock
from clarion.testing.factories import (
    apns_token,
    device_body,
    fcm_token,
    make_apns_credential,
    make_fcm_credential,
    message_body,
)
from clarion.testing.simulators import (
    Network,
    simulate_apns,
    simulate_fcm,
    simulate_webpush,
)

__all__ = [
    "ManualClock",
    "Network",
    "apns_token",
    "device_body",
    "fcm_token",
    "make_apns_credential",
    "make_fcm_credential",
    "message_body",
    "simulate_apns",
    "simulate_fcm",
    "simulate_webpush",
]
