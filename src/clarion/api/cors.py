"""Which pages may call us from a browser: only endpoints that a `device` key opens."""

from collections.abc import Sequence
from typing import Final

from clarion.api.exchange import Exchange, Headers
from clarion.api.routing import Route

MAX_AGE_S: Final = 7200
_EXPOSED: Final = b"X-Request-Id, RateLimit, RateLimit-Policy, Retry-After"


def headers(call: Exchange, route: Sequence[Route], allowed: frozenset[str]) -> Headers:
    """The CORS header fields of an answer (Fetch section 3.2); none for other endpoints.

    A device key is public and travels in a header, never in a cookie, so any origin may be
    allowed; credentials are never.
    """
    origin = call.header(b"origin")
    if origin is None or not route or not route[0].public:
        return ()
    if "*" not in allowed and origin not in allowed:
        return ((b"vary", b"Origin"),)
    common = (
        (b"access-control-allow-origin", b"*" if "*" in allowed else origin.encode("latin-1")),
        (b"access-control-expose-headers", _EXPOSED),
        (b"vary", b"Origin"),
    )
    if call.method != "OPTIONS":
        return common
    return (
        *common,
        (b"access-control-allow-methods", route[0].method.encode()),
        (b"access-control-allow-headers", b"Authorization, Content-Type, X-Request-Id"),
        (b"access-control-max-age", b"%d" % MAX_AGE_S),
    )
