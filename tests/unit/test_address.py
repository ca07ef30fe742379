"""Which IP addresses are public."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.wire import address

NOT_PUBLIC = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/128",
    "::1/128",
    "::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/32",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
]


@pytest.mark.parametrize("block", NOT_PUBLIC)
def test_special_blocks_are_not_public_from_first_to_last_address(block: str) -> None:
    """Private, loopback, link local, CGNAT, documentation, multicast, tunnels and the rest."""
    network = ipaddress.ip_network(block)
    assert not address.is_public(str(network[0]))
    assert not address.is_public(str(network[-1]))


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255",
     "172.32.0.0", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
     "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2a00::1", "2003::1"],
)  # fmt: skip
def test_neighbours_of_special_blocks_are_public(text: str) -> None:
    """A block ends where its registry says."""
    assert address.is_public(text)


def test_addresses_with_ipv4_inside_are_judged_by_it() -> None:
    """IPv4-mapped and well-known NAT64 reach the IPv4 address that they hold."""
    for prefix in ("::ffff:", "64:ff9b::"):
        assert address.is_public(prefix + "8.8.8.8")
        assert not address.is_public(prefix + "127.0.0.1")
        assert not address.is_public(prefix + "169.254.169.254")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        "127.1",
        "0x7f.1",
        "1.2.3.4/32",
        "fe80::1%eth0",
        "2606:4700::1%1",
        "01.1.1.1",
    ],
)
def test_text_that_is_no_canonical_address_is_not_public(text: str) -> None:
    """Nothing that cannot be read is trusted."""
    assert not address.is_public(text)
    assert address.canonical_address(text) is None


@given(st.ip_addresses())
def test_what_we_call_public_the_standard_library_calls_global(
    found: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Our tables are never more trusting than Python's."""
    if address.is_public(str(found)):
        inside = getattr(found, "ipv4_mapped", None) or found
        nat64 = isinstance(inside, ipaddress.IPv6Address) and str(inside).startswith("64:ff9b::")
        assert nat64 or inside.is_global


@given(st.ip_addresses())
def test_canonical_text_is_a_fixed_point(
    found: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """Canonical once is canonical for ever."""
    canonical = address.canonical_address(str(found))
    assert canonical is not None
    assert address.canonical_address(canonical) == canonical
