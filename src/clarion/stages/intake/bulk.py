"""Bulk import: files of registrations, batch by batch, bad rows reported while good ones go in."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from clarion.domain.ids import AppId
from clarion.ports.registry import Devices
from clarion.ports.system import Clock
from clarion.stages.intake.readers import read_parquet, read_text
from clarion.stages.intake.register import Registration, Rules, judge, store
from clarion.stages.intake.rows import BadRow, Format, RawBatch, bad_row

LANES: Final = 2
"""A batch is stored over so many connections at once, people kept together."""
PIECE_OCTETS: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far an import is, after each batch; the last one is the result."""

    rows_read: int
    rows_in: int
    """Rows stored; what one is stored without its attributes counts, and is reported as bad."""
    rows_bad: int
    """Rows with a problem, in all."""
    bad: Sequence[BadRow]
    """Those of this batch, in order of the line."""


async def import_rows(
    devices: Devices,
    app: AppId,
    source: Path | AsyncIterator[bytes],
    format_: Format,
    *,
    rules: Rules,
    clock: Clock,
) -> AsyncIterator[Progress]:
    """Import a file. Running it again changes nothing more: registrations are idempotent.

    The next batch is read while one is being stored; memory does not grow with the file.

    Args:
        devices: the registry.
        app: whose devices.
        source: a file, or its octets in pieces of any size.
        format_: what the file is.
        rules: zones and trusted hosts.
        clock: for the time of registration.

    Raises:
        MalformedFileError: the file can't be read on; everything before that line is stored.
        StoreUnavailableError: a batch could not be stored; those reported are.
    """
    read = stored = wrong = 0
    async for batch in _ahead(_batches(source, format_)):
        done, bad = await _store(devices, app, batch, rules, clock)
        read, stored, wrong = read + batch.read, stored + done, wrong + len({b.line for b in bad})
        yield Progress(rows_read=read, rows_in=stored, rows_bad=wrong, bad=bad)


async def _store(
    devices: Devices, app: AppId, batch: RawBatch, rules: Rules, clock: Clock
) -> tuple[int, list[BadRow]]:
    bad = list(batch.bad)
    stored = 0
    if not batch.rows.height:
        return 0, bad
    now = clock.now()
    numbered = batch.rows.with_columns(pl.Series("line", batch.lines, pl.Int64))
    parts = _lanes(numbered)
    done = await asyncio.gather(*(_store_part(devices, app, part, rules, now) for part in parts))
    for part, result in zip(parts, done, strict=True):
        stored += result.stored
        lines = part["line"]
        bad += [bad_row(lines[problem.row], problem.problem) for problem in result.problems]
    bad.sort(key=lambda row: row.line)
    return stored, bad


async def _store_part(
    devices: Devices, app: AppId, part: pl.DataFrame, rules: Rules, now: datetime
) -> Registration:
    """Judged in a thread, so that this process goes on answering."""
    judged = await asyncio.to_thread(judge, part.drop("line"), rules=rules, now=now)
    return await store(devices, app, judged, part.height, now)


def _lanes(rows: pl.DataFrame) -> Sequence[pl.DataFrame]:
    """Parts that can be stored at once: no person, and no token, is in two of them."""
    if rows.height < 2 * LANES or not {"external_id", "token", "network"} <= set(rows.columns):
        return [rows]
    if rows.select("network", "token").is_duplicated().any():
        return [rows]  # the last row of a token wins only where they stay in order
    owner = pl.coalesce("external_id", "token").fill_null("")
    return rows.with_columns((owner.hash() % LANES).alias("lane")).partition_by(
        "lane", include_key=False
    )


async def _ahead(batches: AsyncIterator[RawBatch]) -> AsyncIterator[RawBatch]:
    """The same batches, each read while the one before is being used."""
    following = asyncio.ensure_future(anext(batches, None))
    try:
        while (batch := await following) is not None:
            following = asyncio.ensure_future(anext(batches, None))
            yield batch
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _batches(source: Path | AsyncIterator[bytes], format_: Format) -> AsyncIterator[RawBatch]:
    if format_ is not Format.PARQUET:
        pieces = _pieces(source) if isinstance(source, Path) else source
        async for batch in read_text(pieces, format_):
            yield batch
    elif isinstance(source, Path):
        async for batch in _in_thread(read_parquet(source)):
            yield batch
    else:  # the index of a Parquet file is at its end
        with tempfile.NamedTemporaryFile(suffix=".parquet") as spool:
            async for piece in source:
                await asyncio.to_thread(spool.write, piece)
            spool.flush()
            async for batch in _in_thread(read_parquet(Path(spool.name))):
                yield batch


async def _in_thread(batches: Iterator[RawBatch]) -> AsyncIterator[RawBatch]:
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        yield batch


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_OCTETS):
            yield piece
