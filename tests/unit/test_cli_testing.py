"""What users get for their own tests."""

import asyncio
import ssl

import httpx
import pytest

from clarion.testing import (
    ManualClock,
    apns_token,
    device_body,
    fcm_token,
    message_body,
    simulate_apns,
    simulate_fcm,
    simulate_webpush,
)

pytest_plugins = ["clarion.testing.pytest_plugin"]


async def test_a_manual_clock_wakes_sleepers_in_order(manual_clock: ManualClock) -> None:
    """Who sleeps longer wakes later, and nobody before their time."""
    woken: list[int] = []

    async def sleeper(seconds: int) -> None:
        await manual_clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (20, 10, 0)]
    await asyncio.sleep(0.01)
    assert woken == [0]
    manual_clock.advance(10)
    await asyncio.sleep(0.01)
    assert woken == [0, 10]
    manual_clock.advance(100)
    await asyncio.gather(*tasks)
    assert woken == [0, 10, 20]
    assert manual_clock.monotonic() == 110


def test_time_does_not_go_back(manual_clock: ManualClock) -> None:
    """Not even in tests."""
    with pytest.raises(ValueError, match="back"):
        manual_clock.advance(-1)


def test_factories_make_what_the_networks_take() -> None:
    """Tokens are well-formed, differ by number, and are the same in every run."""
    assert len(apns_token(1)) == 64
    assert apns_token(1) == apns_token(1) != apns_token(2)
    assert fcm_token(1) == fcm_token(1) != fcm_token(2)
    assert ":APA91b" in fcm_token()
    assert device_body("apns", 3, model="x")["model"] == "x"
    assert message_body()["to"] == {"all": True}
    assert message_body("ada")["to"] == {"users": ["ada"]}


def test_simulators_serve_from_a_thread() -> None:
    """A synchronous test can use them, over TLS with the authority that they name."""
    for simulate in (simulate_apns, simulate_fcm, simulate_webpush):
        with simulate() as network:
            context = ssl.create_default_context(cafile=network.ca_file)
            with httpx.Client(http2=True, verify=context, trust_env=False) as http:
                assert http.get(f"{network.url}/_counts").json()["requests"] == 0
            assert network.accepted() == {}
            assert network.settings["CLARION_EGRESS_CA_FILE"] == str(network.ca_file)


def test_subscriptions_belong_to_the_simulator() -> None:
    """Their endpoints lead to it."""
    with simulate_webpush() as network:
        subscriptions = network.subscribe(2)
    assert all(subscription.endpoint.startswith(network.url) for subscription in subscriptions)
