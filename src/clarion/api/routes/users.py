"""People: by external id, by alias, by id; anonymous ones become known when they log in."""

import math
from typing import Final

from clarion.api.auth import check_identity
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.naming import PEOPLE, person_of, ref_of
from clarion.api.paging import number_page
from clarion.api.problems import (
    ProblemError,
    field_problem,
    invalid,
    not_found,
    pointer,
    sentence,
)
from clarion.api.registering import (
    device_view,
    person_change,
    person_row,
    person_view,
    register_rows,
)
from clarion.api.routing import Api, Route
from clarion.api.shapes.people import (
    DeviceList,
    MergeBody,
    PageQuery,
    PersonBatch,
    PersonBody,
    PersonPage,
    PersonView,
    RegisteredList,
)
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.ids import UserId
from clarion.domain.person import MERGES_A_DAY, PersonChange
from clarion.ports.keys import KeyRecord, Scope
from clarion.ports.registry import (
    AliasTakenError,
    AttributesRefusedError,
    DevicesLimitError,
    MergeLimitError,
    PersonRecord,
    RegistryError,
)


async def put(api: Api, call: Exchange) -> Answer:
    """Create the person, or change what is known; what is absent stays as it is."""
    external_id = call.params["external_id"]
    change = await _change(api, call, external_id)
    now = api.deps.clock.now()
    try:
        record, created = await api.deps.people.put(call.caller.app, external_id, change, now)
    except RegistryError as error:
        raise registry_refusal(error) from None
    return json_answer(person_view(record), 201 if created else 200)


async def put_many(api: Api, call: Exchange) -> Answer:
    """Create or change many people. Good rows are stored, bad ones reported by their index."""
    body = await call.json(PersonBatch, api.deps.limits.max_batch_body)
    rows = [person_row(row) for row in body.users]
    return await register_rows(api, call, rows, strip="/user")


async def create_anonymous(api: Api, call: Exchange) -> Answer:
    """A new person without an external id."""
    change = await _change(api, call, None)
    try:
        record = await api.deps.people.create_anonymous(
            call.caller.app, change, api.deps.clock.now()
        )
    except RegistryError as error:
        raise registry_refusal(error) from None
    return json_answer(person_view(record), 201)


async def read_page(api: Api, call: Exchange) -> Answer:
    """All people in order of their ids."""
    page = number_page(api, call, "users", call.query(PageQuery))
    after = None if page.after is None else UserId(page.after)
    records = await api.deps.people.page(page.app, after=after, limit=page.limit)
    following = page.following([record.id for record in records])
    return json_answer(PersonPage([person_view(record) for record in records], following))


async def read_one(api: Api, call: Exchange) -> Answer:
    """A person with aliases and attributes."""
    return json_answer(person_view(await person_of(api, call)))


async def patch(api: Api, call: Exchange) -> Answer:
    """Change a person who is known."""
    ref = ref_of(call)
    change = await _change(api, call, None)
    try:
        record = await api.deps.people.change(call.caller.app, ref, change, api.deps.clock.now())
    except RegistryError as error:
        raise registry_refusal(error) from None
    if record is None:
        raise not_found("user")
    return json_answer(person_view(record))


async def delete(api: Api, call: Exchange) -> Answer:
    """Forget a person with all devices and aliases."""
    if await api.deps.people.delete(call.caller.app, ref_of(call)) is None:
        raise not_found("user")
    return Answer(204)


async def read_devices(api: Api, call: Exchange) -> Answer:
    """All devices of a person, dead ones included."""
    person = await person_of(api, call)
    records = await api.deps.devices.of_person(call.caller.app, person.id)
    token = call.caller.scope is Scope.ADMIN
    return json_answer(DeviceList([device_view(r, with_token=token) for r in records]))


async def merge(api: Api, call: Exchange) -> Answer:
    """An anonymous person turns out to be `external_id`.

    Devices, aliases, attributes, lists, topics, events and what caps counted move to the person of
    that external id, where what is known already wins. When nobody has the external id, the
    anonymous person gets it.
    """
    body = await call.json(MergeBody, api.deps.limits.max_body)
    record = await turn_out(api, call, UserId(body.user), body.external_id)
    if record is None:
        raise not_found("anonymous user")
    return json_answer(person_view(record))


async def turn_out(
    api: Api, call: Exchange, anonymous: UserId, external_id: str
) -> PersonRecord | None:
    """An anonymous person is `external_id` from now on; None when there is no such.

    Raises `ProblemError`: 429 when too many have been the same person today, 422 when the person
    would have too many devices.
    """
    now = api.deps.clock.now()
    try:
        return await api.deps.people.login(call.caller.app, anonymous, external_id, now)
    except DevicesLimitError as error:
        raise devices_refusal(error, "/external_id") from None
    except MergeLimitError as error:
        wait = max(1, math.ceil((error.retry_at - now).total_seconds()))
        raise ProblemError(
            ErrorCode.RATE_LIMITED,
            f"More than {MERGES_A_DAY} anonymous people would have turned out to be this one in a "
            "day.",
            headers={"retry-after": str(wait)},
        ) from None


async def demand_identity(api: Api, key: KeyRecord, external_id: str, token: str | None) -> None:
    """With a `device` key, check who the person is where the app has an identity secret.

    Raises `ProblemError`, 401.
    """
    secret = await identity_secret(api, key)
    if secret is not None:
        check_identity(token, secret, external_id, api.deps.clock.now())


async def identity_secret(api: Api, key: KeyRecord) -> bytes | None:
    """With what the app's server vouches for people; None where it need not for this key."""
    if key.scope is not Scope.DEVICE or not api.deps.identity_secrets:
        return None
    app = await api.deps.apps.get(key.app)
    return None if app is None else api.deps.identity_secrets.get(app.name)


def devices_refusal(error: DevicesLimitError, path: str) -> ProblemError:
    """Somebody has as many devices as one may have; `path` names them in the request."""
    detail = sentence(str(error))
    found = field_problem(path, "devices_limit", detail)
    return ProblemError(ErrorCode.REQUEST_INVALID, detail, errors=[found])


def registry_refusal(error: RegistryError) -> ProblemError:
    """What the registry refuses, as an answer."""
    if isinstance(error, AliasTakenError):
        found = field_problem(
            pointer("aliases", error.label), FieldCode.INVALID, "Another person has this alias."
        )
        return ProblemError(ErrorCode.NAME_TAKEN, found.detail, errors=[found])
    detail = sentence(str(error))
    if isinstance(error, AttributesRefusedError):
        return invalid("/attributes", detail, FieldCode.TOO_LARGE)
    return ProblemError(ErrorCode.STATE_CONFLICT, detail)


async def _change(api: Api, call: Exchange, external_id: str | None) -> PersonChange:
    body = await call.json(PersonBody, api.deps.limits.max_body)
    return person_change(body, external_id, api.deps.rules.zones, api.deps.clock.now())


_ONE: Final = (ErrorCode.NOT_FOUND,)
_CHANGE: Final = (ErrorCode.NOT_FOUND, ErrorCode.NAME_TAKEN)
_NAMED: Final = PEOPLE[0][0]


def _person_routes(path: str, how: str) -> tuple[Route, ...]:
    """What can be done with one person, however the path names the person."""
    return (
        Route(
            method="GET",
            path=path,
            handle=read_one,
            summary=f"Show a person {how}",
            tag="Users",
            scope=Scope.SEND,
            answers={200: PersonView},
            errors=_ONE,
        ),
        Route(
            method="PATCH",
            path=path,
            handle=patch,
            summary=f"Change a person {how}",
            tag="Users",
            scope=Scope.SEND,
            body=PersonBody,
            answers={200: PersonView},
            errors=_CHANGE,
        ),
        Route(
            method="DELETE",
            path=path,
            long_work=True,
            handle=delete,
            summary=f"Forget a person {how}",
            tag="Users",
            scope=Scope.SEND,
            answers={204: None},
            errors=_ONE,
        ),
        Route(
            method="GET",
            path=f"{path}/devices",
            handle=read_devices,
            summary=f"List a person's devices {how}",
            tag="Users",
            scope=Scope.SEND,
            answers={200: DeviceList},
            errors=_ONE,
        ),
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/users",
        handle=read_page,
        summary="List people",
        tag="Users",
        scope=Scope.SEND,
        query=PageQuery,
        answers={200: PersonPage},
        errors=(ErrorCode.CURSOR_INVALID,),
    ),
    Route(
        method="POST",
        path="/v1/users",
        handle=create_anonymous,
        summary="Make an anonymous person",
        tag="Users",
        scope=Scope.SEND,
        body=PersonBody,
        answers={201: PersonView},
        errors=(ErrorCode.NAME_TAKEN,),
    ),
    Route(
        method="POST",
        path="/v1/users:batch",
        long_work=True,
        handle=put_many,
        summary="Create or change many people",
        tag="Users",
        scope=Scope.SEND,
        body=PersonBatch,
        answers={200: RegisteredList},
    ),
    Route(
        method="POST",
        path="/v1/users:merge",
        long_work=True,
        handle=merge,
        summary="Make an anonymous person a known one",
        tag="Users",
        scope=Scope.SEND,
        body=MergeBody,
        answers={200: PersonView},
        errors=_ONE,
    ),
    Route(
        method="PUT",
        path=_NAMED,
        handle=put,
        summary="Create or change a person",
        tag="Users",
        scope=Scope.SEND,
        body=PersonBody,
        answers={200: PersonView, 201: PersonView},
        errors=(ErrorCode.NAME_TAKEN,),
    ),
    *(route for path, how in PEOPLE for route in _person_routes(path, how)),
)
