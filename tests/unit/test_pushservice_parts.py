"""Capabilities, numbers, buckets, deadlines: the small parts of the push service."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.ports.pushservice import DeviceNumber, NodeNumber, Push, PushId, SubscriptionNumber
from clarion.pushservice.addresses import Addresses
from clarion.pushservice.capabilities import Capabilities, Endpoint
from clarion.pushservice.connections import Connections, Session
from clarion.pushservice.deadlines import Deadlines
from clarion.pushservice.limits import Buckets, PushLimits
from clarion.pushservice.numbering import Numbering
from clarion.wire.capability import CapabilityError, CapabilityKind, CapabilitySeal

SEAL = CapabilitySeal.derive(bytes(32))
URLS = Capabilities(SEAL, "https://push.example.org")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
NUMBERS = st.integers(1, 2**62)


@given(NUMBERS, NUMBERS, st.binary(min_size=16, max_size=16), st.none() | st.just(bytes(32)))
def test_endpoint_is_read_as_it_was_made_and_never_changes(
    device: int, subscription: int, channel: bytes, key: bytes | None
) -> None:
    """The URL is the whole record."""
    made = Endpoint(DeviceNumber(device), SubscriptionNumber(subscription), channel, key)
    url = URLS.endpoint_url(made)
    assert URLS.endpoint(url.removeprefix(URLS.origin)) == made
    assert URLS.endpoint_url(made) == url


@given(st.integers(0, 200), st.integers(1, 255))
def test_any_altered_token_is_refused(at: int, change: int) -> None:
    """One flipped bit is another capability, which does not exist."""
    token = SEAL.close(CapabilityKind.MESSAGE, bytes(16)).encode()
    place = at % len(token)
    altered = token[:place] + bytes([token[place] ^ change]) + token[place + 1 :]
    try:
        opened = SEAL.open(CapabilityKind.MESSAGE, altered.decode("latin-1"), 16)
    except CapabilityError:
        return
    assert opened == bytes(16)  # unused bits of the last character say nothing


def test_token_of_one_kind_is_none_of_another_nor_of_another_key() -> None:
    """A message's URL does not push."""
    token = SEAL.close(CapabilityKind.MESSAGE, bytes(16))
    with pytest.raises(CapabilityError):
        SEAL.open(CapabilityKind.RECEIPTS, token, 16)
    with pytest.raises(CapabilityError):
        CapabilitySeal.derive(bytes(31) + b"x").open(CapabilityKind.MESSAGE, token, 16)


def test_receipts_are_found_by_url_and_by_path() -> None:
    """A sender gives back the URL in `Link`."""
    url = URLS.receipts_url(bytes(16))
    assert URLS.receipts(url) == URLS.receipts(url.removeprefix(URLS.origin)) == bytes(16)
    with pytest.raises(CapabilityError):
        URLS.receipts("https://other.example/r/x")


@given(st.lists(st.integers(-5000, 5000), min_size=2, max_size=50))
def test_numbers_rise_whatever_the_clock_does(steps: list[int]) -> None:
    """Also where it goes back, and never below what the node may have used before."""
    numbering = Numbering(NodeNumber(7), NOW)
    floor = Numbering(NodeNumber(7), NOW).next(NOW)
    numbers = [numbering.next(NOW + timedelta(milliseconds=step)) for step in steps]
    assert numbers == sorted(set(numbers))
    assert min(numbers) >= floor
    assert max(numbers) < 2**63


def test_nodes_never_give_the_same_number() -> None:
    """The node is part of it."""
    nodes = [Numbering(NodeNumber(n), NOW) for n in (0, 1, 1023)]
    numbers = [node.next(NOW) for node in nodes for _ in range(5000)]
    assert len(set(numbers)) == len(numbers)
    assert all(isinstance(PushId(n), int) for n in numbers)


def test_bucket_gives_its_burst_then_its_rate() -> None:
    """And says how long to wait."""
    buckets = Buckets(0.5, 2)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [0, 0, 2]
    assert buckets.take("b", 0.0) == 0
    assert buckets.take("a", 2.0) == 0
    assert buckets.take("a", 2.0) == 2


def test_buckets_are_bounded() -> None:
    """A hundred thousand strangers cost what a few do."""
    buckets = Buckets(1.0, 1, most=10)
    for key in range(100_000):
        assert buckets.take(key, 0.0) == 0
    assert len(buckets._held) == 10


class Thing:
    """Something with a deadline."""

    def __init__(self, deadline: float) -> None:
        self.deadline: float | None = deadline
        self.seen: list[float] = []

    def due(self, now: float) -> None:
        """Remember, and end."""
        self.seen.append(now)
        self.deadline = None


def test_deadline_that_moves_later_is_kept_for_free() -> None:
    """It is looked at where it was first, and put where it belongs."""
    deadlines, thing = Deadlines(0.0), Thing(3.0)
    deadlines.add(thing)
    thing.deadline = 6.0
    deadlines.pass_to(5.0)
    assert thing.seen == []
    deadlines.pass_to(8.0)
    assert thing.seen == [8.0]
    deadlines.pass_to(100.0)
    assert thing.seen == [8.0]


def test_addresses_are_forgotten_when_their_last_connection_ends() -> None:
    """A hundred thousand that come and go leave nothing; one that is refused neither."""
    limits = PushLimits(connections_per_address=1, handshakes_burst=2, handshakes_per_s=1.0)
    addresses = Addresses(limits, frozenset({"proxy"}))
    for number in range(100_000):
        assert addresses.enter(f"a{number}", 0.0)
        addresses.leave(f"a{number}")
    assert len(addresses) == 0
    assert addresses.enter("b", 0.0)
    assert not addresses.enter("b", 0.0)
    addresses.leave("b")
    assert not addresses.enter("b", 0.0)
    assert addresses.enter("b", 1.0)
    assert len(addresses) == 1
    assert addresses.speaks_for_others("proxy")
    assert not addresses.speaks_for_others("b")


def test_the_addresses_of_an_ipv6_site_are_one() -> None:
    """Who has a /48 has 2^80 of them."""
    limits = PushLimits(connections_per_address=2, handshakes_burst=100, handshakes_per_s=1.0)
    addresses = Addresses(limits, frozenset())
    assert addresses.enter("2001:db8:1::1", 0.0)
    assert addresses.enter("2001:db8:1:ffff::2", 0.0)
    assert not addresses.enter("2001:db8:1:2::3", 0.0)
    assert addresses.enter("2001:db8:2::1", 0.0)
    addresses.leave("2001:db8:1::/48")
    assert addresses.enter("2001:db8:1:2::3", 0.0)
    for number in range(2):
        assert addresses.enter(f"192.0.2.{number}", 0.0)
    assert len(addresses) == 4


class Line:
    """A connection to which nothing is sent."""

    crowded = False

    def push(self, push: Push) -> None:
        """Never called here."""

    def replaced(self) -> None:
        """Another one serves the device."""


def test_a_device_that_left_holds_no_memory_however_many_subscriptions_it_has() -> None:
    """It may come back as often as it likes; the connections' own circles are collected late."""
    connections = Connections(64, lambda *_: None)
    channels = {n.to_bytes(16): SubscriptionNumber(n) for n in range(1000)}
    first, second = Session(b"n" * 16, Line()), Session(b"n" * 16, Line())
    connections.seat(first, DeviceNumber(1), channels)
    connections.seat(second, DeviceNumber(1), channels)
    assert first.channels == {}
    assert second.channels == channels
    connections.leave(second)
    assert second.channels == {}
