"""Delivery receipts become facts: what a device confirms, it has received.

A receipt is recorded as an event whose id is made of the message, the device and what became of it,
and only then marked as read. A process that dies between the two reads it again, and the event is
there already.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from clarion.domain.event import COLUMNS, RECEIVED, RESERVED, UNDELIVERED, day_of, once
from clarion.domain.ids import AppId
from clarion.domain.network import Network
from clarion.ports.events import Events
from clarion.ports.receipts import Receipts
from clarion.ports.system import Clock

AT_ONCE: Final = 5_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedbackPorts:
    """What reading receipts needs."""

    receipts: Receipts
    events: Events
    clock: Clock


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a page of receipts came to."""

    recorded: int
    unknown: int
    """Receipts about devices that nobody knows any more."""
    more: bool
    """There may be more to read."""


async def record_receipts(ports: FeedbackPorts) -> Told:
    """Read some receipts and record them.

    Raises:
        StoreUnavailableError: what was not recorded is read again.
    """
    page = await ports.receipts.unread(at_most=AT_ONCE)
    recorded = unknown = 0
    for (app,), rows in page.rows.partition_by("app", as_dict=True, maintain_order=True).items():
        done = await ports.events.record(
            AppId(int(app)), events_of(rows), create_people=False, now=ports.clock.now()
        )
        recorded += done.recorded
        unknown += len(done.unknown)
    if page.looked_at:
        await ports.receipts.read(page)
    return Told(recorded=recorded, unknown=unknown, more=page.looked_at == AT_ONCE)


def events_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Receipts as events; the same receipt is the same event, whoever reads it and how often.

    Args:
        rows: columns of `clarion.ports.receipts.COLUMNS`.
    """
    name = pl.when("delivered").then(pl.lit(RECEIVED)).otherwise(pl.lit(UNDELIVERED))
    made = rows.select(
        "message",
        "token",
        "at_us",
        name.alias("name"),
        pl.lit(int(Network.WEBPUSH), COLUMNS["network"]).alias("network"),
    )
    told = zip(made["message"], made["name"], made["token"], made["at_us"], strict=True)
    # The worker of a page tells `received` too, under the same id: it counts once.
    ids = [once(message, name.removeprefix(RESERVED), *rest) for message, name, *rest in told]
    absent = [name for name in COLUMNS if name not in {*made.columns, "id", "day"}]
    return made.with_columns(
        pl.Series("id", ids, COLUMNS["id"]),
        pl.Series("day", [day_of(one) for one in ids], COLUMNS["day"]),
        *(pl.lit(None, COLUMNS[name]).alias(name) for name in absent),
    ).select(list(COLUMNS))
