"""Who is there, as a file that is written while it is sent: CSV or Parquet."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from typing import Final

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from typing_extensions import Buffer, override

from clarion.domain.ids import BUCKETS, AppId
from clarion.domain.segments.checking import SegmentAt
from clarion.ports.audience import Audience, AudienceScan

STEP: Final = 32
"""Buckets read at once: a person's devices are together, and memory does not grow with the app."""


async def people(
    audience: Audience, app: AppId, segment: SegmentAt | None, fields: Sequence[str]
) -> AsyncIterator[pl.DataFrame]:
    """Each person once: `user`, `external_id`, then the fields as text; lists and such as JSON.

    A field of a device is that of one of the person's devices.

    Raises:
        AudienceUnavailableError: the columns can't be read.
    """
    asked = tuple(dict.fromkeys(["external_id", *fields]))
    for low in range(0, BUCKETS, STEP):
        scan = AudienceScan(app=app, low=low, high=low + STEP, segment=segment, fields=asked)
        pieces = [piece.rows.select("user", *asked) async for piece in audience.scan(scan)]
        found = pl.concat(pieces).unique("user", keep="first", maintain_order=True)
        yield found.with_columns(_plain(found[name]) for name in asked)


def _plain(column: pl.Series) -> pl.Series:
    """JSON texts become the texts they hold; what is no text stays JSON."""
    if column.dtype == pl.Binary:
        return column.cast(pl.String)
    values = (None if text is None else orjson.loads(text) for text in column)
    return pl.Series(
        column.name,
        [
            value if isinstance(value, str) else text
            for value, text in zip(values, column, strict=True)
        ],
        pl.String(),
    )


async def as_csv(tables: AsyncIterator[pl.DataFrame]) -> AsyncIterator[bytes]:
    """RFC 4180 with a header, UTF-8."""
    first = True
    async for table in tables:
        yield table.write_csv(include_header=first).encode()
        first = False


async def as_parquet(tables: AsyncIterator[pl.DataFrame]) -> AsyncIterator[bytes]:
    """A Parquet file, a row group a table."""
    sink = _Sink()
    writer: pq.ParquetWriter | None = None
    async for table in tables:
        rows: pa.Table = table.to_arrow()
        if writer is None:
            writer = pq.ParquetWriter(pa.PythonFile(sink, "w"), rows.schema, compression="zstd")
        if rows.num_rows:
            await asyncio.to_thread(writer.write_table, rows)
        yield sink.taken()
    if writer is not None:
        writer.close()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """What a writer has written and nobody has taken yet; places count from the very start."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()
        self._before = 0

    @override
    def writable(self) -> bool:
        return True

    @override
    def write(self, octets: Buffer, /) -> int:
        self._held += octets
        return len(memoryview(octets))

    @override
    def tell(self) -> int:
        return self._before + len(self._held)

    def taken(self) -> bytes:
        """What has come since the last time."""
        octets = bytes(self._held)
        self._before += len(octets)
        self._held.clear()
        return octets
