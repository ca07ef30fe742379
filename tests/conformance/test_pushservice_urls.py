"""What the URLs of our own push service tell about who is behind them (RFC 8030 section 8.2)."""

import base64
from collections.abc import AsyncIterator
from itertools import combinations

import pytest
from tests.e2e.push_world import World, channel, push_world

WINDOW = 5
"""Octets; two random tokens of 64 have as many in common once in three hundred million pairs."""


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


def octets(url: str) -> bytes:
    """What stands in a URL behind its path's last slash."""
    token = url.rpartition("/")[2]
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def common(one: bytes, other: bytes) -> bool:
    """Whether two tokens share a run of octets, wherever it stands."""
    runs = {one[at : at + WINDOW] for at in range(len(one) - WINDOW + 1)}
    return any(other[at : at + WINDOW] in runs for at in range(len(other) - WINDOW + 1))


async def test_push_resources_of_one_device_have_nothing_in_common(world: World) -> None:
    """MUST NOT be correlated by their contents, nor tell the device's or the channel's name."""
    browser = await world.browser()
    tokens = [octets(await browser.register(number)) for number in range(1, 9)]
    restricted = [octets(await browser.register(number, world.key)) for number in range(9, 17)]
    for one, other in combinations(tokens + restricted, 2):
        assert not common(one, other)
    names = [bytes.fromhex(browser.uaid)] + [
        bytes.fromhex(channel(number).replace("-", "")) for number in range(1, 17)
    ]
    for token in tokens + restricted:
        assert not any(common(token, name) for name in names)
    await browser.line.end()


async def test_messages_of_different_subscriptions_have_nothing_in_common(world: World) -> None:
    """A message's URL MUST NOT let anybody correlate subscriptions, nor tell the device."""
    browser = await world.browser()
    endpoints = [await browser.register(number) for number in (1, 2)]
    await browser.line.end()
    urls = [
        (await world.push(endpoint, b"x" * 90)).headers["location"]
        for endpoint in endpoints
        for _ in range(3)
    ]
    known = [octets(url) for url in [*endpoints, *urls]] + [bytes.fromhex(browser.uaid)]
    for one, other in combinations(known, 2):
        assert not common(one, other)


async def test_new_subscription_has_a_new_url_at_any_time(world: World) -> None:
    """A user agent MUST be able to make new subscriptions with new identifiers."""
    browser = await world.browser()
    first = await browser.register()
    assert await browser.register() == first
    await browser.unregister()
    second = await browser.register()
    assert not common(octets(first), octets(second))
    assert (await world.push(first, b"x" * 90)).status_code == 410
    assert (await world.push(second, TTL="0")).status_code == 201
    await browser.line.end()
