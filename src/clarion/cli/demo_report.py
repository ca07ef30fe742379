"""What the demo shows at its end, read from the recorded facts through the public API."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from rich.table import Table

from clarion.app.demo_audience import Audience
from clarion.cli.connection import Connection, Json
from clarion.cli.outcomes import by_network
from clarion.cli.output import OUT, number
from clarion.cli.trace import show_trace

SAMPLE: Final = 300
AT_ONCE: Final = 8
PERCENTILES: Final = (50, 90, 99)


async def latency_sample(
    connection: Connection, message: str, audience: Audience
) -> Sequence[float]:
    """Seconds from the message's acceptance to the network's answer, for some people's devices."""
    everybody = audience.rows["external_id"].unique(maintain_order=True)
    people = everybody.gather_every(max(1, len(everybody) // SAMPLE)).to_list()
    view = await connection.get(f"/v1/messages/{message}")
    taken_at = datetime.fromisoformat(view["created_at"])
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(person: str) -> list[float]:
        async with gate:
            trace = await connection.get(f"/v1/messages/{message}/recipients/{person}")
        return [
            (datetime.fromisoformat(attempt["at"]) - taken_at).total_seconds()
            for attempt in trace["attempts"]
            if attempt["outcome"] is not None and attempt["status"]
        ]

    return [s for seconds in await asyncio.gather(*map(one, people)) for s in seconds]


async def report(
    connection: Connection, message: str, audience: Audience, latencies: Sequence[float]
) -> bool:
    """Show everything; whether every device has exactly one outcome."""
    view = await connection.get(f"/v1/messages/{message}")
    OUT.print("\n[bold]What was recorded of the campaign[/], by network")
    OUT.print(by_network(view))
    suppressed = [row for row in view["outcomes"] if row["outcome"] == "suppressed"]
    OUT.print("Not sent on purpose, by reason")
    OUT.print(_by_reason(suppressed))
    OUT.print("Pace")
    OUT.print(_pace(view, latencies))
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


def _pace(view: Json, latencies: Sequence[float]) -> Table:
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
    if latencies:
        for share, value in zip(PERCENTILES, np.percentile(latencies, PERCENTILES), strict=True):
            table.add_row(f"taken in to network's answer, p{share}*", f"{value:.2f} s")
        table.caption = f"* of {number(len(latencies))} devices of people sampled evenly"
    return table
