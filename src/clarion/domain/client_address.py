"""Clients' addresses: what is kept of one, and as whom limits count one."""

import ipaddress
from typing import Final

IPV4_KEPT_BITS: Final = 24
IPV6_KEPT_BITS: Final = 48
"""A site's share (RFC 6177): whoever has it, has all 2^80 addresses in it."""


def truncated_address(text: str) -> str:
    """An IP address without what names one household: /24 of IPv4, /48 of IPv6.

    IPv4 inside IPv6 (RFC 4291 section 2.5.5.2) is IPv4; a zone id (RFC 4007 section 11) is left
    out. Raises `ValueError` for what is no address.
    """
    address = _read(text)
    kept = IPV4_KEPT_BITS if address.version == 4 else IPV6_KEPT_BITS  # noqa: PLR2004  IPv4
    return str(ipaddress.ip_network((address, kept), strict=False))


def counted_address(text: str) -> str:
    """As whom limits count an address: an IPv4 address is itself, an IPv6 address its /48.

    What is no address (a Unix socket has none) stands for itself, and so does what was counted.
    """
    try:
        address = _read(text)
    except ValueError:
        return text
    return str(address) if isinstance(address, ipaddress.IPv4Address) else truncated_address(text)


def _read(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
