"""What is kept of a client's address, and as whom it is counted."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.client_address import counted_address, truncated_address


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


@given(st.ip_addresses(v=6), st.integers(0, 2**80 - 1))
def test_a_site_is_counted_once_however_many_addresses_it_has(
    address: ipaddress.IPv6Address, other: int
) -> None:
    """Its /48 is what it was given; IPv4 inside IPv6 is that address of IPv4."""
    neighbour = ipaddress.IPv6Address(int(address) >> 80 << 80 | other)
    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert counted_address(str(address)) == counted_address(str(neighbour))
    assert counted_address(counted_address(str(address))) == counted_address(str(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_counted_for_itself(address: ipaddress.IPv4Address) -> None:
    """However it arrived."""
    assert counted_address(str(address)) == counted_address(f"::ffff:{address}") == str(address)


def test_what_is_no_address_is_counted_as_it_is() -> None:
    """A Unix socket has none; a zone id is left out."""
    assert counted_address("local") == "local"
    assert counted_address("fe80::1%eth0") == "fe80::/48"
