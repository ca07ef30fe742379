"""Bulk import: files of registrations, batch by batch, bad rows reported while good ones go in."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from clarion.domain.ids import AppId
from clarion.ports.registry import Devices
from clarion.ports.system import Clock
from clarion.stages.intake.register import Judged, Registration, Rules, judge, store
from clarion.stages.intake.rows import BadRow, Format, RawBatch, bad_row
from clarion.stages.intake.sources import ahead, batches

LANES: Final = 2
"""A batch is stored over so many connections at once, people kept together."""


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

    While a batch is being stored the next is judged and the one after it read; memory does not
    grow with the file. A batch that was reported is committed. A living device of which a row says
    nothing new is left as it is, its time of registration too: the file spoke, not the device.

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
    raw = ahead(batches(source, format_))
    async with aclosing(raw), aclosing(ahead(_judged(raw, rules, clock))) as judged:
        async for batch in judged:
            done, bad = await _store(devices, app, batch)
            read, stored = read + batch.read, stored + done
            wrong += len({row.line for row in bad})
            yield Progress(rows_read=read, rows_in=stored, rows_bad=wrong, bad=bad)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """Rows that are stored in one unit of work."""

    rows: Judged
    lines: Sequence[int]
    """Where each row that was judged starts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _JudgedBatch:
    """Rows that are stored at once, and what is wrong with others."""

    parts: Sequence[_Part]
    bad: Sequence[BadRow]
    read: int
    now: datetime


async def _judged(
    raw: AsyncIterator[RawBatch], rules: Rules, clock: Clock
) -> AsyncIterator[_JudgedBatch]:
    """Judged in a thread, so that this process goes on answering."""
    async for batch in raw:
        yield await asyncio.to_thread(_judge, batch, rules, clock.now())


def _judge(batch: RawBatch, rules: Rules, now: datetime) -> _JudgedBatch:
    if not batch.rows.height:
        return _JudgedBatch(parts=[], bad=batch.bad, read=batch.read, now=now)
    numbered = batch.rows.with_columns(pl.Series("line", batch.lines, pl.Int64))
    parts = [
        _Part(rows=judge(part.drop("line"), rules=rules, now=now), lines=part["line"].to_list())
        for part in _lanes(numbered)
    ]
    return _JudgedBatch(parts=parts, bad=batch.bad, read=batch.read, now=now)


async def _store(devices: Devices, app: AppId, batch: _JudgedBatch) -> tuple[int, Sequence[BadRow]]:
    done = await asyncio.gather(
        *(_store_part(devices, app, part, batch.now) for part in batch.parts)
    )
    bad = [
        *batch.bad,
        *(
            bad_row(part.lines[problem.row], problem.problem)
            for part, result in zip(batch.parts, done, strict=True)
            for problem in result.problems
        ),
    ]
    bad.sort(key=lambda row: row.line)
    return sum(result.stored for result in done), bad


async def _store_part(devices: Devices, app: AppId, part: _Part, now: datetime) -> Registration:
    return await store(devices, app, part.rows, len(part.lines), now, refresh=False)


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
