"""Who is calling: a bearer key, its scope, and signed identity tokens of `device` callers."""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from clarion.api.problems import ProblemError, field_problem
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.ports.keys import KeyRecord, KeyRefusal, Keys, Scope
from clarion.wire.jose import JoseError, parse_jwt

RANK: Final[Mapping[Scope, int]] = {Scope.DEVICE: 0, Scope.SEND: 1, Scope.ADMIN: 2}
"""A scope opens what every lower one opens."""

MAX_KEY_CHARS: Final = 256
CLOCK_SKEW_S: Final = 60
MAX_IDENTITY_AGE_S: Final = 30 * 24 * 3600
"""An identity token that is good for longer than this would be a password."""

_REFUSALS: Final[Mapping[KeyRefusal, tuple[ErrorCode, str]]] = {
    KeyRefusal.MALFORMED: (ErrorCode.KEY_INVALID, "This is not a key of this server."),
    KeyRefusal.UNKNOWN: (ErrorCode.KEY_INVALID, "This is not a key of this server."),
    KeyRefusal.REVOKED: (ErrorCode.KEY_REVOKED, "The key was revoked."),
    KeyRefusal.EXPIRED: (ErrorCode.KEY_EXPIRED, "The key has expired."),
}


async def authenticate(keys: Keys, header: str | None, now: datetime) -> KeyRecord:
    """The key of an `Authorization: Bearer` header (RFC 6750 section 2.1).

    Raises `ProblemError`, 401 with `WWW-Authenticate` (RFC 9110 section 11.6.1).
    """
    if header is None:
        raise _challenge(ErrorCode.KEY_MISSING, "Send `Authorization: Bearer <API key>`.")
    scheme, _, text = header.partition(" ")
    text = text.strip(" ")
    if scheme.lower() != "bearer" or not text:
        raise _challenge(ErrorCode.KEY_MISSING, "Send `Authorization: Bearer <API key>`.")
    if len(text) > MAX_KEY_CHARS or not text.isascii() or not text.isprintable():
        raise _challenge(*_REFUSALS[KeyRefusal.MALFORMED], error="invalid_token")
    found = await keys.check(text, now)
    if isinstance(found, KeyRefusal):
        raise _challenge(*_REFUSALS[found], error="invalid_token")
    return found


def require(key: KeyRecord, needed: Scope) -> None:
    """Raises `ProblemError`, 403 (RFC 6750 section 3.1), when the key's scope is too small."""
    if RANK[key.scope] < RANK[needed]:
        raise ProblemError(
            ErrorCode.SCOPE_INSUFFICIENT,
            f"This needs a key of scope `{needed}`; yours has `{key.scope}`.",
            headers={
                "www-authenticate": f'Bearer realm="clarion", error="insufficient_scope", '
                f'scope="{needed}"'
            },
        )


def check_identity(token: str | None, secret: bytes, external_id: str, now: datetime) -> None:
    """Check that the app's server vouches for the person: an HS256 JWT with `sub` and `exp`.

    The app signs {"sub": external id, "exp": seconds} with the secret that it shares with us
    (RFC 7519 section 4.1; RFC 8725 section 3.1: no other algorithm is taken). Raises
    `ProblemError`, 401.
    """
    if token is None:
        raise ProblemError(
            ErrorCode.IDENTITY_TOKEN_REQUIRED,
            "This app demands an identity token signed by its server.",
            errors=[field_problem("/identity_token", FieldCode.MISSING, "It is missing.")],
            headers={"www-authenticate": 'Bearer realm="clarion identity"'},
        )
    try:
        jwt = parse_jwt(token)
    except (JoseError, UnicodeError) as error:
        raise _bad_identity(f"{error}") from None
    good = hmac.new(secret, jwt.signing_input, hashlib.sha256).digest()
    if jwt.header.get("alg") != "HS256" or "crit" in jwt.header:
        raise _bad_identity("it must be signed with HS256")
    if not hmac.compare_digest(good, jwt.signature):
        raise _bad_identity("its signature does not match")
    if jwt.claims.get("sub") != external_id:
        raise _bad_identity("its `sub` is another person")
    _check_times(jwt.claims.get("exp"), jwt.claims.get("nbf"), now.timestamp())


def _check_times(expires: object, not_before: object, now: float) -> None:
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise _bad_identity("it needs an `exp`")
    if expires <= now - CLOCK_SKEW_S:
        raise _bad_identity("it has expired")
    if expires > now + MAX_IDENTITY_AGE_S:
        raise _bad_identity("its `exp` is more than 30 days away")
    if isinstance(not_before, int | float) and not_before > now + CLOCK_SKEW_S:
        raise _bad_identity("its `nbf` has not come")


def _bad_identity(why: str) -> ProblemError:
    detail = f"The identity token is not valid: {why}."
    return ProblemError(
        ErrorCode.IDENTITY_TOKEN_INVALID,
        detail,
        errors=[field_problem("/identity_token", FieldCode.INVALID, detail)],
        headers={"www-authenticate": 'Bearer realm="clarion identity", error="invalid_token"'},
    )


def _challenge(code: ErrorCode, detail: str, error: str | None = None) -> ProblemError:
    challenge = 'Bearer realm="clarion"' + (f', error="{error}"' if error else "")
    return ProblemError(code, detail, headers={"www-authenticate": challenge})
