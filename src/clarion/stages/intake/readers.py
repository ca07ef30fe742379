"""Reads files in batches; see `rows` for what a batch is."""

import asyncio
import csv
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, assert_never

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from clarion.stages.intake.csv_lines import plain_columns
from clarion.stages.intake.lines import plain_lines
from clarion.stages.intake.rows import (
    REGISTRATIONS,
    BadRow,
    Cells,
    Format,
    Layout,
    MalformedFileError,
    RawBatch,
    typed_frame,
)
from clarion.stages.intake.spread import Spread, gather, spread_of

BLOCK_OCTETS: Final = 2 << 20
"""Text is cut into pieces of about this size, at the end of a row: some 10,000 rows."""
LONGEST_ROW: Final = 1 << 20
PARQUET_ROWS: Final = 10_000


async def read_text(
    source: AsyncIterator[bytes], format_: Format, layout: Layout = REGISTRATIONS
) -> AsyncIterator[RawBatch]:
    """Batches of a CSV or NDJSON file that arrives in pieces of any size.

    Raises:
        MalformedFileError: it can't be read on; the batches before have every row that could be.
    """
    reader = _reader(format_, layout)
    held = bytearray()
    async for piece in source:
        held += piece
        if len(held) >= BLOCK_OCTETS:
            cut = reader.cut(held)
            if not cut and len(held) > BLOCK_OCTETS + LONGEST_ROW:
                if isinstance(reader, CsvReader):
                    cut = await asyncio.to_thread(reader.recut, bytes(held))
                if not cut:
                    raise MalformedFileError(reader.line + 1, reader.endless)
            if cut:
                yield await asyncio.to_thread(reader.read, bytes(held[:cut]))
                if reader.broken is not None:
                    raise reader.broken
                del held[:cut]
    if held:
        yield await asyncio.to_thread(reader.read, bytes(held))
        if reader.broken is not None:
            raise reader.broken


def _reader(format_: Format, layout: Layout) -> "CsvReader | NdjsonReader":
    match format_:
        case Format.CSV:
            return CsvReader(layout)
        case Format.NDJSON:
            return NdjsonReader(layout)
        case Format.PARQUET:
            raise ValueError("Parquet is not text: use read_parquet")
        case _:
            assert_never(format_)


def read_parquet(path: Path, layout: Layout = REGISTRATIONS) -> Iterator[RawBatch]:
    """Batches of a Parquet file.

    Raises:
        MalformedFileError: it is no Parquet file, or damaged, or has an unknown column.
    """
    line = 1
    try:
        with pq.ParquetFile(path) as file:
            spread = spread_of(file.schema_arrow.names, layout)
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                columns = _cells(batch, line)
                lines = range(line, line + batch.num_rows)
                line += batch.num_rows
                yield _batch(spread, columns, lines, [], batch.num_rows)
    except (pa.ArrowException, OSError) as error:
        raise MalformedFileError(line, f"the Parquet file can't be read: {error}") from error


def _cells(batch: pa.RecordBatch, line: int) -> list[Cells]:
    """Text stays a column; values of other types become plain ones."""
    batch.validate(full=True)  # text may be no UTF-8
    texts = [
        field.name
        for field in batch.schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]
    made = pl.from_arrow(batch.select(texts)) if texts else pl.DataFrame()
    frame = made if isinstance(made, pl.DataFrame) else made.to_frame()
    return [
        frame[name] if name in texts else _plain_values(name, column, line)
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    ]


def _plain_values(name: str, column: "pa.Array[Any]", line: int) -> list[object]:
    """Values of a column; instants are cut to microseconds."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    try:
        values: list[object] = column.to_pylist()
    except (
        ValueError,
        OverflowError,
    ) as error:  # an instant or a number that Python has no name for
        raise MalformedFileError(line, f"the column {name!r} can't be read: {error}") from error
    return values


class CsvReader:
    """RFC 4180 with a header; UTF-8, with or without a byte order mark."""

    endless = "a quote is opened here or later and not closed within a mebibyte"

    def __init__(self, layout: Layout = REGISTRATIONS) -> None:
        self.line = 0
        """Lines read so far."""
        self.broken: MalformedFileError | None = None
        """Why nothing behind the rows that were read last can be read."""
        self._layout = layout
        self._spread: Spread | None = None

    def cut(self, held: bytes | bytearray) -> int:
        """Where the last whole row in `held` ends: at a line feed outside quotes; 0 if nowhere."""
        end = held.rfind(b"\n") + 1
        quotes = held.count(b'"', 0, end)
        while end and quotes % 2:
            before = held.rfind(b"\n", 0, end - 1) + 1
            quotes -= held.count(b'"', before, end)
            end = before
        return end

    def recut(self, held: bytes) -> int:
        """The same by reading the rows: a quote within a field (`5" nails`) opens nothing."""
        lines = held.split(b"\n")[:-1]
        reader = csv.reader((f"{_decoded(line)}\n" for line in lines), strict=True)
        whole = 0
        while whole < len(lines):
            try:
                next(reader)
            except csv.Error as error:
                if str(error) == _NO_END:
                    break
            whole = reader.line_num
        return sum(len(line) + 1 for line in lines[:whole])

    def read(self, block: bytes) -> RawBatch:
        """The rows of whole lines."""
        if self._spread is None:
            head, _, rest = block.partition(b"\n")
            if rest and head.strip() and b'"' not in head:
                self._whole(head)
                block = rest
        if self._spread is not None:
            columns = plain_columns(block, len(self._spread.names))
            if columns is not None:
                count = len(columns[0])
                lines = range(self.line + 1, self.line + 1 + count)
                self.line += count
                return _batch(self._spread, columns, lines, [], count)
        return self._whole(block)

    def _whole(self, block: bytes) -> RawBatch:
        """Any rows, cell by cell."""
        text = _decoded(block)
        first = self.line + 1
        if self._spread is None:
            text = text.removeprefix("\ufeff")
        # Split at line feeds only: other line ends that str knows may stand inside fields.
        rows, starts, bad = self._rows(
            [line + "\n" for line in text.removesuffix("\n").split("\n")]
        )
        if self._spread is None:
            if not rows or (bad and bad[0].line < starts[0]):
                raise self.broken or MalformedFileError(first, "the file has no header")
            self._spread = spread_of([name.strip() for name in rows.pop(0)], self._layout)
            starts.pop(0)
        return self._judged(rows, starts, bad)

    def _rows(self, lines: Sequence[str]) -> tuple[list[list[str]], list[int], list[BadRow]]:
        """The rows, where each starts, and lines that are none; sets `broken`.

        What is wrong within one line is that line's affair. After a quote that was opened on an
        earlier line, or that nothing closes, nobody knows what is inside quotes and what is not.
        """
        reader = csv.reader(lines, strict=True)
        rows: list[list[str]] = []
        starts: list[int] = []
        bad: list[BadRow] = []
        base = self.line
        while self.broken is None:
            start = base + reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                self.broken = _broken(start, base + reader.line_num, str(error))
                bad.append(_malformed(start, f"the row is not CSV: {error}"))
                continue
            if row is None:
                break
            if row:
                rows.append(row)
                starts.append(start)
        if self.broken is not None:
            bad.pop()  # it is told instead
        self.line = base + reader.line_num
        return rows, starts, bad

    def _judged(self, rows: list[list[str]], starts: list[int], bad: list[BadRow]) -> RawBatch:
        spread = self._spread
        if spread is None:
            raise ValueError("the header comes first")
        width = len(spread.names)
        read = len(rows) + len(bad)
        good = [place for place, row in enumerate(rows) if len(row) == width and _clean(row)]
        kept = set(good)
        bad += [
            _malformed(starts[place], _csv_detail(row, width))
            for place, row in enumerate(rows)
            if place not in kept
        ]
        turned = zip(*(rows[place] for place in good), strict=True)
        columns = [pl.Series(column, dtype=pl.String).replace("", None) for column in turned]
        columns = columns or [pl.Series(dtype=pl.String) for _ in spread.names]
        return _batch(spread, columns, [starts[i] for i in good], bad, read)


def _decoded(octets: bytes) -> str:
    """What is not UTF-8 becomes lone surrogates, which mark a row as bad."""
    return octets.decode("utf-8", "surrogateescape")


def _broken(start: int, end: int, why: str) -> MalformedFileError | None:
    """What a row that is not CSV means for those behind it; None: nothing."""
    if why == _NO_END:
        told = "a quote is opened in the row that begins here, and nothing closes it"
    elif end > start:
        told = f"a quote is opened in the row that begins here, but on line {end}: {why}"
    else:
        return None
    return MalformedFileError(start, f"{told}; nothing is read from here on")


_NO_END: Final = "unexpected end of data"
"""What `csv` says of a quote that is open where the file ends."""


class NdjsonReader:
    """One JSON object a line."""

    endless = "the line is longer than a mebibyte"
    broken: Final = None
    """A line says nothing about those behind it."""

    def __init__(self, layout: Layout = REGISTRATIONS) -> None:
        self.line = 0
        self._layout = layout

    def cut(self, held: bytes | bytearray) -> int:
        """Where the last whole line in `held` ends; 0 if nowhere."""
        return held.rfind(b"\n") + 1

    def read(self, block: bytes) -> RawBatch:
        """The rows of whole lines."""
        plain = plain_lines(block, self._layout)
        if plain:
            count = len(next(iter(plain.values())))
            lines = range(self.line + 1, self.line + 1 + count)
            self.line += count
            spread = spread_of(list(plain), self._layout)
            return _batch(spread, list(plain.values()), lines, [], count)
        return self._one_by_one(block)

    def _one_by_one(self, block: bytes) -> RawBatch:
        """Any lines."""
        bad: list[BadRow] = []
        rows: list[dict[str, object]] = []
        starts: list[int] = []
        names: dict[str, None] = {}
        count = 0
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        for number, line in enumerate(lines, self.line + 1):
            if not line.strip():
                continue
            count += 1
            row = _object(line, number, self._layout)
            if isinstance(row, BadRow):
                bad.append(row)
                continue
            if not row.keys() <= names.keys():
                names |= dict.fromkeys(row)
            rows.append(row)
            starts.append(number)
        self.line += len(lines)
        columns = [[row.get(name) for row in rows] for name in names]
        return _batch(spread_of(list(names), self._layout), columns, starts, bad, count)


def _object(line: bytes, number: int, layout: Layout) -> dict[str, object] | BadRow:
    """One line as flat columns."""
    if len(line) > LONGEST_ROW:
        return _malformed(number, "the line is longer than a mebibyte")
    try:
        line.decode()  # what stays a text is not looked into
        found = _LINE.decode(line)
        cells = {
            name: _text(cell) if name in layout.objects else _CELL.decode(cell)
            for name, cell in found.items()
        }
    except msgspec.ValidationError:
        return _malformed(number, "the line is not a JSON object")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _malformed(number, f"the line is not JSON: {error}")
    return cells if cells.keys() <= layout.columns.keys() else _unnested(cells, number, layout)


_LINE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CELL: Final = msgspec.json.Decoder()


def _text(cell: msgspec.Raw) -> str | None:
    """A JSON object as it was written, for the rules to judge."""
    text = str(cell, "utf-8")
    return None if text == "null" else text


def _unnested(
    found: Mapping[str, object], number: int, layout: Layout
) -> dict[str, object] | BadRow:
    flat: dict[str, object] = {}
    for name, value in found.items():
        inner = layout.nested.get(name)
        if inner is None and name in layout.columns:
            flat[name] = value
        elif inner is not None and isinstance(value, dict) and value.keys() <= inner.keys():
            flat |= {inner[member]: held for member, held in value.items()}
        elif inner is None or value is not None:
            wrong = name if inner is None else f"{name} must hold {' and '.join(inner)}"
            return BadRow(
                line=number, field=name, code="field_unknown", detail=f"unknown field: {wrong}"
            )
    return flat


def _batch(
    spread: Spread,
    columns: Sequence[Cells],
    lines: Sequence[int],
    bad: Sequence[BadRow],
    read: int,
) -> RawBatch:
    gathered, refused = gather(spread, columns, lines)
    frame, kept, mistyped = typed_frame(gathered, lines, spread.layout)
    every = sorted([*bad, *refused, *mistyped], key=lambda row: row.line)
    if refused:
        lost = {row.line for row in refused}
        chosen = [place for place, line in enumerate(kept) if line not in lost]
        frame, kept = frame[chosen], [kept[place] for place in chosen]
    return RawBatch(rows=frame, lines=kept, bad=every, read=read)


def _clean(row: list[str]) -> bool:
    text = "".join(row)
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _csv_detail(row: list[str], width: int) -> str:
    if len(row) != width:
        return f"the row has {len(row)} fields; the header has {width}"
    return "the row is not UTF-8"


def _malformed(line: int, detail: str) -> BadRow:
    return BadRow(line=line, field="", code="row_malformed", detail=detail)
