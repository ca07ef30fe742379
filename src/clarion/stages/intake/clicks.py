"""A tracked link was opened: whether a person did that, and the event that says so."""

import re
from dataclasses import dataclass
from typing import Final
from uuid import UUID, uuid5

import polars as pl

from clarion.domain.ids import AppId, DeviceId, MessageId
from clarion.stages.intake.events import EventIntake, record_rows

NAME: Final = "clarion.clicked"
_SPACE: Final = UUID("6f5c1bb0-0f5c-5d3e-9a53-0d2b5f8f7c11")
"""Our own name space for ids of clicks (RFC 9562 section 5.5)."""
_AHEAD: Final = re.compile(r"prefetch|prerender|preview|preload", re.IGNORECASE)
_MACHINE: Final = re.compile(
    r"bot\b|bot/|crawl|spider|slurp|preview|scan|facebookexternalhit|embedly|whatsapp|skypeuri|"
    r"pingdom|monitor|headless|python-|curl/|wget/|go-http-client|java/|okhttp|libwww",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """A request for a tracked link."""

    app: AppId
    message: MessageId
    device: DeviceId
    place: int
    """0 for the message's link, 1 and more for its buttons."""
    method: str
    user_agent: str | None
    purpose: str
    """What the client says about its purpose (`Sec-Purpose`, `Purpose`, `X-Moz`, `X-Purpose`)."""


def by_a_person(opening: Opening) -> bool:
    """Whether it counts: a GET by a browser that shows the page now.

    Not counted: HEAD; what the client itself calls a prefetch or a preview; clients that name
    themselves as robots or libraries, or not at all; previews of ours, which are for no device.
    """
    agent = opening.user_agent
    return (
        opening.method == "GET"
        and opening.device > 0
        and bool(agent)
        and _MACHINE.search(agent or "") is None
        and _AHEAD.search(opening.purpose) is None
    )


async def record_click(intake: EventIntake, opening: Opening) -> bool:
    """Record that a person opened a link; whether it was recorded now.

    A link counts once a day for each device: the event's id is made of message, device and place,
    and ids are remembered by the day.

    Raises:
        StoreUnavailableError: nothing was recorded.
    """
    if not by_a_person(opening):
        return False
    what = f"{opening.app} {opening.message} {opening.device} {opening.place}"
    rows = pl.DataFrame(
        {
            "id": [str(uuid5(_SPACE, what))],
            "device": pl.Series([opening.device], dtype=pl.Int64),
            "name": [NAME],
            "message": [opening.message],
            "properties": [f'{{"place":{opening.place}}}'],
        }
    )
    done = await record_rows(intake, opening.app, rows)
    return done.rows_in > 0
