"""`clarion audience`: the columnar copy of people and devices, and who is in it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.system import SystemClock
from clarion.app.foundation import Paths
from clarion.app.settings import Settings
from clarion.cli.connection import Connection
from clarion.cli.exits import CommandError, Exit
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ConfigFile, ServerUrl
from clarion.cli.output import OUT, number, print_json, progress
from clarion.cli.reading_settings import read_settings
from clarion.cli.running import run_loop
from clarion.ports.facts import FactsUnavailableError

app = App(
    name="audience",
    help="The columns that segments are counted in: read them anew, export who is there.",
)

LOOK_EVERY_S = 0.3


@app.command
def rebuild(*, config: ConfigFile = None, json: AsJson = False) -> int:
    """Read users and devices anew from the state store, while everything goes on.

    Segments, counts and sends see the old columns until the new ones are complete. Run it on the
    machine of the facts process.

    Args:
        config: Settings file.
        json: Write one JSON document.
    """
    clock = SystemClock()
    started = clock.monotonic()
    rows = run_loop(_rebuild(read_settings(config), clock))
    seconds = clock.monotonic() - started
    if json:
        print_json({"rows": rows, "seconds": round(seconds, 3)})
    else:
        OUT.print(f"{number(rows)} rows were read anew in {seconds:.1f} s")
    return Exit.OK


async def _rebuild(settings: Settings, clock: SystemClock) -> int:
    client = FactsClient(Paths(root=settings.data_dir).facts_socket, clock)
    try:
        _, there = await client.rebuilding()
        with progress() as bar:
            task = bar.add_task("reading", total=there or None, note="users and devices")
            working = asyncio.create_task(client.rebuild())
            while not (await asyncio.wait([working], timeout=LOOK_EVERY_S))[0]:
                rows, _ = await client.rebuilding()
                bar.update(task, completed=rows)
            rows = await working
            bar.update(task, completed=rows, total=rows)
            return rows
    except FactsUnavailableError as error:
        raise CommandError(str(error), Exit.UNREACHABLE) from error
    finally:
        await client.close()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Who is exported, and what of them.

    Attributes:
        segment: The name of a segment, or its short text form, such as `country = FR`.
        list: The name of a list.
        topic: A topic.
        fields: Fields besides the external id, with commas between: `language,tag.plan`.
    """

    segment: Annotated[str | None, Parameter(name="--segment", negative=())] = None
    list: Annotated[str | None, Parameter(name="--list", negative=())] = None
    topic: Annotated[str | None, Parameter(name="--topic", negative=())] = None
    fields: Annotated[str | None, Parameter(name="--fields", negative=())] = None


EVERYBODY = Chosen()


@app.command
def export(
    file: Path,
    *,
    chosen: Chosen = EVERYBODY,
    format: Annotated[Literal["csv", "parquet"] | None, Parameter(negative=())] = None,  # noqa: A002  (the option's name)
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
) -> int:
    """Write everybody, or who is in a segment, on a list or a topic, into a CSV or Parquet file.

    Args:
        file: What to write; it appears when it is complete.
        chosen: Who, and what of them.
        format: What to write; else the file's name tells.
        url: Where the platform is.
        key: API key with scope `send`.
    """
    kind = format or {".csv": "csv", ".parquet": "parquet"}.get(file.suffix.lower())
    if kind is None:
        raise CommandError(
            f"{file}: its name does not tell what it is; say --format csv or parquet"
        )
    query = {name: value for name, value in asdict(chosen).items() if value is not None}
    octets = asyncio.run(_export(Connection(url, key), file, {"format": kind, **query}))
    OUT.print(f"{file}: {number(octets)} octets", soft_wrap=True)
    return Exit.OK


async def _export(connection: Connection, file: Path, query: dict[str, str]) -> int:
    part = file.with_name(file.name + ".part")
    octets = 0
    try:
        async with connection:
            pieces: AsyncIterator[bytes] = connection.download("/v1/audience/export", query)
            with part.open("wb") as out:
                async for piece in pieces:
                    await asyncio.to_thread(out.write, piece)
                    octets += len(piece)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
    return octets
