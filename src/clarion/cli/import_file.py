"""`clarion import`: people and devices from a file, through the public API."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq
from cyclopts import Parameter
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from clarion.adapters.system import SystemClock
from clarion.cli.connection import Connection, Json
from clarion.cli.exits import CommandError, Exit
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ServerUrl
from clarion.cli.output import ERR, OUT, number, print_json

Kind = Literal["csv", "ndjson", "parquet"]
MEDIA_TYPES: Final[Mapping[Kind, str]] = {
    "csv": "text/csv",
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
_KINDS: Final[Mapping[str, Kind]] = {
    ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet",
}  # fmt: skip
PIECE_OCTETS: Final = 256 * 1024
BAD_SHOWN: Final = 20


def import_file(
    file: Path,
    *,
    format: Annotated[Kind | None, Parameter(negative=())] = None,  # noqa: A002  (the option's name)
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Import people and devices from a CSV, NDJSON or Parquet file.

    Good rows go in while bad ones are reported by line and reason; then the exit code is 1.
    Importing a file again changes nothing more. The app is the key's.

    Args:
        file: What to import.
        format: What the file is; else its name tells.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    source = kind_of(file, format)
    clock = SystemClock()
    started = clock.monotonic()
    view = asyncio.run(sending(Connection(url, key), source, "/v1/imports"))
    if json:
        print_json(view)
    else:
        _report(view, clock.monotonic() - started)
    return Exit.FINDINGS if view["rows_bad"] else Exit.OK


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A file to be imported."""

    path: Path
    kind: Kind
    octets: int
    rows: int | None
    """Known beforehand of Parquet only."""

    @classmethod
    def of(cls, path: Path, kind: Kind) -> Self:
        """Look at a file. Raises `CommandError` when it can't be read."""
        try:
            rows = pq.read_metadata(path).num_rows if kind == "parquet" else None
            return cls(path=path, kind=kind, octets=path.stat().st_size, rows=rows)
        except (OSError, pa.ArrowException) as error:
            raise CommandError(f"{path} can't be read as {kind}: {error}") from error


def kind_of(file: Path, given: Kind | None) -> Source:
    """A file and what it is. Raises `CommandError`."""
    kind = given or _KINDS.get(file.suffix.lower())
    if kind is None:
        raise CommandError(
            f"{file}: its name does not tell what it is; say --format csv, ndjson or parquet"
        )
    if not file.is_file():
        raise CommandError(f"{file} is not a file")
    return Source.of(file, kind)


async def sending(connection: Connection, source: Source, path: str) -> Json:
    """Send a file over a connection of its own; the API's answer. Raises `CommandError`."""
    async with connection:
        return await upload(connection, source, path)


async def upload(connection: Connection, source: Source, path: str = "/v1/imports") -> Json:
    """Send a file with a live bar; the API's answer. Raises `CommandError`."""
    with _bar() as bar:
        task = bar.add_task("importing", total=source.octets, rows="0", rate="")
        pieces = _pieces(source, bar, task)
        kind = MEDIA_TYPES[source.kind]
        return await connection.upload(path, pieces, kind, source.octets)


async def _pieces(source: Source, bar: Progress, task: TaskID) -> AsyncIterator[bytes]:
    """The file piece by piece; the server takes them as fast as it stores them."""
    clock = SystemClock()
    started, sent, lines = clock.monotonic(), 0, 0
    stream = await asyncio.to_thread(source.path.open, "rb")
    with stream:
        while piece := await asyncio.to_thread(stream.read, PIECE_OCTETS):
            yield piece
            sent += len(piece)
            lines += piece.count(b"\n")
            done = lines if source.rows is None else source.rows * sent // source.octets
            rate = done / max(1e-3, clock.monotonic() - started)
            bar.update(task, completed=sent, rows=number(done), rate=f"{number(rate)}/s")


def _bar() -> Progress:
    return Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        console=ERR,
        disable=not ERR.is_terminal,
    )


def _report(view: Json, seconds: float) -> None:
    rate = number(view["rows_in"] / max(seconds, 1e-3))
    OUT.print(
        f"{number(view['rows_in'])} of {number(view['rows_read'])} rows are in "
        f"({seconds:.1f} s, {rate} rows/s); {number(view['rows_bad'])} bad",
        soft_wrap=True,
    )
    report_bad(view)


def report_bad(view: Json) -> None:
    """The first bad rows of an answer, as a table."""
    if not view["bad"]:
        return
    table = Table("line", "field", "code", "what is wrong")
    for row in view["bad"][:BAD_SHOWN]:
        table.add_row(str(row["line"]), escape(row["field"]), row["code"], escape(row["detail"]))
    OUT.print(table)
    if len(view["bad"]) > BAD_SHOWN:
        OUT.print(f"and {number(len(view['bad']) - BAD_SHOWN)} more; --json lists up to 1,000")
