"""Capability URLs: whoever holds one may do one thing, and nobody can guess one.

RFC 8030 section 8.3 wants at least 120 bits that can't be guessed. A token is what it stands for,
sealed with AES-SIV (RFC 5297): it is opened without asking a database, so a forged, truncated or
altered one is refused at no cost but a decryption. AES-SIV needs no nonce, so the same thing
always has the same URL, and a repeat can't weaken the key.
"""

import binascii
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_OCTETS: Final = 64
TAG_OCTETS: Final = 16
MAX_TOKEN_CHARS: Final = 256
_READ: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
"""From base64url to base64; what only the other alphabet has becomes what neither has."""
_WRITE: Final = bytes.maketrans(b"+/", b"-_")
_PADDING: Final = (b"", b"", b"==", b"=")


class CapabilityKind(Enum):
    """What a token is for; a token of one kind never opens as another."""

    ENDPOINT = b"push resource"
    MESSAGE = b"push message resource"
    RECEIPTS = b"receipt subscription"
    DEVICE = b"device"

    def __init__(self, value: bytes) -> None:
        self.associated = [value]
        """The data that goes into the seal, as the cipher takes it."""


class CapabilityError(ValueError):
    """A token is not one that this key made for this use."""


@dataclass(frozen=True, slots=True)
class CapabilitySeal:
    """Makes and opens tokens under one key."""

    _cipher: AESSIV = field(repr=False)

    @classmethod
    def derive(cls, master_key: bytes) -> Self:
        """The seal that belongs to a master key (HKDF, RFC 5869)."""
        kdf = HKDF(SHA512(), KEY_OCTETS, salt=None, info=b"clarion push service capability 1")
        return cls(AESSIV(kdf.derive(master_key)))

    def close(self, kind: CapabilityKind, content: bytes) -> str:
        """The token that stands for `content`: base64url without padding."""
        sealed = self._cipher.encrypt(content, kind.associated)
        text = binascii.b2a_base64(sealed, newline=False).rstrip(b"=")
        return text.translate(_WRITE).decode("ascii")

    def open(self, kind: CapabilityKind, token: str, octets: int) -> bytes:
        """What a token stands for, `octets` long.

        Raises:
            CapabilityError: forged, truncated, altered, or of another kind or length.
        """
        if len(token) > MAX_TOKEN_CHARS:
            raise CapabilityError("no such resource")
        try:
            text = token.encode("ascii").translate(_READ) + _PADDING[len(token) % 4]
            sealed = binascii.a2b_base64(text, strict_mode=True)
            if len(sealed) != octets + TAG_OCTETS:
                raise CapabilityError("no such resource")
            return self._cipher.decrypt(sealed, kind.associated)
        except (UnicodeEncodeError, binascii.Error, InvalidTag) as error:
            raise CapabilityError("no such resource") from error
