"""Frames between the owner and its askers: a length, a kind, and JSON or Arrow."""

import asyncio
import struct
from enum import IntEnum
from typing import Final

_HEAD: Final = struct.Struct(">IB")
MAX_FRAME: Final = 256 * 1024 * 1024


class Kind(IntEnum):
    """What a frame carries."""

    ASK = 1
    """JSON: an operation and its arguments."""
    ANSWER = 2
    """JSON: the whole answer, or the end of a stream."""
    ROWS = 3
    """An Arrow stream of some rows; more frames follow."""
    REFUSED = 4
    """JSON: why there is no answer, or why it ends here."""
    VERSION = 5
    """JSON: the version that the rows to come were read at, or a newer one."""


async def write_frame(
    writer: asyncio.StreamWriter, kind: Kind, payload: bytes | memoryview
) -> None:
    """Send a frame and wait while the other side is slow."""
    writer.write(_HEAD.pack(len(payload), kind))
    writer.write(payload)
    await writer.drain()


async def read_frame(reader: asyncio.StreamReader) -> tuple[Kind, bytes]:
    """The next frame. Raises `asyncio.IncompleteReadError` when the other side is gone."""
    length, kind = _HEAD.unpack(await reader.readexactly(_HEAD.size))
    if length > MAX_FRAME:
        raise ConnectionResetError(f"a frame of {length} octets is no frame of ours")
    return Kind(kind), await reader.readexactly(length)
