"""Which pages may speak with the push service as apps on devices do (Fetch section 3.2).

A device's token travels in a field and never in a cookie, so any origin may be allowed; credentials
are never. Which ones are is the operator's choice: a page anywhere could otherwise make whoever
looks at it a client of a service that only their network reaches. A WebSocket has no such question
(RFC 6455 section 10.2), so what other pages send is refused, not only kept from them.
"""

from typing import Final

from clarion.pushservice.refusals import Refusal, RefusedError
from clarion.pushservice.requests import Answer, Fields, Request

PATHS: Final = "/v1/"
"""What pages may ask: a device, its subscriptions, its stream, its acknowledgements."""
MAX_AGE_S: Final = 7200
_EXPOSED: Final = b"Retry-After"
_METHODS: Final = b"GET, POST, PUT, DELETE"
_FIELDS: Final = b"Authorization, Content-Type, Last-Event-ID"
_OF_PAGES: Final = frozenset({"http", "https", "null", "file"})
_VARY: Final = (b"vary", b"Origin")


def fields(request: Request, allowed: frozenset[str]) -> Fields:
    """Header fields that let a page read the answer; none where nobody asked as a page."""
    origin = request.fields.get("origin")
    if origin is None or not request.path.startswith(PATHS):
        return ()
    if "*" in allowed:
        shown = b"*"
    elif origin in allowed:
        shown = origin.encode("latin-1")
    else:
        return (_VARY,)
    return (
        (b"access-control-allow-origin", shown),
        (b"access-control-expose-headers", _EXPOSED),
        _VARY,
    )


def demand_known_page(request: Request, allowed: frozenset[str]) -> None:
    """Refuse what a page of another origin sends; browsers themselves and apps are no pages.

    Raises:
        RefusedError: the origin is not allowed.
    """
    origin = request.fields.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return
    scheme, _, authority = origin.partition("://")
    # Firefox opens its own connection with the service's address as the origin.
    if scheme in _OF_PAGES and authority != request.fields.get("host"):
        raise RefusedError(Refusal.ORIGIN)


def preflight(request: Request) -> Answer | None:
    """What a page may send, which browsers ask first; None for every other request."""
    if request.method != "OPTIONS" or not request.path.startswith(PATHS):
        return None
    more: Fields = (
        (b"access-control-allow-methods", _METHODS),
        (b"access-control-allow-headers", _FIELDS),
        (b"access-control-max-age", b"%d" % MAX_AGE_S),
    )
    return Answer(204, ((b"allow", b"OPTIONS, " + _METHODS), *more))
