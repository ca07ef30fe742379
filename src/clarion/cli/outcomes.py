"""What became of a message, from its recorded facts: waiting for it, and showing it."""

from collections.abc import Callable
from typing import Final

import orjson
from rich.table import Table

from clarion.cli.connection import Connection, Json
from clarion.cli.output import number

ENDED: Final = frozenset({"finished", "canceled"})
LABELS: Final = {"apns": "APNs", "fcm": "FCM", "webpush": "Web Push", "none": "no device"}
ALWAYS: Final = ("accepted", "dead", "refused", "suppressed")
"""Outcomes that are shown even where there is none."""


async def follow(connection: Connection, message: str, show: Callable[[Json], None]) -> None:
    """Watch a message's events until it has ended or is paused; `show` gets each progress.

    A message that waits for somebody would be waited for without end.
    """
    while True:
        async for event in connection.events(f"/v1/messages/{message}/events"):
            if event.name == "progress":
                seen = orjson.loads(event.data)
                show(seen)
                if seen["state"] == "paused":
                    return
            elif event.name == "end":
                return


def by_network(view: Json) -> Table:
    """Per network accepted, dead, refused and so on, and how many were tried more than once."""
    outcomes = [*ALWAYS, *(name for name in view["by_outcome"] if name not in ALWAYS)]
    table = Table("network", *outcomes, "all", "tried again")
    for column in table.columns[1:]:
        column.justify = "right"
    for network, counts in view["by_network"].items():
        row = [number(counts.get(name, 0)) for name in outcomes]
        again = number(view["retried_by_network"].get(network, 0))
        table.add_row(LABELS.get(network, network), *row, number(sum(counts.values())), again)
    return table


def reasons(view: Json) -> Table:
    """Every reason with its count, most frequent first."""
    totals: dict[tuple[str, str], int] = {}
    for row in view["outcomes"]:
        key = row["outcome"], row["reason"]
        totals[key] = totals.get(key, 0) + row["count"]
    table = Table("outcome", "reason", "recipients")
    table.columns[2].justify = "right"
    for (outcome, reason), count in sorted(totals.items(), key=lambda item: -item[1]):
        table.add_row(outcome, reason.replace("_", " "), number(count))
    return table
