"""The keys by which erased names that stay suppressed are known again."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

_PURPOSE: Final = b"clarion.erased-names.1"
_BLOCK: Final = 64
"""SHA-256's block in octets."""


def session_settings(master_keys: Sequence[bytes]) -> Mapping[str, str]:
    """What a session with PostgreSQL has to have set: HMAC's padded keys (RFC 2104 section 2).

    The keys are made of the master keys, the present one first, so none is ever in the database,
    nor in a dump of it. No master key: nothing is set, and the session fails where one is needed.
    """
    return {"clarion.names_key": ",".join(map(_padded, master_keys))} if master_keys else {}


def _padded(master_key: bytes) -> str:
    key = hmac.digest(master_key, _PURPOSE, hashlib.sha256).ljust(_BLOCK, b"\0")
    pads = (bytes(octet ^ pad for octet in key) for pad in (0x36, 0x5C))
    return "".join(block.hex() for block in pads)
