"""The egress guard: which endpoints may be called, and at which addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.wire import endpoint
from clarion.wire.endpoint import (
    Allowed,
    AllowList,
    EndpointError,
    EndpointUrl,
    Pinned,
    Refusal,
    Refused,
)

PUBLIC = "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABk"


def reason(url: str, *allowed: str) -> Refusal | None:
    """Why a URL is refused, None if it is not."""
    decision = endpoint.decide(url, AllowList.parse(allowed))
    return decision.reason if isinstance(decision, Refused) else None


def allowed(url: str, *hosts: str) -> Allowed:
    """The decision about a URL that is allowed."""
    decision = endpoint.decide(url, AllowList.parse(hosts))
    assert isinstance(decision, Allowed)
    return decision


@pytest.mark.parametrize(
    "url",
    [
        PUBLIC,
        "https://fcm.googleapis.com/fcm/send/abc:APA91-_",
        "https://web.push.apple.com/QGk",
        "https://wns2-par02p.notify.windows.com/w/?token=BQYA%2b",
        "https://push.example.net:8443/up?x=1",
        "https://push.example.net:1001/",
        "https://push.example.net",
        "https://8.8.8.8/x",
        "https://[2606:4700::1111]/x",
        "https://bücher.example/x",
        "https://my_host.example.org./x",
    ],
)
def test_real_endpoints_are_allowed(url: str) -> None:
    """The browsers' services and any UnifiedPush server on the public Internet."""
    assert reason(url) is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", Refusal.MALFORMED),
        ("push.example.net/x", Refusal.MALFORMED),
        ("//push.example.net/x", Refusal.MALFORMED),
        (" https://push.example.net/x", Refusal.MALFORMED),
        ("https:/push.example.net/x", Refusal.MALFORMED),
        ("javascript:alert(1)", Refusal.MALFORMED),
        ("https://push.example.net/" + "a" * 2048, Refusal.TOO_LONG),
        ("http://push.example.net/x", Refusal.SCHEME),
        ("ftp://push.example.net/x", Refusal.SCHEME),
        ("file:///etc/passwd", Refusal.SCHEME),
        ("gopher://push.example.net/x", Refusal.SCHEME),
        ("https://user@push.example.net/x", Refusal.USERINFO),
        ("https://push.example.net:443@127.0.0.1/x", Refusal.USERINFO),
        ("https://push.example.net\\@127.0.0.1/x", Refusal.USERINFO),
        ("https://push.example.net/x#y", Refusal.FRAGMENT),
        ("https://push.example.net#@127.0.0.1/", Refusal.FRAGMENT),
        ("https://push.example.net/a b", Refusal.MALFORMED),
        ("https://push.example.net/a\r\nHost: x", Refusal.MALFORMED),
        ("https://push.example.net/a\x00", Refusal.MALFORMED),
        ("https://push.example.net/é", Refusal.MALFORMED),
        ("https://push.example.net/\\x", Refusal.MALFORMED),
        ("https://push\texample.net/x", Refusal.HOST),
        ("https://push.example.net\n/x", Refusal.HOST),
        ("https:///x", Refusal.HOST),
        ("https://:443/x", Refusal.HOST),
        ("https://a..b/x", Refusal.HOST),
        ("https://-a.example.org/x", Refusal.HOST),
        ("https://a-.example.org/x", Refusal.HOST),
        ("https://" + "a" * 64 + ".example.org/x", Refusal.HOST),
        ("https://" + "a." * 127 + "org/x", Refusal.HOST),
        ("https://%31%32%37.0.0.1/x", Refusal.HOST),
        ("https://push℀.example.net/x", Refusal.HOST),
        ("https://push.example.net:abc/x", Refusal.HOST),
        ("https://push.example.net:4430000/x", Refusal.HOST),
        ("https://push.example.net:0/x", Refusal.PORT),
        ("https://push.example.net:65536/x", Refusal.PORT),
        ("https://push.example.net:22/x", Refusal.PORT),
        ("https://push.example.net:80/x", Refusal.PORT),
        ("https://push.example.net:-1/x", Refusal.HOST),
        ("https://push.example.net:٤٤٣/x", Refusal.HOST),
    ],
)
def test_bad_urls_are_refused_with_their_reason(url: str, expected: Refusal) -> None:
    """Each rule of the syntax has its reason."""
    assert reason(url) is expected


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "a.localhost", "printer.local", "metadata.google.internal",
     "intranet", "nas.lan", "router.home.arpa", "x.onion", "localhost.", "db.corp",
     "kubernetes.default"],
)  # fmt: skip
def test_names_that_are_never_public_are_refused(host: str) -> None:
    """A name of one label or under a special-use domain stays inside."""
    expected = None if host == "kubernetes.default" else Refusal.SPECIAL_NAME
    assert reason(f"https://{host}/x") is expected


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "0.0.0.0",  # noqa: S104  refused
     "[::1]", "[::]", "[fe80::1]", "[fd00::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
     "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[2001:0:7f00:1::]"],
)  # fmt: skip
def test_literal_addresses_that_are_not_public_are_refused(host: str) -> None:
    """IPv4 and IPv6, and IPv4 inside IPv6."""
    assert reason(f"https://{host}/x") is Refusal.PRIVATE_ADDRESS


@pytest.mark.parametrize(
    "host",
    ["2130706433", "0x7f000001", "017700000001", "127.1", "127.0.1", "0x7f.1", "0177.0.0.1",
     "127.0.0.1.", "127.000.000.001", "0x7F.0x0.0x0.0x1", "1", "0", "0x", "8.8.2056",
     "１２７.0.0.1", "127。0。0。1", "①②⑦.0.0.1"],  # noqa: RUF001  the disguise is the point
)  # fmt: skip
def test_addresses_in_disguise_are_refused(host: str) -> None:
    """Decimal, octal, hexadecimal, short, zero-padded, dotted, full-width: all name an address."""
    assert reason(f"https://{host}/x") is Refusal.DISGUISED_ADDRESS


@pytest.mark.parametrize(
    "host",
    ["256.0.0.1", "1.2.3.4.5", "4294967296", "0x100000000", "a.1", "1.2.3.0x", "1..2", "089.0.0.1",
     "[::1", "::1", "[::1%eth0]", "[::1%25eth0]", "[1:2]", "[]", "[127.0.0.1]", "[::g]"],
)  # fmt: skip
def test_hosts_that_look_like_addresses_and_are_none_are_refused(host: str) -> None:
    """What ends in a number is never taken for a name; zones mean nothing to others."""
    refused = reason(f"https://{host}/x")
    assert refused in {Refusal.HOST, Refusal.DISGUISED_ADDRESS}


def test_allow_listed_host_may_be_private_and_plain() -> None:
    """The operator's own push server in the next room."""
    for url, entry in (
        ("http://127.0.0.1:8081/x", "127.0.0.1"),
        ("http://127.0.0.1:8081/x", "127.0.0.1:8081"),
        ("http://[::1]:8081/x", "::1"),
        ("http://[::1]:8081/x", "[::1]:8081"),
        ("https://push.lan:22/x", " Push.LAN. "),
        ("http://localhost/x", "localhost:80"),
        ("https://BÜCHER.lan/x", "xn--bcher-kva.lan"),
    ):
        assert allowed(url, entry).listed


def test_allow_list_entry_with_a_port_holds_for_that_port_only() -> None:
    """`localhost:8081` does not open port 22."""
    assert reason("http://localhost:22/x", "localhost:8081") is Refusal.SCHEME
    assert reason("https://localhost:22/x", "localhost:8081") is Refusal.PORT


def test_allow_list_does_not_reach_subdomains() -> None:
    """An entry names one host."""
    assert reason("https://evil.push.lan/x", "push.lan") is Refusal.SPECIAL_NAME


def test_public_host_is_not_marked_as_listed() -> None:
    """Its addresses are still checked."""
    assert not allowed(PUBLIC).listed


@pytest.mark.parametrize(
    "entry",
    ["", "*", "*.lan", "http://a", "a/b", "a:b", "a:", "a:0", "a:70000", "10.0.0.0/8", "127.1"],
)
def test_allow_list_entry_that_is_no_host_is_refused(entry: str) -> None:
    """A mistake in the settings is told at once, not taken for nothing."""
    with pytest.raises(EndpointError):
        AllowList.parse([entry])


def test_parts_are_canonical() -> None:
    """Equal endpoints have equal parts."""
    url = endpoint.parse_url("HTTPS://Push.Example.NET.:0443/A?b=%2F")
    assert url == EndpointUrl(scheme="https", host="push.example.net", port=443, target="/A?b=%2F")
    assert (url.origin, url.url) == (
        "https://push.example.net",
        "https://push.example.net/A?b=%2F",
    )
    assert endpoint.parse_url("https://a.example?x").target == "/?x"
    six = endpoint.parse_url("https://[2606:4700:0::0001]:8443/")
    assert (six.authority, six.is_address) == ("[2606:4700::1]:8443", True)


def test_canonical_url_is_read_as_itself() -> None:
    """Canonical form is a fixed point."""
    for text in (PUBLIC, "https://[2606:4700::1]:8443/a?b", "https://bücher.example"):
        url = endpoint.parse_url(text)
        assert endpoint.parse_url(url.url) == url


def test_connection_is_pinned_to_the_checked_addresses() -> None:
    """In the resolver's order, canonical, and IPv4-mapped taken for what it reaches."""
    found = endpoint.check_addresses(
        allowed(PUBLIC), ["2606:4700:0::1", "8.8.8.8", "::ffff:8.8.4.4"]
    )
    assert found == Pinned(addresses=("2606:4700::1", "8.8.8.8", "8.8.4.4"))


@pytest.mark.parametrize(
    "bad", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:10.0.0.1", "169.254.169.254"]
)
def test_one_private_address_refuses_them_all(bad: str) -> None:
    """A name that answers both ways is an attack (DNS rebinding)."""
    for addresses in ([bad], ["8.8.8.8", bad], [bad, "8.8.8.8"]):
        found = endpoint.check_addresses(allowed(PUBLIC), addresses)
        assert isinstance(found, Refused)
        assert found.reason is Refusal.PRIVATE_ADDRESS


@pytest.mark.parametrize("addresses", [[], ["nonsense"], ["8.8.8.8", "fe80::1%eth0"], ["127.1"]])
def test_host_without_usable_addresses_is_unresolved(addresses: list[str]) -> None:
    """Nothing that cannot be read is connected to."""
    found = endpoint.check_addresses(allowed(PUBLIC), addresses)
    assert isinstance(found, Refused)
    assert found.reason is Refusal.UNRESOLVED


def test_listed_host_may_resolve_to_private_addresses() -> None:
    """That is what the list is for."""
    decision = allowed("https://push.lan/x", "push.lan")
    assert endpoint.check_addresses(decision, ["10.0.0.7"]) == Pinned(addresses=("10.0.0.7",))


def test_refusal_never_repeats_the_path() -> None:
    """An endpoint's path is a capability; it stays out of messages and logs."""
    for url in ("http://push.example.net/secret", "https://10.0.0.1/secret", "https://a b/secret"):
        decision = endpoint.decide(url)
        assert isinstance(decision, Refused)
        assert "secret" not in decision.detail


@given(st.text(max_size=60))
def test_any_text_gets_a_decision(text: str) -> None:
    """No input makes the guard fail open or fall over."""
    for url in (text, f"https://{text}", f"https://{text}/", f"https://a.example:{text}/{text}"):
        decision = endpoint.decide(url)
        if isinstance(decision, Allowed):
            assert decision.url.scheme == "https"
            assert endpoint.decide(decision.url.url) == decision


@given(st.integers(0, 2**32 - 1), st.data())
def test_every_notation_of_an_ipv4_address_is_recognised(number: int, data: st.DataObject) -> None:
    """However an address is written, only its canonical form can pass, and only if public."""
    octets = number.to_bytes(4, "big")
    count = data.draw(st.integers(1, 4))
    values = [*octets[: count - 1], int.from_bytes(octets[count - 1 :], "big")]
    forms = data.draw(st.lists(st.sampled_from(["d", "#o", "#x", "#X"]), min_size=4, max_size=4))
    host = ".".join(
        format(value, form).replace("0o", "0") for value, form in zip(values, forms, strict=False)
    )
    canonical = ".".join(map(str, octets))
    decision = endpoint.decide(f"https://{host}/")
    if host != canonical:
        assert isinstance(decision, Refused)
        assert decision.reason is Refusal.DISGUISED_ADDRESS
    else:
        assert isinstance(decision, Allowed) or decision.reason is Refusal.PRIVATE_ADDRESS
