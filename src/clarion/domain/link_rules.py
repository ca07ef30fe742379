"""Where a message may lead people, and from where their devices may load its pictures.

A message's links end in the hands of code that was not written to be careful: a page's service
worker, a web view, an app's router. What is no place (`javascript:`, `data:`) or leads into the
device itself (`file:`, `about:`) is refused, as is what hides where it leads: a name in front of
the host, control characters, space around it.

Web addresses are `https`; `http` only to hosts that the operator names, and to the device's own
(`localhost`). Every other scheme is an app's affair (`myapp://orders/1`, `tel:`, `mailto:`), and
what has no scheme is read by the page or the app that gets it. A picture has no such freedom: it
is loaded over the web or belongs to the page.
"""

import re
from collections.abc import Collection
from typing import Final

CODE: Final = "link_forbidden"
"""How a request's field is refused."""

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_CONTROL: Final = "[\x00-\x1f\x7f-\x9f\u2028\u2029]"
_UNCLEAN: Final = re.compile(_CONTROL + "|\\A\\s|\\s\\Z")
_AUTHORITY: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]{2}([^/\\?#]*)", re.ASCII)
_STRICT_AUTHORITY: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?[/\\]{2}([^/?#]*)", re.ASCII)
"""Of RFC 3986 section 3.2, which a backslash does not end, as it does in browsers."""
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)(?::[0-9]*)?")
_RELATIVE_START: Final = re.compile(r"/[^/\\]|[?#]|[^:/\\?#]+[/?#]")
_FINISHED: Final = re.compile(r"[^:]+:(?:[/\\]{2}[^/?#]*[/?#]|[^/\\])", re.ASCII)
_NO_PLACES: Final = frozenset(
    {
        "about", "blob", "chrome", "chrome-extension", "content", "data", "file", "filesystem",
        "jar", "javascript", "livescript", "mhtml", "moz-extension", "resource", "vbscript",
        "view-source",
    }
)  # fmt: skip
"""Schemes whose address is the content itself or code, or lies in the device or its browser."""
_WEB: Final = frozenset({"https", "http"})
_LOCAL_NAMES: Final = frozenset({"localhost", "[::1]"})


def refusal(text: str, http_hosts: Collection[str] = (), *, picture: bool = False) -> str | None:
    """Why nobody may be led to an address, as a sentence without the address; None where one may.

    Args:
        text: What a person's message says, with every value in it. An empty text leads nowhere.
        http_hosts: Lower-case names to which plain `http` may lead.
        picture: It is loaded, not followed.
    """
    if _UNCLEAN.search(text):
        return "An address has no control characters, and no space around it."
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found is not None else ""
    if scheme in _NO_PLACES:
        return f"`{scheme}:` is no address that a message may use."
    if scheme in _WEB:
        return _web_refusal(text, scheme, http_hosts)
    if scheme and picture:
        return "A picture is loaded over https."
    authority = _AUTHORITY.match(text)
    name = "" if authority is None else authority[1].rpartition("@")[0]
    if (name and ":" in name) or (not scheme and _names_somebody(text)):
        return _NO_CREDENTIALS
    return None


def _web_refusal(text: str, scheme: str, http_hosts: Collection[str]) -> str | None:
    """What is wrong with a web address: browsers take more for one than RFC 3986 does."""
    authority = _AUTHORITY.match(text)
    place = "" if authority is None else authority[1]
    if _names_somebody(text):
        return _NO_CREDENTIALS
    host = _HOST.fullmatch(place)
    if host is None:
        return "A web address names its host behind two slashes."
    name = host[1].lower()
    if scheme == "https" or name in http_hosts or _is_local(name):
        return None
    return "A web address is https; http only to hosts of `server.http_link_hosts`."


def _names_somebody(text: str) -> bool:
    """Whether there is a name in front of the host, for browsers or for apps."""
    found = _STRICT_AUTHORITY.match(text)  # the longer one of the two
    return found is not None and "@" in found[1]


_NO_CREDENTIALS: Final = "An address has no name or password in front of its host."


def _is_local(name: str) -> bool:
    """RFC 6761 section 6.3, RFC 1122 section 3.2.1.3: the device itself."""
    is_name = name in _LOCAL_NAMES or name.endswith(".localhost")
    return is_name or re.fullmatch(r"127(?:\.[0-9]{1,3}){3}", name, re.ASCII) is not None


def is_settled(start: str) -> bool:
    """Whether an address that begins so is judged by its beginning alone.

    What follows has to be free of control characters, as percent-encoded values are.
    """
    if re.search(_CONTROL, start):
        return False
    if _RELATIVE_START.match(start):
        return True
    return _SCHEME.match(start) is not None and _FINISHED.match(start) is not None


def start_refusal(
    start: str, http_hosts: Collection[str] = (), *, picture: bool = False
) -> str | None:
    """Why no address may begin so, whatever follows; None while one may."""
    begun = start.rstrip()
    if is_settled(begun) or _UNCLEAN.search(begun):
        return refusal(begun, http_hosts, picture=picture)
    found = _SCHEME.match(begun)
    scheme = found[1].lower() if found is not None else ""
    hopeless = scheme in _NO_PLACES or (picture and bool(scheme) and scheme not in _WEB)
    return refusal(begun, picture=picture) if hopeless else None
