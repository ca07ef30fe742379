"""What the demo shows at its end, read from the recorded facts through the public API."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from math import ceil
from typing import Final

from rich.table import Table

from clarion.app.demo_audience import Audience
from clarion.cli.connection import Connection, Json
from clarion.cli.outcomes import by_network
from clarion.cli.output import OUT, number
from clarion.cli.trace import show_trace

_BAR: Final = 40


async def report(connection: Connection, message: str, audience: Audience, expected: Json) -> bool:
    """Show everything; whether each device was decided about once, and has its outcome or is held.

    Args:
        connection: to the platform.
        message: the campaign's id.
        audience: that was imported.
        expected: what the dry run said of the campaign.
    """
    view = await connection.get(f"/v1/messages/{message}")
    decided = await connection.get(f"/v1/messages/{message}/decisions")
    OUT.print("\n[bold]What was recorded of the campaign[/], by network")
    OUT.print(by_network(view))
    OUT.print("What was decided and why, beside what the dry run said")
    OUT.print(_beside(decided, expected))
    _show_held(decided)
    OUT.print("Pace")
    OUT.print(_pace(view))
    OUT.print("One person's part in it, in full")
    show_trace(await connection.get(f"/v1/messages/{message}/recipients/{audience.subject}"))
    if audience.sleepers:
        OUT.print("And that of somebody with quiet hours of their own")
        person, _ = audience.sleepers[0]
        show_trace(await connection.get(f"/v1/messages/{message}/recipients/{person}"))
    held, ended = decided["by_action"]["hold"], sum(view["by_outcome"].values())
    considered = decided["recipients"]
    complete = bool(ended + held == considered == view["progress"]["recipients"])
    verdict = "[green]exactly one[/]" if complete else "[red]NOT one[/]"
    OUT.print(
        f"\n{number(considered)} devices considered: {number(ended)} final outcomes and "
        f"{number(held)} held, {verdict} for each."
    )
    return complete


def _beside(decided: Json, expected: Json) -> Table:
    """By action and reason: as forecast, as recorded, and the difference."""
    said, found = _by_reason(expected["decisions"]), _by_reason(decided["decisions"])
    table = Table("action", "reason", "forecast", "recorded", "difference")
    for column in table.columns[2:]:
        column.justify = "right"
    for key in sorted(said | found, key=lambda key: (key[0], -found[key])):
        action, reason = key
        apart = found[key] - said[key]
        reason = "" if action == "send" else reason.replace("_", " ")
        table.add_row(action, reason, number(said[key]), number(found[key]), f"{apart:+,}")
    return table


def _by_reason(rows: Sequence[Json]) -> Counter[tuple[str, str]]:
    totals: Counter[tuple[str, str]] = Counter()
    for row in rows:
        totals[row["action"], row["reason"]] += row["count"]
    return totals


def _show_held(decided: Json) -> None:
    """Until when held ones are held, by the hour."""
    hours: Counter[str] = Counter()
    for row in decided["held"]:
        hours[row["at"]] += row["count"]
    if not hours:
        return
    last = max(hours)
    OUT.print(
        f"{number(hours.total())} held until their quiet hours end, the last of them in the hour "
        f"from {last[11:16]} UTC"
    )
    table = Table("sent in the hour from (UTC)", "devices", "")
    table.columns[1].justify = "right"
    most = max(hours.values())
    for at, count in sorted(hours.items()):
        table.add_row(at[:16].replace("T", " "), number(count), "█" * ceil(count / most * _BAR))
    OUT.print(table)


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
