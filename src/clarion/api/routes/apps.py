"""Apps (tenants). Every key belongs to one; only the operator's app may make and list others."""

from typing import Final

from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.problems import ProblemError, field_problem, not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.apps import AppBody, AppList, AppView
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.ports.apps import AppExistsError, AppRecord
from clarion.ports.keys import Scope


async def read_own(api: Api, call: Exchange) -> Answer:
    """The app that the key belongs to."""
    record = await api.deps.apps.get(call.caller.app)
    if record is None:
        raise not_found("app")
    return json_answer(_view(record))


async def read_all(api: Api, call: Exchange) -> Answer:
    """Every app of the server; the operator only."""
    only_operator(api, call)
    return json_answer(AppList([_view(record) for record in await api.deps.apps.all()]))


async def create(api: Api, call: Exchange) -> Answer:
    """Make an app; the operator only. Then make its first key with `POST /v1/keys`."""
    only_operator(api, call)
    body = await call.json(AppBody, api.deps.limits.max_body)
    now = api.deps.clock.now()
    try:
        record = await api.deps.apps.create(
            body.name, time_zone=body.time_zone, language=body.language, now=now
        )
    except AppExistsError:
        taken = field_problem("/name", FieldCode.INVALID, "Another app has this name.")
        raise ProblemError(ErrorCode.NAME_TAKEN, taken.detail, errors=[taken]) from None
    return json_answer(_view(record), 201)


def only_operator(api: Api, call: Exchange) -> None:
    """Raises `ProblemError`, 403, unless the key belongs to the operator's app."""
    if api.deps.operator_app is None or call.caller.app != api.deps.operator_app:
        raise ProblemError(
            ErrorCode.SCOPE_INSUFFICIENT, "Only keys of the operator's app may do this."
        )


def _view(record: AppRecord) -> AppView:
    return AppView(record.id, record.name, record.time_zone, record.language, record.created_at)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/app",
        handle=read_own,
        summary="Show the key's app",
        tag="Apps",
        scope=Scope.SEND,
        answers={200: AppView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="GET",
        path="/v1/apps",
        handle=read_all,
        summary="List all apps",
        tag="Apps",
        scope=Scope.ADMIN,
        answers={200: AppList},
    ),
    Route(
        method="POST",
        path="/v1/apps",
        handle=create,
        summary="Make an app",
        tag="Apps",
        scope=Scope.ADMIN,
        body=AppBody,
        answers={201: AppView},
        errors=(ErrorCode.NAME_TAKEN,),
    ),
)
