"""`clarion consent`: verify the ledger, show one person's part of it, import opt-ins."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Column, Table

from clarion.adapters.state.consent import PostgresConsents
from clarion.adapters.state.migrate import migrate
from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.app.reach_state import reach_state
from clarion.app.settings import Settings
from clarion.app.supervise import prepare_data_dir
from clarion.cli.connection import Connection
from clarion.cli.exits import CommandError, Exit
from clarion.cli.import_file import Kind, kind_of, report_bad, sending
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ConfigFile, ServerUrl
from clarion.cli.output import OUT, number, print_json
from clarion.cli.reading_settings import read_settings
from clarion.cli.running import engine_failures, run_loop
from clarion.domain.consent import Verified
from clarion.domain.ids import AppId, UserId
from clarion.ports.consent import ConsentLine
from clarion.ports.registry import ByExternalId

app = App(
    name="consent",
    help="Verify the consent ledger and export one person's part, on the database itself; import "
    "consents through the API.",
)

AppName = Annotated[
    str | None, Parameter(name="--app", negative=(), help="App; else `api.operator_app`.")
]
DRIFTED = 100


@app.command(name="import")
def import_consents(
    file: Path,
    *,
    format: Annotated[Kind | None, Parameter(negative=())] = None,  # noqa: A002  (the option's name)
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Record the consents of a CSV, NDJSON or Parquet file in the ledger.

    Good rows go in while bad ones are reported by line and reason; then the exit code is 1.
    Importing a file again changes nothing more where its rows have `at`. The app is the key's.

    Args:
        file: What to import.
        format: What the file is; else its name tells.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    source = kind_of(file, format)
    view = asyncio.run(sending(Connection(url, key), source, "/v1/consent"))
    if json:
        print_json(view)
    else:
        OUT.print(
            f"{number(view['rows_in'])} of {number(view['rows_read'])} consents are recorded, "
            f"{number(view['rows_repeated'])} were there already, "
            f"{number(view['rows_bad'])} are bad",
            soft_wrap=True,
        )
        report_bad(view)
    return Exit.FINDINGS if view["rows_bad"] else Exit.OK


@app.command
def verify(*, app: AppName = None, config: ConfigFile = None, json: AsJson = False) -> int:
    """Walk the app's chain and name the first broken entry; exit code 1 when there is one.

    Keep the head that it prints somewhere else: entries cut off the end show only against it.

    Args:
        app: Which app.
        config: Settings file.
        json: Write one JSON document.
    """
    settings = read_settings(config)

    async def work() -> tuple[Verified, Sequence[UserId]]:
        async with _store(settings, app) as (pool, found):
            ledger = PostgresConsents(pool)
            return await ledger.verify(found), await ledger.drifted(found, limit=DRIFTED)

    with engine_failures():
        done, drifted = run_loop(work())
    holds = done.broken_at is None and not drifted
    if json:
        print_json(
            {
                "holds": holds,
                "entries": done.entries,
                "head": done.head.hex(),
                "broken_at": done.broken_at,
                "because": done.because,
                "drifted": list(drifted),
            }
        )
        return Exit.OK if holds else Exit.FINDINGS
    if done.broken_at is None:
        OUT.print(f"{done.entries} entries hold; head {done.head.hex()}")
    else:
        OUT.print(f"entry {done.broken_at} is broken: {done.because}; {done.entries} hold")
    if drifted:
        OUT.print(f"the state of these users is not what their entries say: {list(drifted)}")
    return Exit.OK if holds else Exit.FINDINGS


@app.command
def export(
    user: str, *, app: AppName = None, config: ConfigFile = None, json: AsJson = False
) -> int:
    """All entries of one person, oldest first.

    Args:
        user: The person's external id.
        app: Which app.
        config: Settings file.
        json: Write one JSON document.
    """
    settings = read_settings(config)

    async def work() -> Sequence[ConsentLine]:
        async with _store(settings, app) as (pool, found):
            person = await PostgresPeople(pool).get(found, ByExternalId(external_id=user))
            if person is None:
                raise CommandError(f"the app has no user {user!r}")
            return await PostgresConsents(pool).history(found, person.id)

    with engine_failures():
        lines = run_loop(work())
    if json:
        print_json([_plain(line) for line in lines])
        return Exit.OK
    table = Table(Column("number", justify="right"), "at", "category", "change", "how", "text")
    for line in lines:
        table.add_row(
            str(line.number),
            f"{line.at:%Y-%m-%d %H:%M}",
            escape(line.category or "everything"),
            line.change.label,
            line.how.label,
            escape(line.text),
        )
    OUT.print(table)
    return Exit.OK


@asynccontextmanager
async def _store(settings: Settings, name: str | None) -> AsyncIterator[tuple[Pool, AppId]]:
    if settings.database.url is None:
        prepare_data_dir(settings.data_dir)
    async with reach_state(settings) as dsn:
        await migrate(dsn)
        pool = await open_pool(dsn, max_size=2)
        try:
            wanted = name or settings.api.operator_app
            found = await PostgresApps(pool).find(wanted)
            if found is None:
                raise CommandError(f"there is no app named {wanted!r}")
            yield pool, found.id
        finally:
            await pool.close()


def _plain(line: ConsentLine) -> dict[str, object]:
    return {
        "number": line.number,
        "category": line.category,
        "change": line.change.label,
        "how": line.how.label,
        "at": line.at,
        "recorded_at": line.recorded_at,
        "text": line.text,
        "language": line.language,
        "text_version": line.text_version,
        "evidence": dict(line.evidence),
        "hash": line.hash.hex(),
    }
