"""The key by which erased names that stay suppressed are known again."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

_PURPOSE: Final = b"clarion.erased-names.1"
_BLOCK: Final = 64
"""SHA-256's block in octets."""


def session_settings(master_key: bytes) -> Mapping[str, str]:
    """What a session with PostgreSQL has to have set: HMAC's padded key (RFC 2104 section 2).

    The key is made of the master key, so it is never in the database, nor in a dump of it.
    """
    key = hmac.digest(master_key, _PURPOSE, hashlib.sha256).ljust(_BLOCK, b"\0")
    pads = (bytes(octet ^ pad for octet in key) for pad in (0x36, 0x5C))
    return {"clarion.names_key": "".join(block.hex() for block in pads)}
