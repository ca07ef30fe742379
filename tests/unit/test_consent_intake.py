"""Addresses that name no household, and wishes that change what they say."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.category import BORN, Category, DefaultState, Kind
from clarion.domain.consent_intake import Asked, truncated_address
from clarion.domain.preference import Bits, Frequency, PreferenceError, frequency, offered, wish

CATEGORIES = [
    *BORN,
    Category(slug="news", kind=Kind.MARKETING, slot=5, default_state=DefaultState.DOUBLE_OPT_IN),
    Category(slug="tips", kind=Kind.SYSTEM, slot=62, default_state=DefaultState.IN),
]
MASKS = st.integers(0, 2**63 - 1)


@given(st.ip_addresses())
def test_an_address_keeps_no_more_than_its_network(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """24 bits of IPv4, 48 of IPv6; IPv4 inside IPv6 is IPv4."""
    network = ipaddress.ip_network(truncated_address(str(address)))
    mapped = getattr(address, "ipv4_mapped", None)
    assert (mapped or address) in network
    assert network.prefixlen == (24 if network.version == 4 else 48)


def test_what_is_no_address_is_refused() -> None:
    """A zone id is left out."""
    assert truncated_address("fe80::1%eth0") == "fe80::/48"
    for text in ("", "localhost", "1.2.3", "::1/64", "1.2.3.4:80"):
        with pytest.raises(ValueError, match="does not appear"):
            truncated_address(text)


@given(st.sampled_from(CATEGORIES), MASKS, MASKS, MASKS, MASKS, st.sampled_from(Frequency))
def test_a_wish_comes_true(
    category: Category, granted: int, denied: int, daily: int, weekly: int, wanted: Frequency
) -> None:
    """What is offered can be had, and asking for what is changes no consent."""
    bits = Bits(granted=granted, denied=denied & ~granted, daily=daily, weekly=weekly)
    now = frequency(category, bits)
    if wanted not in offered(category):
        with pytest.raises(PreferenceError):
            wish(category, bits, wanted)
        return
    done = wish(category, bits, wanted)
    if wanted is now:
        assert done.asked is None
    bit = 1 << category.slot
    yes = done.asked is Asked.GRANTED
    no = done.asked is Asked.WITHDRAWN
    after = Bits(
        granted=(bits.granted & ~bit) | bit if yes else bits.granted & ~bit if no else bits.granted,
        denied=(bits.denied & ~bit) | bit if no else bits.denied & ~bit if yes else bits.denied,
        daily=bits.daily | bit if done.daily else bits.daily & ~bit,
        weekly=bits.weekly | bit if done.weekly else bits.weekly & ~bit,
    )
    assert frequency(category, after) is wanted
