"""What the demo shows at its end, read from the recorded facts through the public API."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from clarion.app.demo_audience import Audience
from clarion.cli.connection import Connection, Json
from clarion.cli.outcomes import by_network
from clarion.cli.output import OUT, number
from clarion.cli.trace import show_trace


async def report(connection: Connection, message: str, audience: Audience) -> bool:
    """Show everything; whether every device has exactly one outcome."""
    view = await connection.get(f"/v1/messages/{message}")
    OUT.print("\n[bold]What was recorded of the campaign[/], by network")
    OUT.print(by_network(view))
    suppressed = [row for row in view["outcomes"] if row["outcome"] == "suppressed"]
    OUT.print("Not sent on purpose, by reason")
    OUT.print(_by_reason(suppressed))
    OUT.print("Pace")
    OUT.print(_pace(view))
    OUT.print("One person's part in it, in full")
    show_trace(await connection.get(f"/v1/messages/{message}/recipients/{audience.subject}"))
    ended = sum(view["by_outcome"].values())
    complete = bool(ended == view["progress"]["recipients"] == audience.rows.height)
    verdict = "[green]exactly one[/]" if complete else "[red]NOT one[/]"
    OUT.print(
        f"\n{number(audience.rows.height)} devices, {number(ended)} final outcomes: "
        f"{verdict} for each."
    )
    return complete


def _by_reason(rows: Sequence[Json]) -> Table:
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["reason"]] = totals.get(row["reason"], 0) + row["count"]
    table = Table("reason", "devices")
    table.columns[1].justify = "right"
    for reason, count in sorted(totals.items(), key=lambda item: -item[1]):
        table.add_row(reason.replace("_", " "), number(count))
    return table


def _pace(view: Json) -> Table:
    taken, first, last = (
        datetime.fromisoformat(view[name])
        for name in ("created_at", "first_outcome_at", "last_outcome_at")
    )
    ended = sum(view["by_outcome"].values())
    seconds = max(1e-3, (last - first).total_seconds())
    table = Table("measure", "value")
    table.columns[1].justify = "right"
    table.add_row("outcomes", number(ended))
    table.add_row("tried again", number(view["progress"]["retried"]))
    table.add_row("taken in to first outcome", f"{(first - taken).total_seconds():.2f} s")
    table.add_row("taken in to last outcome", f"{(last - taken).total_seconds():.2f} s")
    table.add_row("outcomes per second", number(ended / seconds))
    for percentile, seconds_after in view["answered_after_s"].items():
        table.add_row(f"taken in to network's answer, {percentile}", f"{seconds_after:.2f} s")
    return table
