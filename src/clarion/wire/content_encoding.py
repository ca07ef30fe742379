"""The `aes128gcm` content coding, RFC 8188.

A body is a header (salt 16 octets, record size uint32, length of key id, key id) and records.
Every record but the last has exactly `rs` octets; each is AES-128-GCM over
`plaintext || delimiter || zero octets`, the delimiter 2 in the last record and 1 in the others.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SALT_OCTETS = 16
TAG_OCTETS = 16
FIXED_HEADER_OCTETS = SALT_OCTETS + 4 + 1
RECORD_OVERHEAD = TAG_OCTETS + 1
"""Authentication tag and padding delimiter."""
MIN_RECORD_SIZE = RECORD_OVERHEAD + 1
"""RFC 8188 section 2.1: values smaller than 18 are invalid."""
MAX_RECORD_SIZE = 2**32 - 1
MAX_KEY_ID_OCTETS = 255
LAST = 2
NOT_LAST = 1

CEK_INFO = b"Content-Encoding: aes128gcm\x00\x01"
"""RFC 8188 section 2.2: cek_info and the counter octet of the only HKDF block."""
NONCE_INFO = b"Content-Encoding: nonce\x00\x01"
"""RFC 8188 section 2.3: nonce_info and the counter octet of the only HKDF block."""
KEY_OCTETS = 16
NONCE_OCTETS = 12

_BLOCK_OCTETS = 64
_INNER = bytes(octet ^ 0x36 for octet in range(256))
_OUTER = bytes(octet ^ 0x5C for octet in range(256))

KeyMaterial: TypeAlias = bytes | Callable[[bytes], bytes]
"""Input keying material, or a function from the body's key id to it."""


class ContentEncodingError(ValueError):
    """A body or a parameter breaks RFC 8188; the message says which rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The coding's own header (RFC 8188 section 2.1).

    Attributes:
        salt: 16 octets.
        record_size: octets of every record but the last, tag included.
        key_id: 0 to 255 octets.
    """

    salt: bytes
    record_size: int
    key_id: bytes

    @property
    def octets(self) -> int:
        """Length of the header on the wire."""
        return FIXED_HEADER_OCTETS + len(self.key_id)


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104).

    Written out because a push message needs five: this takes two thirds of `hmac.digest`'s
    time, which fetches the algorithm by name on every call. A test proves the two equal.
    """
    if len(key) > _BLOCK_OCTETS:
        key = sha256(key).digest()
    block = key.ljust(_BLOCK_OCTETS, b"\x00")
    inner = sha256(block.translate(_INNER) + message).digest()
    return sha256(block.translate(_OUTER) + inner).digest()


def derive(ikm: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Derive the content-encryption key (16) and base nonce (12) (sections 2.2 and 2.3)."""
    prk = hmac_sha256(salt, ikm).ljust(_BLOCK_OCTETS, b"\x00")
    inner, outer = prk.translate(_INNER), prk.translate(_OUTER)  # two HMACs share the key
    return (
        sha256(outer + sha256(inner + CEK_INFO).digest()).digest()[:KEY_OCTETS],
        sha256(outer + sha256(inner + NONCE_INFO).digest()).digest()[:NONCE_OCTETS],
    )


def build_header(salt: bytes, record_size: int, key_id: bytes) -> bytes:
    """Write the header.

    Raises:
        ContentEncodingError: if the salt, record size or key id has a length that cannot be.
    """
    if len(salt) != SALT_OCTETS:
        raise ContentEncodingError(f"the salt has {len(salt)} octets; it needs {SALT_OCTETS}")
    if not MIN_RECORD_SIZE <= record_size <= MAX_RECORD_SIZE:
        raise ContentEncodingError(
            f"record size {record_size} is not between {MIN_RECORD_SIZE} and {MAX_RECORD_SIZE}"
        )
    if len(key_id) > MAX_KEY_ID_OCTETS:
        raise ContentEncodingError(
            f"the key id has {len(key_id)} octets; at most {MAX_KEY_ID_OCTETS} fit"
        )
    return salt + record_size.to_bytes(4, "big") + bytes((len(key_id),)) + key_id


def parse_header(body: bytes) -> Header:
    """Read the header at the start of a body.

    Raises:
        ContentEncodingError: if the body is too short for it or the record size is invalid.
    """
    if len(body) < FIXED_HEADER_OCTETS:
        raise ContentEncodingError(f"the body has {len(body)} octets, fewer than its header")
    record_size = int.from_bytes(body[SALT_OCTETS : SALT_OCTETS + 4], "big")
    if record_size < MIN_RECORD_SIZE:
        raise ContentEncodingError(f"record size {record_size} is below {MIN_RECORD_SIZE}")
    end = FIXED_HEADER_OCTETS + body[FIXED_HEADER_OCTETS - 1]
    if len(body) < end:
        raise ContentEncodingError("the body ends inside its key id")
    return Header(
        salt=body[:SALT_OCTETS], record_size=record_size, key_id=body[FIXED_HEADER_OCTETS:end]
    )


def encrypt(
    plaintext: bytes,
    ikm: bytes,
    *,
    salt: bytes,
    record_size: int = 4096,
    key_id: bytes = b"",
    padding: int = 0,
) -> bytes:
    """Encrypt into a complete body.

    Args:
        plaintext: any number of octets, also none.
        ikm: input keying material.
        salt: 16 random octets, never used before with this `ikm` (section 4.3).
        record_size: octets of a full record, tag included; at least 18.
        key_id: names the keying material for the receiver.
        padding: zero octets to add after the delimiters, put into the first records that have
            room while at least one octet of plaintext still moves forward per record.

    Raises:
        ContentEncodingError: if a parameter is out of its range.
    """
    if padding < 0:
        raise ContentEncodingError(f"padding of {padding} octets is not possible")
    parts = [build_header(salt, record_size, key_id)]
    key, nonce = derive(ikm, salt)
    cipher = AESGCM(key)
    for sequence, record in enumerate(_records(plaintext, record_size - RECORD_OVERHEAD, padding)):
        parts.append(cipher.encrypt(_nonce(nonce, sequence), record, None))
    return b"".join(parts)


def _records(plaintext: bytes, room: int, padding: int) -> Iterator[bytes]:
    """Cut plaintext and padding into delimited records of at most `room` content octets."""
    position = 0
    while True:
        left = len(plaintext) - position
        if left + padding <= room:
            yield plaintext[position:] + bytes((LAST,)) + bytes(padding)
            return
        # Padding goes in first; each record still carries an octet of plaintext while there is
        # any left, so that a receiver always makes progress.
        zeros = min(padding, room - 1 if left else room)
        take = room - zeros
        yield plaintext[position : position + take] + bytes((NOT_LAST,)) + bytes(zeros)
        position += take
        padding -= zeros


def decrypt(body: bytes, key_material: KeyMaterial) -> bytes:
    """Decrypt a complete body; nothing is returned unless every record is valid.

    Args:
        body: header and records.
        key_material: the input keying material, or how to find it by the header's key id.

    Raises:
        ContentEncodingError: if the header is invalid, a record is too short, is not
            authentic, has a wrong delimiter, or the last record is missing (section 4.2).
    """
    header = parse_header(body)
    ikm = key_material if isinstance(key_material, bytes) else key_material(header.key_id)
    key, nonce = derive(ikm, header.salt)
    cipher = AESGCM(key)
    start, size = header.octets, header.record_size
    if start == len(body):
        raise ContentEncodingError("the body has no record; a last record is always present")
    plaintext: list[bytes] = []
    for sequence, offset in enumerate(range(start, len(body), size)):
        record = body[offset : offset + size]
        if len(record) < RECORD_OVERHEAD:
            raise ContentEncodingError(
                f"record {sequence} has {len(record)} octets; the least is {RECORD_OVERHEAD}"
            )
        try:
            padded = cipher.decrypt(_nonce(nonce, sequence), record, None)
        except InvalidTag as error:
            raise ContentEncodingError(f"record {sequence} is not authentic") from error
        plaintext.append(_unpad(padded, sequence, last=offset + size >= len(body)))
    return b"".join(plaintext)


def _nonce(base: bytes, sequence: int) -> bytes:
    """Section 2.3: the base nonce XOR the 96-bit record sequence number."""
    if sequence == 0:
        return base
    return (int.from_bytes(base, "big") ^ sequence).to_bytes(NONCE_OCTETS, "big")


def _unpad(padded: bytes, sequence: int, *, last: bool) -> bytes:
    content = padded.rstrip(b"\x00")
    if not content:
        raise ContentEncodingError(f"record {sequence} holds only zeros, so no delimiter")
    expected = LAST if last else NOT_LAST
    if content[-1] != expected:
        raise ContentEncodingError(
            f"record {sequence} ends with delimiter {content[-1]} where {expected} must be"
        )
    return content[:-1]
