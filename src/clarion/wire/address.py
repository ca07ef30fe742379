"""IP addresses: which are public, and every way to write an IPv4 address as a host.

The tables are the IANA special-purpose address registries (RFC 6890 and its updates), spelled
out here because the standard library's own answer changes between Python versions.
"""

from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
)

_NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network, RFC 791
            "10.0.0.0/8",  # private, RFC 1918
            "100.64.0.0/10",  # shared address space (CGNAT), RFC 6598
            "127.0.0.0/8",  # loopback, RFC 1122
            "169.254.0.0/16",  # link local, RFC 3927; cloud metadata lives here
            "172.16.0.0/12",  # private, RFC 1918
            "192.0.0.0/24",  # IETF protocol assignments, RFC 6890
            "192.0.2.0/24",  # documentation, RFC 5737
            "192.31.196.0/24",  # AS112, RFC 7535
            "192.52.193.0/24",  # AMT, RFC 7450
            "192.88.99.0/24",  # 6to4 relay anycast, RFC 7526
            "192.168.0.0/16",  # private, RFC 1918
            "192.175.48.0/24",  # AS112, RFC 7534
            "198.18.0.0/15",  # benchmarking, RFC 2544
            "198.51.100.0/24",  # documentation, RFC 5737
            "203.0.113.0/24",  # documentation, RFC 5737
            "224.0.0.0/4",  # multicast, RFC 5771
            "240.0.0.0/4",  # reserved and broadcast, RFC 1112
        ),
    )
)

_GLOBAL_UNICAST_V6 = IPv6Network("2000::/3")
"""RFC 4291: all that is assigned for the public Internet. Outside lie loopback, unspecified,
IPv4-compatible, discard-only 100::/64, local NAT64 64:ff9b:1::/48, SRv6 5f00::/16, unique local
fc00::/7, link local fe80::/10, site local fec0::/10 and multicast ff00::/8."""
_NOT_PUBLIC_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments: Teredo, benchmarking, ORCHID, AS112
            "2001:db8::/32",  # documentation, RFC 3849
            "2002::/16",  # 6to4: the IPv4 address inside could be anyone's, RFC 3056
            "2620:4f:8000::/48",  # AS112, RFC 7534
            "3fff::/20",  # documentation, RFC 9637
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
"""RFC 6052: behind DNS64 every IPv4-only host looks like this; judged by the address inside."""

_MAX_PARTS = 4
_IPV4_BITS = 32


def canonical_address(text: str) -> str | None:
    """The one canonical text of an IP address, or None if the text is not one.

    An IPv4-mapped IPv6 address becomes the IPv4 address that a connection would reach. An
    address with a zone, or IPv4 in an unusual notation, is not one.
    """
    address = _parse(text)
    return None if address is None else str(address)


def is_public(address: str) -> bool:
    """Tell whether an address is one of the public Internet's; anything unreadable is not."""
    parsed = _parse(address)
    if parsed is None:
        return False
    if isinstance(parsed, IPv6Address) and parsed in _NAT64:
        parsed = IPv4Address(int(parsed) & (2**_IPV4_BITS - 1))
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _NOT_PUBLIC_V4)
    return parsed in _GLOBAL_UNICAST_V6 and not any(parsed in network for network in _NOT_PUBLIC_V6)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        if ":" not in text:
            return IPv4Address(text)
        if "%" in text:  # RFC 6874: a zone means something on one machine only
            return None
        address = IPv6Address(text)
    except AddressValueError:
        return None
    return address if address.ipv4_mapped is None else address.ipv4_mapped


def ipv4_number(host: str) -> int | None:
    """Read a host as resolvers and browsers read IPv4: `127.1`, `0x7f000001`, `0177.0.0.1`.

    This is the WHATWG URL Standard's parser, which is what inet_aton does too.

    Returns:
        None if the host is a name (its last label is not a number); the address as a number; or
        -1 if it ends in a number but is no address, so that nothing may treat it as a name.
    """
    parts = host.split(".")
    if _part(parts[-1]) is None and not parts[-1].isdigit():
        return None
    numbers = [_part(part) for part in parts]
    if len(numbers) > _MAX_PARTS:
        return -1
    address = 0
    for number in numbers[:-1]:
        if number is None or number > 0xFF:  # noqa: PLR2004  an octet
            return -1
        address = address << 8 | number
    last = numbers[-1]
    bits = _IPV4_BITS - 8 * (len(numbers) - 1)
    if last is None or last >= 1 << bits:
        return -1
    return address << bits | last


def _part(text: str) -> int | None:
    """One part: decimal, octal with a leading 0, hexadecimal with a leading 0x."""
    if not text.isascii():
        return None
    try:
        if text[:2] in {"0x", "0X"}:
            return int(text[2:] or "0", 16) if text[2:].isalnum() or text == text[:2] else None
        if not text.isdigit():
            return None
        return int(text, 8 if text[0] == "0" else 10)
    except ValueError:
        return None
