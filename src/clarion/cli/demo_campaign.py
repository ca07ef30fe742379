"""The demo's campaign: consent and rules, the dry run, and sending it."""

import asyncio
from typing import Final

import polars as pl

from clarion.adapters.system import SystemClock
from clarion.app import demo_rules
from clarion.app.demo_audience import Audience
from clarion.cli.connection import Connection, Json
from clarion.cli.exits import CommandError, Exit
from clarion.cli.output import OUT, number, progress

CONSENT_ROWS: Final = 5_000
"""As many as one request takes."""
_AT_A_TIME: Final = 2
_LOOK_S: Final = 0.25
_STEADY_LOOKS: Final = 12
"""So often nothing may change before planning counts as done without the forecast's number."""


async def give_consents(connection: Connection, audience: Audience) -> None:
    """Bring what people said about marketing, and their own quiet hours."""
    clock = SystemClock()
    started = clock.monotonic()
    entries = 0
    for part in audience.consents:
        entries += await _record_all(connection, part)
    seconds = max(1e-3, clock.monotonic() - started)
    OUT.print(
        f"  {number(audience.consents[0].height)} opt-ins and "
        f"{number(audience.consents[1].height)} withdrawals in the ledger: {number(entries)} "
        f"entries in {seconds:.1f} s ({number(entries / seconds)}/s)"
    )
    now = clock.now()
    await asyncio.gather(
        *(
            connection.put(
                f"/v1/users/{person}/preferences",
                {"quiet_hours": demo_rules.own_windows(now, zone)},
            )
            for person, zone in audience.sleepers
        )
    )
    OUT.print(f"  {number(len(audience.sleepers))} people set quiet hours of their own")


async def _record_all(connection: Connection, part: pl.DataFrame) -> int:
    """Two requests at a time: one is read while the other is written."""
    free = asyncio.Semaphore(_AT_A_TIME)

    async def one(rows: pl.DataFrame) -> int:
        async with free:
            return await _record(connection, rows)

    return sum(await asyncio.gather(*(one(rows) for rows in part.iter_slices(CONSENT_ROWS))))


async def _record(connection: Connection, rows: pl.DataFrame) -> int:
    common = {
        "category": demo_rules.CATEGORY,
        "how": "import",
        "text": "Yes, tell me about new things.",
        "text_version": "2026-01",
    }
    consents = [{**common, **row} for row in rows.iter_rows(named=True)]
    done = await connection.post("/v1/consent", {"consents": consents})
    if done["refused"]:
        first = done["refused"][0]
        raise CommandError(
            f"consent {first['index']} of the demo's own is refused: {first['detail']}",
            Exit.FINDINGS,
        )
    return len(done["items"])


async def set_rules(connection: Connection, audience: Audience) -> None:
    """Quiet hours, a cap, and the template."""
    start, end = audience.quiet
    windows = {"windows": [{"from": start, "to": end}], "action": "hold"}
    await connection.patch("/v1/app", {"quiet_hours": windows, "caps": [demo_rules.CAP]})
    await connection.put(f"/v1/templates/{demo_rules.TEMPLATE}", demo_rules.template())
    OUT.print(
        f"  quiet hours {start} to {end} where people are (a third of them, at this moment); "
        "at most one marketing message in 24 hours; words in en, es, fr, de"
    )


async def small_campaign(connection: Connection) -> None:
    """A first message to a few, which fills their cap."""
    accepted = await connection.post("/v1/messages", demo_rules.members_preview())
    message = str(accepted["id"])
    view = await sent(connection, message, 1)
    decided = await connection.get(f"/v1/messages/{message}/decisions")
    of = decided["by_action"]
    OUT.print(
        f"  {number(decided['recipients'])} devices: {number(view['by_outcome']['accepted'])} "
        f"accepted, {number(of['hold'])} held for quiet hours, {number(of['skip'])} not sent to"
    )


async def forecast(connection: Connection) -> Json:
    """The dry run of the campaign."""
    clock = SystemClock()
    started = clock.monotonic()
    found = await connection.post("/v1/messages/dry-run?samples=4", demo_rules.campaign())
    seconds = clock.monotonic() - started
    of = found["by_action"]
    OUT.print(
        f"  decided about {number(found['recipients'])} devices of {number(found['people'])} "
        f"people in {seconds:.1f} s: {number(of['send'])} at once, {number(of['hold'])} later, "
        f"{number(of['skip'])} not"
    )
    for one in found["samples"]:
        OUT.print(f"  {one['external_id']}: {one['title']} · {one['body']}", soft_wrap=True)
    return found


async def full_campaign(connection: Connection, expected: int) -> str:
    """Send the campaign, with a live bar; its id once all is sent that is due."""
    accepted = await connection.post("/v1/messages", demo_rules.campaign())
    message = str(accepted["id"])
    view = await sent(connection, message, expected)
    OUT.print(
        f"  {number(view['progress']['done'])} outcomes recorded; the message is {view['state']}"
    )
    return message


async def sent(connection: Connection, message: str, expected: int) -> Json:
    """Wait until everything that is due now has its outcome; the message as it is then.

    Held recipients stay held: they are counted, not waited for.

    Args:
        connection: to the platform.
        message: its id.
        expected: so many recipients a forecast says. Where planning comes to another number, it
            counts as done when nothing has changed for some seconds.
    """
    with progress() as bar:
        task = bar.add_task("  outcomes", total=None, note="")
        before, steady = (-1, -1), 0
        while True:
            view = await connection.get(f"/v1/messages/{message}")
            seen = view["progress"]
            note = f"{number(seen['retried'])} tried again" if seen["retried"] else ""
            bar.update(task, completed=seen["done"], total=seen["recipients"] or None, note=note)
            now = seen["done"], seen["recipients"]
            steady = steady + 1 if now == before else 0
            before = now
            if view["state"] == "finished":
                return view
            if steady and (seen["recipients"] >= expected or steady >= _STEADY_LOOKS):
                decided = await connection.get(f"/v1/messages/{message}/decisions")
                held = decided["by_action"]["hold"]
                if seen["recipients"] and seen["done"] + held == seen["recipients"]:
                    bar.update(task, note=f"{number(held)} held")
                    return view
            await asyncio.sleep(_LOOK_S)
