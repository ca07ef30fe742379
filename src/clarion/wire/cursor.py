"""Pagination cursors: opaque to clients, and of no use once altered.

A cursor is base64url of `version (1 octet) || tag (16 octets) || JSON array`. The tag is
HMAC-SHA256 over the version, the scope and the array, cut to 128 bits. The scope names the
list (tenant, resource, filters, order), so that a cursor of one list is refused by another.
"""

import hmac
import json
from collections.abc import Sequence
from typing import TypeAlias

from clarion.wire.jose import JoseError, base64url_decode, base64url_encode

VERSION = 1
TAG_OCTETS = 16
MIN_KEY_OCTETS = 32
MAX_CURSOR_CHARS = 4096

Position: TypeAlias = Sequence[str | int | float | bool | None]
"""The sort keys of the last row that was given."""


class CursorError(ValueError):
    """A cursor was not made by us, for this list, with this key."""


def encode(position: Position, *, scope: str, key: bytes) -> str:
    """Write a cursor.

    Args:
        position: the sort keys of the last row.
        scope: names the list.
        key: at least 32 secret octets.

    Raises:
        CursorError: if the key is too short, or the position holds NaN or is too long.
    """
    try:
        payload = json.dumps(list(position), separators=(",", ":"), allow_nan=False).encode("ascii")
    except ValueError as error:
        raise CursorError("a position cannot hold NaN or infinity") from error
    text = base64url_encode(bytes((VERSION,)) + _tag(payload, scope, key) + payload)
    if len(text) > MAX_CURSOR_CHARS:
        raise CursorError("the position is too long for a cursor")
    return text


def decode(text: str, *, scope: str, key: bytes) -> list[str | int | float | bool | None]:
    """Read a cursor back.

    Raises:
        CursorError: if it is malformed, of another version, altered, of another scope or key.
    """
    if len(text) > MAX_CURSOR_CHARS:
        raise CursorError("the cursor is longer than any that is given out")
    try:
        data = base64url_decode(text)
    except JoseError as error:
        raise CursorError("the cursor is not one that was given out") from error
    tag, payload = data[1 : 1 + TAG_OCTETS], data[1 + TAG_OCTETS :]
    if data[:1] != bytes((VERSION,)):
        raise CursorError("the cursor is of another version; start again from the first page")
    if not hmac.compare_digest(tag, _tag(payload, scope, key)):
        raise CursorError("the cursor was altered or belongs to another list")
    position: list[str | int | float | bool | None] = json.loads(payload)
    return position


def _tag(payload: bytes, scope: str, key: bytes) -> bytes:
    if len(key) < MIN_KEY_OCTETS:
        raise CursorError(f"the cursor key has {len(key)} octets; it needs {MIN_KEY_OCTETS}")
    name = scope.encode("utf-8", "surrogatepass")
    # The length in front keeps scope and payload from running into each other.
    message = bytes((VERSION,)) + len(name).to_bytes(8, "big") + name + payload
    return hmac.digest(key, message, "sha256")[:TAG_OCTETS]
