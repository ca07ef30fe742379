"""Tracked links: people pass through here to where a message sent them."""

import asyncio
import logging
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from clarion.api.exchange import Answer, Exchange
from clarion.api.problems import ProblemError
from clarion.api.routing import Api, Route
from clarion.domain.errors import ErrorCode
from clarion.ports.store import StoreUnavailableError
from clarion.stages.authoring.links import Click, is_web, opened
from clarion.stages.intake.clicks import Opening, record_click
from clarion.stages.intake.events import EventIntake
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

PATIENCE_S: Final = 1.0
"""Nobody waits longer for a page because a click is being counted."""
_RESERVED: Final = "%:/?#[]@!$&'()*+,;=~"
"""Left as it is in an address; what else is not ASCII or not visible is percent-encoded."""
_PURPOSES: Final = (b"sec-purpose", b"purpose", b"x-moz", b"x-purpose")
_LOGGER: Final = logging.getLogger(__name__)


async def follow(api: Api, call: Exchange) -> Answer:
    """Lead on to where a message's link goes, and record the click.

    The target is under a signature: nobody can make an address here that leads elsewhere. Not
    counted: HEAD, prefetches and previews, robots; a link counts once a day for each device.
    Whether or not the click can be recorded, the person gets to the page.
    """
    links = api.deps.words.links
    click = None if links is None else opened(call.params["click"], links.keys)
    if click is None or not is_web(click.target):
        raise ProblemError(ErrorCode.NOT_FOUND, "This link is not one of ours, or no longer.")
    await _count(api, call, click)
    location = quote(click.target, safe=_RESERVED).encode("ascii")
    return Answer(302, headers=((b"location", location),))


async def _count(api: Api, call: Exchange, click: Click) -> None:
    opening = Opening(
        app=click.app,
        message=click.message,
        device=click.device,
        place=click.place,
        method=call.method,
        user_agent=call.header(b"user-agent"),
        purpose=" ".join(call.header(name) or "" for name in _PURPOSES),
    )
    deps = api.deps
    intake = EventIntake(
        events=deps.events,
        clock=deps.clock,
        chance=deps.chance,
        keep=timedelta(days=deps.limits.events_days),
        create_people=False,
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            await record_click(intake, opening)
    except (StoreUnavailableError, TimeoutError) as error:
        log(
            _LOGGER,
            logging.WARNING,
            LogEvent.STORE_UNAVAILABLE,
            request_id=call.request_id,
            cause=f"a click was not counted: {error!r}",
        )


ROUTES: Final = (
    Route(
        method="GET",
        path="/r/{click}",
        handle=follow,
        summary="Follow a tracked link",
        tag="Messages",
        answers={302: None},
        errors=(ErrorCode.NOT_FOUND,),
    ),
)
