"""Health, readiness, metrics, the OpenAPI document, and a page that says what this is."""

from typing import Final

import msgspec

from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.openapi import document
from clarion.api.page import FRONT_PAGE, errors_page
from clarion.api.problems import ProblemError
from clarion.api.routing import Api, Route
from clarion.domain.errors import ErrorCode
from clarion.telemetry import metrics

_HTML: Final = b"text/html; charset=utf-8"


class HealthView(msgspec.Struct, frozen=True):
    """The process answers."""

    ok: bool


PUSH: Final = "push"
"""The part that readiness tells of, and does not depend on."""


class ReadyView(msgspec.Struct, frozen=True):
    """Which parts work."""

    ready: bool
    parts: dict[str, bool]


async def health(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """The process is alive; says nothing about the store."""
    return json_answer(HealthView(ok=True))


async def ready(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """The server can take messages.

    A push service that does not listen is told and changes nothing else: what is sent meanwhile
    waits for it, and a balancer that took the API away would make two outages of one.
    """
    parts = dict(await api.deps.ready())
    if api.deps.stopping.is_set():
        parts["draining"] = False
    lame = ", ".join(sorted(name for name, works in parts.items() if not works and name != PUSH))
    if lame:
        raise ProblemError(ErrorCode.NOT_READY, f"Not ready: {lame}.", headers={"retry-after": "1"})
    return json_answer(ReadyView(ready=True, parts=parts))


async def scrape(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """Prometheus metrics of all processes of the server."""
    return Answer(200, api.deps.metrics.exposition(), metrics.CONTENT_TYPE)


async def openapi(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """This API as an OpenAPI 3.1 document."""
    from clarion.api.routes import ROUTES as ALL  # noqa: PLC0415  the table of which this is a part

    return Answer(200, document(ALL))


async def front(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """What this is, for people."""
    return Answer(200, FRONT_PAGE, _HTML)


async def errors(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """Every error code, what it means, and whether to try again."""
    return Answer(200, errors_page(), _HTML)


async def error(api: Api, call: Exchange) -> Answer:  # noqa: ARG001  every handler takes both
    """What the `type` of a problem leads to."""
    if call.params["code"] not in set(ErrorCode):
        raise ProblemError(ErrorCode.ROUTE_UNKNOWN, "No problem has this code.")
    return Answer(200, errors_page(ErrorCode(call.params["code"])), _HTML)


ROUTES: Final = (
    Route(
        method="GET",
        path="/healthz",
        handle=health,
        summary="Is the process alive?",
        tag="System",
        answers={200: HealthView},
    ),
    Route(
        method="GET",
        path="/readyz",
        handle=ready,
        summary="Can it take messages?",
        tag="System",
        answers={200: ReadyView},
        errors=(ErrorCode.NOT_READY,),
    ),
    Route(
        method="GET",
        path="/metrics",
        handle=scrape,
        summary="Prometheus metrics",
        tag="System",
        answers={200: "text/plain"},
    ),
    Route(
        method="GET",
        path="/openapi.json",
        handle=openapi,
        summary="This document",
        tag="System",
        answers={200: "application/json"},
    ),
    Route(
        method="GET",
        path="/",
        handle=front,
        summary="What this is",
        tag="System",
        answers={200: "text/html"},
    ),
    Route(
        method="GET",
        path="/errors",
        handle=errors,
        summary="All error codes",
        tag="System",
        answers={200: "text/html"},
    ),
    Route(
        method="GET",
        path="/errors/{code}",
        handle=error,
        summary="One error code",
        tag="System",
        answers={200: "text/html"},
        errors=(ErrorCode.ROUTE_UNKNOWN,),
    ),
)
