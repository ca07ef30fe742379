"""Where files come from: a path, or the pieces of a body; read ahead of whoever uses them."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Final, TypeVar

from clarion.stages.intake.readers import read_parquet, read_text
from clarion.stages.intake.rows import REGISTRATIONS, Format, Layout, RawBatch

Batch = TypeVar("Batch")

PIECE_OCTETS: Final = 1 << 20


async def ahead(batches: AsyncIterator[Batch]) -> AsyncGenerator[Batch]:
    """The same batches, each made while the one before is being used."""
    following = asyncio.ensure_future(anext(batches, None))
    try:
        while (batch := await following) is not None:
            following = asyncio.ensure_future(anext(batches, None))
            yield batch
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def batches(
    source: Path | AsyncIterator[bytes], format_: Format, layout: Layout = REGISTRATIONS
) -> AsyncIterator[RawBatch]:
    """The batches of a file, or of its octets in pieces of any size.

    Raises:
        MalformedFileError: it can't be read on.
    """
    if format_ is not Format.PARQUET:
        pieces = _pieces(source) if isinstance(source, Path) else source
        async for batch in read_text(pieces, format_, layout):
            yield batch
    elif isinstance(source, Path):
        async for batch in _in_thread(read_parquet(source, layout)):
            yield batch
    else:  # the index of a Parquet file is at its end
        with tempfile.NamedTemporaryFile(suffix=".parquet") as spool:
            async for piece in source:
                await asyncio.to_thread(spool.write, piece)
            spool.flush()
            async for batch in _in_thread(read_parquet(Path(spool.name), layout)):
                yield batch


async def _in_thread(batches: Iterator[RawBatch]) -> AsyncIterator[RawBatch]:
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        yield batch


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_OCTETS):
            yield piece
