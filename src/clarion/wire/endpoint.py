"""The egress guard for Web Push endpoints, its pure part.

A subscription's endpoint is a URL that strangers give us and that our senders then call. The
guard decides twice: `decide` on the URL when it is registered and again before it is used, and
`check_addresses` on what the name resolved to. The connection must then go to exactly the
addresses that were checked, or a second look-up could answer with another one (DNS rebinding).
No redirect is ever followed.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Self, TypeAlias

from clarion.wire.address import canonical_address, ipv4_number, is_public

MAX_URL_CHARS = 2048
MAX_HOST_CHARS = 253
"""RFC 1035 section 2.3.4, without the length octets."""
DEFAULT_PORTS = {"https": 443, "http": 80}
FIRST_FREE_PORT = 1024
WELL_KNOWN_PORTS = frozenset({443, 1001})
"""HTTPS, and the port that RFC 8030 section 3 names; above them only unprivileged ports."""
MAX_PORT = 65_535

SPECIAL_NAMES = frozenset(
    {
        "alt", "corp", "home", "home.arpa", "internal", "intranet", "invalid", "lan", "local",
        "localdomain", "localhost", "mail", "onion", "private", "test",
    }
)  # fmt: skip
"""Names that never lead to a public host (RFC 6761, RFC 6762 appendix G, RFC 8375, ICANN)."""

_URL = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.DOTALL
)
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>[0-9]{0,6}))?", re.ASCII)
_TARGET = re.compile(r"[!-~]*", re.ASCII)
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.ASCII)


class Refusal(StrEnum):
    """Why an endpoint may not be called."""

    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    SCHEME = "scheme"
    USERINFO = "userinfo"
    FRAGMENT = "fragment"
    PORT = "port"
    HOST = "host"
    DISGUISED_ADDRESS = "disguised_address"
    SPECIAL_NAME = "special_name"
    PRIVATE_ADDRESS = "private_address"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointUrl:
    """An endpoint in canonical parts.

    Attributes:
        scheme: `https` or `http`.
        host: lower-case ASCII name, or an address in canonical text without brackets.
        port: 1 to 65535, the scheme's default filled in.
        target: path and query as they stand in the request line.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def is_address(self) -> bool:
        """Tell whether the host is an IP literal, which needs no resolver."""
        return canonical_address(self.host) is not None

    @property
    def authority(self) -> str:
        """Host and non-default port, as `:authority`, `Host` and an origin write them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """ASCII serialisation of the origin (RFC 6454 section 6.2)."""
        return f"{self.scheme}://{self.authority}"

    @property
    def url(self) -> str:
        """The canonical URL."""
        return self.origin + self.target


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The endpoint may not be called.

    Attributes:
        reason: for metrics and problem documents.
        detail: a sentence for the person who gave the endpoint; never holds its path.
    """

    reason: Refusal
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The URL may be called once its addresses have passed `check_addresses`.

    Attributes:
        url: the canonical parts.
        listed: the host is on the operator's allow list, so any address will do.
    """

    url: EndpointUrl
    listed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """The addresses, canonical and in the resolver's order, that may be connected to."""

    addresses: tuple[str, ...]


Decision: TypeAlias = Allowed | Refused


class EndpointError(ValueError):
    """A URL or an allow-list entry cannot be read.

    Attributes:
        reason: which rule it breaks.
    """

    def __init__(self, reason: Refusal, detail: str) -> None:
        self.reason = reason
        super().__init__(detail)


@dataclass(frozen=True, slots=True)
class AllowList:
    """Hosts that the operator trusts although they are private, plain http, or oddly named.

    Attributes:
        entries: canonical `host` (any port) or `host:port`, IPv6 in brackets when with a port.
    """

    entries: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """Read the setting: `127.0.0.1`, `push.lan`, `localhost:8081`, `[::1]:8081`, `::1`.

        Raises:
            EndpointError: if an entry is neither a host nor a host with a port.
        """
        return cls(frozenset(map(_allow_entry, entries)))

    def holds(self, url: EndpointUrl) -> bool:
        """Tell whether the URL's host, or its host and port, is listed."""
        return url.host in self.entries or f"{url.host} {url.port}" in self.entries


NOBODY = AllowList()


def _allow_entry(entry: str) -> str:
    text = entry.strip()
    bare = canonical_address(text)
    if bare is not None:
        return bare
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise EndpointError(Refusal.HOST, f"{entry!r} is not a host or host:port")
    host = _host(match["host"])
    return host if match["port"] is None else f"{host} {_port(match['port'], 0)}"


def parse_url(url: str) -> EndpointUrl:
    """Read an endpoint URL into canonical parts; syntax only, no policy.

    Raises:
        EndpointError: if it is too long, holds anything but visible ASCII outside the host, has
            another scheme than http(s), user information, a fragment, or a host or port that
            cannot be; also if the host is an IPv4 address in a disguise (decimal, octal, hex,
            short form), which no honest push service uses.
    """
    if len(url) > MAX_URL_CHARS:
        raise EndpointError(
            Refusal.TOO_LONG, f"the endpoint has {len(url)} characters; at most {MAX_URL_CHARS}"
        )
    match = _URL.fullmatch(url)
    if match is None:
        raise EndpointError(Refusal.MALFORMED, "the endpoint is not an absolute URL")
    scheme = match["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise EndpointError(Refusal.SCHEME, f"the endpoint's scheme is {scheme}, not https")
    if "@" in match["authority"]:
        raise EndpointError(Refusal.USERINFO, "the endpoint holds user information")
    if "#" in match["rest"]:
        raise EndpointError(Refusal.FRAGMENT, "the endpoint holds a fragment")
    if not _TARGET.fullmatch(match["rest"]) or "\\" in url:
        raise EndpointError(
            Refusal.MALFORMED, "the endpoint's path holds a character that must be percent-encoded"
        )
    parts = _AUTHORITY.fullmatch(match["authority"])
    if parts is None:
        raise EndpointError(Refusal.HOST, "the endpoint's host or port cannot be read")
    target = match["rest"] if match["rest"].startswith("/") else "/" + match["rest"]
    return EndpointUrl(
        scheme=scheme,
        host=_host(parts["host"]),
        port=_port(parts["port"], DEFAULT_PORTS[scheme]),
        target=target,
    )


def _port(text: str | None, default: int) -> int:
    if not text:  # RFC 3986 section 3.2.3: an empty port is the default port
        text = str(default)
    port = int(text)
    if not 1 <= port <= MAX_PORT:
        raise EndpointError(Refusal.PORT, f"{port} is not a port")
    return port


def _host(text: str) -> str:
    if text.startswith("["):
        try:
            return str(IPv6Address(_without_zone(text[1:-1])))
        except AddressValueError as error:
            raise EndpointError(Refusal.HOST, "the endpoint's IPv6 address is wrong") from error
    host = _to_ascii(text).removesuffix(".")
    number = ipv4_number(host)
    if number is None:
        _check_name(host)
        return host
    try:
        canonical = str(IPv4Address(number))
    except AddressValueError as error:
        raise EndpointError(Refusal.HOST, "the endpoint's host ends in a number") from error
    if canonical != text:
        raise EndpointError(
            Refusal.DISGUISED_ADDRESS,
            f"the endpoint's host is another way to write the address {canonical}",
        )
    return canonical


def _without_zone(address: str) -> str:
    if "%" in address:  # RFC 6874: a zone means something on one machine only
        raise EndpointError(Refusal.HOST, "the endpoint's IPv6 address carries a zone")
    return address


def _to_ascii(host: str) -> str:
    """Lower-case, and IDNA for other scripts; full-width digits and dots become ASCII here."""
    if host.isascii():
        return host.lower()
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError as error:
        raise EndpointError(Refusal.HOST, "the endpoint's host is not a domain name") from error


def _check_name(host: str) -> None:
    if len(host) > MAX_HOST_CHARS or not all(map(_LABEL.fullmatch, host.split("."))):
        raise EndpointError(Refusal.HOST, "the endpoint's host is not a domain name")


def decide(url: str, allow: AllowList = NOBODY) -> Decision:
    """Decide whether an endpoint may be called, as far as its URL tells.

    Args:
        url: what the client registered.
        allow: the operator's list; a listed host may use http, any port and any address.
    """
    try:
        parsed = parse_url(url)
    except EndpointError as error:
        return Refused(reason=error.reason, detail=str(error))
    if allow.holds(parsed):
        return Allowed(url=parsed, listed=True)
    refused = _policy(parsed)
    return Allowed(url=parsed, listed=False) if refused is None else refused


def _policy(url: EndpointUrl) -> Refused | None:
    if url.scheme != "https":
        return Refused(reason=Refusal.SCHEME, detail="the endpoint's scheme is http, not https")
    if url.port not in WELL_KNOWN_PORTS and url.port < FIRST_FREE_PORT:
        return Refused(reason=Refusal.PORT, detail=f"port {url.port} is not open to push services")
    if url.is_address:
        if is_public(url.host):
            return None
        return Refused(
            reason=Refusal.PRIVATE_ADDRESS, detail=f"the address {url.host} is not public"
        )
    labels = url.host.split(".")
    suffixes = {labels[-1], ".".join(labels[-2:])}
    if len(labels) == 1 or suffixes & SPECIAL_NAMES:
        return Refused(
            reason=Refusal.SPECIAL_NAME, detail=f"the host {url.host} is not a public name"
        )
    return None


def check_addresses(allowed: Allowed, addresses: Sequence[str]) -> Pinned | Refused:
    """Check what the host resolved to; connect to the pinned addresses and to no other.

    One address that is not public refuses them all: an honest name does not mix the two.

    Args:
        allowed: what `decide` returned.
        addresses: every address that the resolver gave, in its order; the host itself if it
            is an IP literal.
    """
    canonical = [canonical_address(address) for address in addresses]
    if not canonical or None in canonical:
        return Refused(
            reason=Refusal.UNRESOLVED, detail=f"the host {allowed.url.host} has no usable address"
        )
    pinned = tuple(address for address in canonical if address is not None)
    if allowed.listed:
        return Pinned(addresses=pinned)
    for address in pinned:
        if not is_public(address):
            return Refused(
                reason=Refusal.PRIVATE_ADDRESS,
                detail=f"the host {allowed.url.host} resolves to {address}, which is not public",
            )
    return Pinned(addresses=pinned)
