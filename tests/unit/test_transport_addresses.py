"""Where connections may go."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.adapters.net.addresses import find_addresses
from clarion.ports.transport import EgressForbiddenError, Origin
from clarion.wire.endpoint import NOBODY, AllowList


class Names:
    """A resolver with one answer that counts how often it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The answer."""
        self.asked.append((host, port))
        return self.addresses


PUBLIC = Origin(host="push.example.com", port=443, guarded=True)


async def test_the_checked_addresses_are_the_ones_returned() -> None:
    """One look-up, and what it said is what is connected to."""
    names = Names("93.184.215.14", "2606:2800:220:1::1")
    found = await find_addresses(PUBLIC, allow=NOBODY, resolver=names, proxied=False)
    assert found == ("93.184.215.14", "2606:2800:220:1::1")
    assert names.asked == [("push.example.com", 443)]


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "::ffff:10.0.0.1", "x"],
)
@pytest.mark.parametrize("proxied", [False, True])
async def test_no_private_address_passes_the_guard(address: str, *, proxied: bool) -> None:
    """Not even beside public ones, nor behind a proxy."""
    names = Names("93.184.215.14", address)
    with pytest.raises(EgressForbiddenError):
        await find_addresses(PUBLIC, allow=NOBODY, resolver=names, proxied=proxied)


@pytest.mark.parametrize("host", ["localhost", "printer.lan", "127.0.0.1", "::1", "2130706433"])
async def test_some_hosts_are_refused_before_any_look_up(host: str) -> None:
    """Special names, private literals and addresses in disguise."""
    names = Names("93.184.215.14")
    with pytest.raises(EgressForbiddenError):
        await find_addresses(
            Origin(host=host, port=443, guarded=True), allow=NOBODY, resolver=names, proxied=False
        )
    assert names.asked == []


async def test_a_listed_host_may_have_any_address() -> None:
    """The operator trusts it."""
    allow = AllowList.parse(["push.lan"])
    origin = Origin(host="push.lan", port=8443, guarded=True)
    found = await find_addresses(origin, allow=allow, resolver=Names("10.0.0.1"), proxied=False)
    assert found == ("10.0.0.1",)


async def test_an_unguarded_host_behind_a_proxy_is_left_to_the_proxy() -> None:
    """Networks behind a proxy often resolve nothing themselves."""
    names = Names()
    origin = Origin(host="api.push.apple.com", port=443)
    found = await find_addresses(origin, allow=NOBODY, resolver=names, proxied=True)
    assert found == ("api.push.apple.com",)
    assert names.asked == []


async def test_a_name_without_address_is_an_os_error() -> None:
    """Like a resolver's own failure."""
    origin = Origin(host="api.push.apple.com", port=443)
    with pytest.raises(OSError, match="no address"):
        await find_addresses(origin, allow=NOBODY, resolver=Names(), proxied=False)


@given(st.lists(st.ip_addresses().map(str), min_size=1, max_size=9, unique=True))
async def test_both_families_are_tried_early(addresses: list[str]) -> None:
    """The first stays first, the second is of the other family where there is one (RFC 8305)."""
    origin = Origin(host="api.push.apple.com", port=443)
    found = await find_addresses(origin, allow=NOBODY, resolver=Names(*addresses), proxied=False)
    assert found[0] == addresses[0]
    assert set(found) <= set(addresses)
    assert len(found) == min(6, len(addresses))
    if len({":" in address for address in addresses}) == 2:
        assert (":" in found[0]) != (":" in found[1])
