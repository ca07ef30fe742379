"""Fixtures for your own tests: `pytest_plugins = ["clarion.testing.pytest_plugin"]`."""

from collections.abc import Iterator

import pytest

from clarion.testing.clock import ManualClock
from clarion.testing.simulators import Network, simulate_apns, simulate_fcm, simulate_webpush


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that moves when told."""
    return ManualClock()


@pytest.fixture
def simulated_apns() -> Iterator[Network]:
    """Apple's push service on this machine, without faults."""
    with simulate_apns() as network:
        yield network


@pytest.fixture
def simulated_fcm() -> Iterator[Network]:
    """FCM on this machine, without faults."""
    with simulate_fcm() as network:
        yield network


@pytest.fixture
def simulated_webpush() -> Iterator[Network]:
    """A browser's push service on this machine, without faults."""
    with simulate_webpush() as network:
        yield network
