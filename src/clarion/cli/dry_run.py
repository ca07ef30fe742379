"""`clarion dry-run`: what a message would come to, without sending it."""

import asyncio
from typing import Annotated

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from clarion.cli.connection import Connection, Json
from clarion.cli.exits import Exit
from clarion.cli.options import DEFAULT_URL, ApiKey, AsJson, ServerUrl
from clarion.cli.outcomes import LABELS
from clarion.cli.output import OUT, number, print_json
from clarion.cli.send_options import Content, Recipients
from clarion.cli.send_options import body as message_body

_HOURS = 12
"""Of the curve that are shown."""


def dry_run(
    *,
    to: Annotated[Recipients | None, Parameter(name="*")] = None,
    content: Annotated[Content | None, Parameter(name="*")] = None,
    samples: int = 3,
    url: ServerUrl = DEFAULT_URL,
    key: ApiKey = None,
    json: AsJson = False,
) -> int:
    """Try a message: who would get it and when, who would not and why. Nothing is sent.

    For instance: `clarion dry-run --all --title "Hello" --body "It works."`

    Args:
        to: Whom.
        content: What.
        samples: So many people are shown with what they would read (0 to 20).
        url: Where the platform is.
        key: API key with scope `send`.
        json: Write the API's answer as JSON. Exit code 1 when nobody would get it.
    """
    body = message_body(to or Recipients(), content or Content())
    found = asyncio.run(_try(Connection(url, key), body, samples))
    if json:
        print_json(found)
    else:
        show(found)
    reached = found["by_action"]["send"] + found["by_action"]["hold"]
    return Exit.OK if reached and not found["refused"] else Exit.FINDINGS


async def _try(connection: Connection, body: Json, samples: int) -> Json:
    async with connection:
        return await connection.post(f"/v1/messages/dry-run?samples={samples}", body)


def show(found: Json) -> None:
    """Tables of what would happen, and what people would read."""
    of = found["by_action"]
    OUT.print(
        f"{number(found['people'])} people: {number(of['send'])} devices at once, "
        f"{number(of['hold'])} later, {number(of['digest'])} in digests, {number(of['skip'])} not"
    )
    if found["refused"]:
        OUT.print("[bold red]It would be sent to nobody: variables are missing.[/]")
    table = Table("action", "reason", "network", "devices")
    table.columns[3].justify = "right"
    for row in found["decisions"]:
        reason = row["reason"].replace("_", " ")
        table.add_row(row["action"], reason, LABELS[row["network"] or "none"], number(row["count"]))
    OUT.print(table)
    _show_curve(found)
    _show_trouble(found)
    for one in found["samples"]:
        who = escape(one["external_id"] or f"user {one['user']}")
        text = " · ".join(escape(part) for part in (one["title"], one["body"]) if part)
        OUT.print(f"[bold]{who}[/] ({LABELS[one['network']]}): {text}", soft_wrap=True)


def _show_curve(found: Json) -> None:
    if not found["curve"]:
        return
    table = Table("from (UTC)", "network", "due", "sent", "waiting")
    for column in table.columns[2:]:
        column.justify = "right"
    for hour in found["curve"][:_HOURS]:
        counts = (number(hour[name]) for name in ("due", "sent", "waiting"))
        table.add_row(hour["at"][:16].replace("T", " "), LABELS[hour["network"]], *counts)
    OUT.print(table)
    if len(found["curve"]) > _HOURS:
        OUT.print(f"... until {found['last_hour'][:16].replace('T', ' ')}")


def _show_trouble(found: Json) -> None:
    caps = found["caps"]
    if caps["people"]:
        OUT.print(
            f"Caps stop or hold it for {number(caps['people'])} people; "
            f"{number(caps['people_by_scheduled'])} of them have another message scheduled."
        )
    for network, sizes in found["payloads"].items():
        if sizes["too_long"]:
            OUT.print(
                f"{number(sizes['too_long'])} payloads are too long for {LABELS[network]}: up to "
                f"{number(sizes['longest'])} of {number(sizes['limit'])} octets."
            )
    for variable, count in found["missing"].items():
        OUT.print(f"{escape(variable)} is missing for {number(count)} recipients.")
    for sentence, count in found["failures"].items():
        OUT.print(f"{escape(sentence)}: {number(count)} recipients.")
    local = found["local_time"]
    if local is not None and local["passed"]:
        OUT.print(
            f"The local time is over for {number(local['passed'])} devices: next_day holds them, "
            f"drop drops them, send_now sends to {number(local['send_now_sent'])}."
        )
    if found["time_zone_unknown"]:
        OUT.print(f"The time zone of {number(found['time_zone_unknown'])} devices is not known.")
