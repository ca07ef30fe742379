"""A few recipients as octets: the columns as they are in memory, one behind the other.

An Arrow stream of some rows costs thirty times as much to write as the rows' own octets, most of it
for a schema that is always the same.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import Recipients

MOST: Final = 256
"""Rows; more of them are worth a schema."""
_MARK: Final = b"few1"
"""No Arrow stream begins so: it has four octets of ones there."""
_HEAD: Final = struct.Struct("<4sIII")
"""Mark, rows, bits for the columns that may be absent, nothing (so that integers are aligned)."""
_KEYS: Final = 1
_MESSAGE: Final = 2
_INT64: Final = np.dtype(np.int64)
_UINT32: Final = np.dtype(np.uint32)
_UINT16: Final = np.dtype(np.uint16)
_UINT8: Final = np.dtype(np.uint8)

Kind = TypeVar("Kind", np.int64, np.uint32, np.uint16, np.uint8)


def encode(recipients: Recipients) -> bytes | None:
    """The octets; None where there are many, or columns besides the usual."""
    tokens, keys, message = recipients.tokens, recipients.keys, recipients.message
    if len(recipients) > MOST or recipients.quiet is not None or recipients.merge is not None:
        return None
    if None in tokens or (keys is not None and None in keys):
        return None
    bits = (_KEYS if keys is not None else 0) | (_MESSAGE if message is not None else 0)
    parts = [_HEAD.pack(_MARK, len(recipients), bits, 0)]
    numbers = (recipients.device, recipients.user, recipients.registered_us)
    parts += [column.astype(_INT64, copy=False).tobytes() for column in numbers]
    parts.append(_lengths(tokens))
    if keys is not None:
        parts.append(_lengths(keys))
    if message is not None:
        parts.append(message.astype(_UINT16, copy=False).tobytes())
    parts.append(recipients.environment.astype(_UINT8, copy=False).tobytes())
    return b"".join([*parts, *tokens, *(keys or ())])


def is_few(blob: bytes) -> bool:
    """Whether `encode` wrote it."""
    return blob[:4] == _MARK


def decode(blob: bytes) -> Recipients:
    """What `encode` was given.

    Raises:
        ValueError: the octets were damaged.
    """
    if len(blob) < _HEAD.size:
        raise ValueError("recipients that were cut short")
    _, n, bits, _ = _HEAD.unpack_from(blob)
    reader = _Reader(blob, _HEAD.size, n)
    device, user, registered_us = (reader.column(_INT64) for _ in range(3))
    lengths = [reader.column(_UINT32) for _ in range(2 if bits & _KEYS else 1)]
    message = reader.column(_UINT16) if bits & _MESSAGE else None
    environment = reader.column(_UINT8)
    texts = [reader.texts(column) for column in lengths]
    if reader.at != len(blob):
        raise ValueError("recipients of another length")
    return Recipients(
        device=device,
        user=user,
        registered_us=registered_us,
        environment=environment,
        tokens=texts[0],
        keys=texts[1] if bits & _KEYS else None,
        message=message,
    )


class _Reader:
    """Takes columns of n rows from octets, one after the other."""

    def __init__(self, blob: bytes, at: int, n: int) -> None:
        self.at = at
        self._blob = blob
        self._n = n

    def column(self, kind: np.dtype[Kind]) -> npt.NDArray[Kind]:
        """Numbers."""
        found = np.frombuffer(self._blob, kind, self._n, self.at)
        self.at += found.nbytes
        return found

    def texts(self, lengths: npt.NDArray[np.uint32]) -> list[bytes]:
        """Octets of these lengths."""
        ends = list(accumulate(lengths.tolist(), initial=self.at))
        self.at = ends[-1]
        return [self._blob[low:high] for low, high in pairwise(ends)]


def _lengths(texts: Sequence[bytes]) -> bytes:
    return np.fromiter(map(len, texts), _UINT32, len(texts)).tobytes()
