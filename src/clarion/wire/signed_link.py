"""Signed links: who may open one page of one person until when, without a login.

The text is base64url (RFC 4648 section 5, no padding) of 18 octets that say it and 32 octets of
HMAC-SHA-256 (RFC 2104) over them. The purpose is part of what is signed, so that a link made for
one thing opens no other.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Final

_FORM: Final = struct.Struct(">BBIQI")
"""Version, key's number, app, user, expiry in minutes since the epoch."""
_VERSION: Final = 1
TOKEN_CHARS: Final = 67
_MINUTE_S: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkClaim:
    """What a link says, whether or not it is true."""

    key: int
    """Which of the app's keys signed it, 0 to 255."""
    app: int
    user: int
    expires_s: int
    """Seconds since the epoch; a whole minute."""


def sign(claim: LinkClaim, secret: bytes, purpose: bytes) -> str:
    """The text of a link; its expiry is rounded down to a minute."""
    said = _FORM.pack(_VERSION, claim.key, claim.app, claim.user, claim.expires_s // _MINUTE_S)
    return base64.urlsafe_b64encode(said + _mac(said, secret, purpose)).rstrip(b"=").decode()


def claim_of(text: str) -> LinkClaim | None:
    """What a link says; None when it is not of our form. Nothing is checked yet."""
    octets = _octets(text)
    if octets is None:
        return None
    version, key, app, user, minutes = _FORM.unpack_from(octets)
    if version != _VERSION:
        return None
    return LinkClaim(key=key, app=app, user=user, expires_s=minutes * _MINUTE_S)


def is_genuine(text: str, secret: bytes, purpose: bytes) -> bool:
    """Whether the key of that secret signed this text for this purpose."""
    octets = _octets(text)
    if octets is None:
        return False
    said, mac = octets[: _FORM.size], octets[_FORM.size :]
    return hmac.compare_digest(mac, _mac(said, secret, purpose))


def _octets(text: str) -> bytes | None:
    if len(text) != TOKEN_CHARS or not text.isascii():
        return None
    try:
        octets = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    # One text for each link: spare bits of the last character must be 0.
    return octets if base64.urlsafe_b64encode(octets).rstrip(b"=").decode() == text else None


def _mac(said: bytes, secret: bytes, purpose: bytes) -> bytes:
    return hmac.new(
        secret, len(purpose).to_bytes(2, "big") + purpose + said, hashlib.sha256
    ).digest()
