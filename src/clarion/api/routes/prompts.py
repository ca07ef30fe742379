"""Asking for the system's permission: where devices stand, and how asking goes."""

from datetime import date, datetime, timedelta
from typing import Final

from clarion.api.decoding import number, said_at, utc
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.naming import device_of
from clarion.api.preferring import evidence_of
from clarion.api.problems import ProblemError, not_found, sentence
from clarion.api.routing import Api, Route
from clarion.api.shapes.consent import (
    DevicePromptBody,
    FunnelDay,
    FunnelQuery,
    FunnelStep,
    FunnelVersion,
    FunnelView,
    PromptBody,
    PromptView,
    VisitorSteps,
)
from clarion.api.shapes.people import DeviceToken
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import DeviceId
from clarion.domain.permission import PromptInput
from clarion.ports.consent import PromptPlace, PromptRefusedError, PromptStep
from clarion.ports.keys import Scope

FUNNEL_DAYS: Final = 30


async def read_prompt(api: Api, call: Exchange) -> Answer:
    """Where a device stands: what the system lets the app show, and how far asking has come."""
    place = await api.deps.permissions.place(call.caller.app, _device(call))
    if place is None:
        raise not_found("device")
    return json_answer(_place(place))


async def step(api: Api, call: Exchange) -> Answer:
    """Tell one step of asking for the permission; told again with the same `id`, it counts once."""
    return await _step(api, call, await call.json(PromptBody, api.deps.limits.max_body))


async def step_of_device(api: Api, call: Exchange) -> Answer:
    """The same from the device itself, which its own token proves."""
    body = await call.json(DevicePromptBody, api.deps.limits.max_body)
    device = await device_of(api, call, DeviceToken(body.network, body.token))
    return await _step(api, call, body, device.id)


async def _step(
    api: Api, call: Exchange, body: PromptBody, device: DeviceId | None = None
) -> Answer:
    now = api.deps.clock.now()
    at = said_at(body.at, now, "/at")
    named = _device(call) if device is None else device
    try:
        place = await api.deps.permissions.step(
            call.caller.app,
            named,
            PromptStep(what=PromptInput(body.what), at=at, version=body.version, key=body.id),
            now,
        )
    except PromptRefusedError as error:
        raise ProblemError(ErrorCode.STATE_CONFLICT, sentence(str(error))) from None
    if place is None:
        raise not_found("device")
    return json_answer(_place(place))


async def step_of_visitor(api: Api, call: Exchange) -> Answer:
    """Count steps of somebody who has no device: people who say no have none.

    Nothing in it is about a person: each step has an id of its own, by which it counts once, and
    nothing ties one to another. Not kept: the address, of which only the network's quota knows.
    """
    body = await call.json(VisitorSteps, api.deps.limits.max_body)
    network = evidence_of(call).get("address", "")
    api.visitors.take(network, api.deps.clock.monotonic(), len(body.steps))
    now = api.deps.clock.now()
    steps = {
        one.id: PromptStep(
            what=PromptInput(one.what),
            at=said_at(one.at, now, f"/steps/{place}/at"),
            version=one.version,
        )
        for place, one in enumerate(body.steps)
    }
    await api.deps.permissions.visitors(call.caller.app, steps, now)
    return Answer(204)


async def funnel(api: Api, call: Exchange) -> Answer:
    """How asking for the permission went, on the app's devices and with visitors who have none.

    By day, language and text too: what an experiment is read from.
    """
    since, until = _stretch(api, call)
    found = await api.deps.permissions.funnel(call.caller.app, since, until)
    days: dict[tuple[date, str, str], FunnelDay] = {}
    for one in found.days:
        days.setdefault(one.key, FunnelDay(*one.key, {})).steps[one.what.value] = one.times
    return json_answer(
        FunnelView(
            since,
            until,
            [FunnelStep(each.what.value, each.times, each.devices) for each in found.steps],
            [
                FunnelVersion(version, what.value, times)
                for (version, what), times in found.versions.items()
            ],
            list(days.values()),
            found.cut,
            {permission.label: count for permission, count in found.permissions.items()},
        )
    )


def _stretch(api: Api, call: Exchange) -> tuple[datetime, datetime]:
    """The stretch of time that is asked about; raises `ProblemError`."""
    query = call.query(FunnelQuery)
    until = api.deps.clock.now() if query.until is None else utc(query.until, "?until")
    if query.since is None:
        return until - timedelta(days=FUNNEL_DAYS), until
    return utc(query.since, "?since"), until


def _device(call: Exchange) -> DeviceId:
    return DeviceId(number(call.params["id"], "device"))


def _place(place: PromptPlace) -> PromptView:
    return PromptView(place.state.value, place.permission.label, place.permission_at)


_PROMPT: Final = "/v1/devices/{id}/prompt"

ROUTES: Final = (
    Route(
        method="GET",
        path=_PROMPT,
        handle=read_prompt,
        summary="Show a device's permission",
        tag="Permission",
        scope=Scope.SEND,
        answers={200: PromptView},
    ),
    Route(
        method="POST",
        path=_PROMPT,
        handle=step,
        summary="Tell a step of asking for the permission",
        tag="Permission",
        scope=Scope.SEND,
        body=PromptBody,
        answers={200: PromptView},
        errors=(ErrorCode.STATE_CONFLICT,),
    ),
    Route(
        method="POST",
        path="/v1/devices:prompt",
        handle=step_of_device,
        summary="Tell a step from the device itself",
        tag="Permission",
        scope=Scope.DEVICE,
        body=DevicePromptBody,
        answers={200: PromptView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.STATE_CONFLICT),
    ),
    Route(
        method="GET",
        path="/v1/prompts",
        handle=funnel,
        summary="Show the prompt funnel",
        tag="Permission",
        scope=Scope.SEND,
        query=FunnelQuery,
        answers={200: FunnelView},
        errors=(ErrorCode.REQUEST_INVALID,),
    ),
    Route(
        method="POST",
        path="/v1/prompts",
        handle=step_of_visitor,
        summary="Count steps of those who have no device",
        tag="Permission",
        scope=Scope.DEVICE,
        body=VisitorSteps,
        answers={204: None},
        errors=(ErrorCode.REQUEST_INVALID, ErrorCode.RATE_LIMITED),
    ),
)
