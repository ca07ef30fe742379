"""`clarion segments`: people who have something in common, by name or as an expression."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import orjson
from cyclopts import App, Parameter
from rich.markup import escape
from rich.table import Column, Table

from clarion.cli.connection import asked
from clarion.cli.exits import CommandError, Exit
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ServerUrl
from clarion.cli.outcomes import LABELS
from clarion.cli.output import OUT, number, print_json

app = App(
    name="segments",
    help=(
        "List, show, count and write segments. An expression is text, such as "
        "`country in (FR, BE) and last_active < 14d`."
    ),
)


@app.command(name="list")
def list_segments(*, url: ServerUrl = DEFAULT_URL, key: ApiKey = None, json: AsJson = False) -> int:
    """List the app's segments with their expressions."""
    found = asked(url, key, lambda platform: platform.get("/v1/segments"))
    if json:
        print_json(found)
        return Exit.OK
    table = Table(Column("name", no_wrap=True), "version", "expression", "description")
    for one in found["items"]:
        table.add_row(
            escape(one["name"]),
            str(one["version"]),
            escape(one["text"]),
            escape(one["description"]),
        )
    OUT.print(table)
    return Exit.OK


@app.command
def show(
    name: str, *, url: ServerUrl = DEFAULT_URL, key: ApiKey = None, json: AsJson = False
) -> int:
    """Show a segment.

    Args:
        name: The segment's name.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    found = asked(url, key, lambda platform: platform.get(_path(name)))
    if json:
        print_json(found)
    else:
        OUT.print(escape(found["text"]), soft_wrap=True)
    return Exit.OK


@app.command
def versions(
    name: str, *, url: ServerUrl = DEFAULT_URL, key: ApiKey = None, json: AsJson = False
) -> int:
    """Show everything that a segment has said, the newest first; a removed one too.

    Args:
        name: The segment's name.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    found = asked(url, key, lambda platform: platform.get(f"{_path(name)}/versions"))
    if json:
        print_json(found)
        return Exit.OK
    table = Table("version", "since (UTC)", "expression")
    for one in found["items"]:
        since = str(one["created_at"]).replace("T", " ").rstrip("Z")
        table.add_row(str(one["version"]), since[:19], escape(one["text"]))
    OUT.print(table)
    return Exit.OK


@app.command
def count(
    segment: str | None = None,
    *,
    category: Annotated[str | None, Parameter(negative=())] = None,
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Count who is in a segment now, and why some of them could not be sent to.

    For instance: `clarion segments count "country = FR and not opened(any, 7d)"`

    Args:
        segment: A segment's name, or an expression; left out: everybody.
        category: Count consent to this category too.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    body = {"segment": segment, "category": category}
    found = asked(url, key, lambda platform: platform.post("/v1/segments/count", body))
    if json:
        print_json(found)
        return Exit.OK
    people, reachable = number(found["people"]), number(found["people_reachable"])
    OUT.print(f"{people} people, {reachable} of them reachable")
    table = Table("network", "reason", "devices")
    table.columns[2].justify = "right"
    for row in sorted(found["rows"], key=lambda row: -row["count"]):
        reason = "reachable" if row["reason"] == "accepted" else row["reason"].replace("_", " ")
        network = LABELS[row["network"] or "none"]
        table.add_row(network, reason, number(row["count"]))
    OUT.print(table)
    return Exit.OK


@app.command
def put(
    name: str,
    expression: str,
    *,
    description: str = "",
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Make a segment, or replace what it means.

    Args:
        name: The segment's name.
        expression: What it means: text, or `@FILE` with text or the JSON form in it.
        description: What it is for.
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON.
    """
    at_file = expression.startswith("@")
    said = _read(Path(expression[1:])) if at_file else expression
    body = {"expression": said, "description": description}
    found = asked(url, key, lambda platform: platform.put(_path(name), body))
    if json:
        print_json(found)
    else:
        OUT.print(
            f"{escape(found['name'])}, version {found['version']}: {escape(found['text'])}",
            soft_wrap=True,
        )
    return Exit.OK


def _path(name: str) -> str:
    return f"/v1/segments/{quote(name, safe='')}"


def _read(file: Path) -> object:
    """The expression in a file: JSON where it begins with a brace, else text."""
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"@{file}: {error}") from error
    if not text.startswith("{"):
        return text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise CommandError(f"@{file} is not JSON: {error}") from error
