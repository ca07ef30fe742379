"""`clarion events`: what people did, from a file, through the public API."""

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from clarion.cli.connection import Connection
from clarion.cli.exits import Exit
from clarion.cli.import_file import Kind, kind_of, report_bad, sending
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ServerUrl
from clarion.cli.output import OUT, number, print_json

app = App(name="events", help="Events: what people do, which segments ask about.")


@app.command(name="import")
def import_events(
    file: Path,
    *,
    format: Annotated[Kind | None, Parameter(negative=())] = None,  # noqa: A002  (the option's name)
    unknown_users: Annotated[str, Parameter(negative=())] = "create",
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Record the events of a CSV, NDJSON or Parquet file.

    Good rows go in while bad ones are reported by line and reason; then the exit code is 1.
    Importing a file again changes nothing more where its events have ids. The app is the key's.

    Args:
        file: What to import.
        format: What the file is; else its name tells.
        unknown_users: `create` or `refuse` people whom nobody knows.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    source = kind_of(file, format)
    path = f"/v1/events?unknown_users={unknown_users}"
    view = asyncio.run(sending(Connection(url, key), source, path))
    if json:
        print_json(view)
    else:
        OUT.print(
            f"{number(view['rows_in'])} of {number(view['rows_read'])} events are new, "
            f"{number(view['rows_repeated'])} had come before, {number(view['rows_bad'])} are bad",
            soft_wrap=True,
        )
        report_bad(view)
    return Exit.FINDINGS if view["rows_bad"] else Exit.OK
