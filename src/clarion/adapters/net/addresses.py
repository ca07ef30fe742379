"""Where an origin's connections go: names resolved anew for each, and the egress guard.

What is checked is what is connected to: the addresses found here are handed to the socket as they
are, so no second look-up can answer with another one (DNS rebinding).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, zip_longest

from clarion.ports.transport import EgressForbiddenError, Origin
from clarion.wire.address import canonical_address
from clarion.wire.endpoint import AllowList, Refused, check_addresses, decide

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses, best first; raises `OSError` where there are none."""

Find = Callable[[], Awaitable[tuple[str, ...]]]
"""The addresses that a connection to one origin may go to; see `find_addresses`."""

_MOST_TRIED = 6


async def resolve(host: str, port: int) -> Sequence[str]:
    """Ask the system's resolver, without a cache of our own."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def find_addresses(
    origin: Origin, *, allow: AllowList, resolver: Resolver, proxied: bool
) -> tuple[str, ...]:
    """Addresses to connect to, in the order to try them; both families early on.

    Behind a proxy an origin that is not guarded keeps its name, for the proxy to resolve.

    Raises:
        EgressForbiddenError: the guard refuses the host or one of its addresses.
        OSError: the name has no address.
    """
    if not origin.guarded and proxied:
        return (origin.host,)
    allowed = decide(f"{origin.scheme}://{origin.authority}/", allow) if origin.guarded else None
    if isinstance(allowed, Refused):
        raise EgressForbiddenError(allowed.detail)
    literal = canonical_address(origin.host)
    found = [literal] if literal is not None else await resolver(origin.host, origin.port)
    if not found:
        raise OSError(f"the name {origin.host} has no address")
    if allowed is not None:
        pinned = check_addresses(allowed, found)
        if isinstance(pinned, Refused):
            raise EgressForbiddenError(pinned.detail)
        found = pinned.addresses
    return _mixed(found)[:_MOST_TRIED]


def _mixed(addresses: Sequence[str]) -> tuple[str, ...]:
    """The families by turns, the resolver's first one first (RFC 8305 section 4)."""
    v6 = [address for address in addresses if ":" in address]
    v4 = [address for address in addresses if ":" not in address]
    pair = (v6, v4) if ":" in addresses[0] else (v4, v6)
    return tuple(address for address in chain(*zip_longest(*pair)) if address is not None)
