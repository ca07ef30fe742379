"""Devices: registered by their tokens, which prove who they are."""

from collections.abc import Sequence
from typing import Final

from clarion.api.decoding import number
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.naming import device_of, known_token
from clarion.api.paging import number_page
from clarion.api.problems import (
    ProblemError,
    field_problem,
    invalid,
    not_found,
)
from clarion.api.registering import (
    device_change,
    device_row,
    device_view,
    register_rows,
)
from clarion.api.routes.users import (
    demand_identity,
    devices_refusal,
    identity_secret,
    registry_refusal,
    turn_out,
)
from clarion.api.routing import Api, Route
from clarion.api.shapes.people import (
    DeviceBatch,
    DeviceBody,
    DevicePage,
    DevicePatch,
    DeviceToken,
    DeviceView,
    LoginBody,
    PageQuery,
    RegisteredList,
    RegisteredView,
)
from clarion.domain.attributes import FieldProblem
from clarion.domain.conditions import Row
from clarion.domain.device import DeviceChange
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import DeviceId, UserId
from clarion.domain.network import NETWORK_BY_LABEL
from clarion.domain.person import PersonChange
from clarion.ports.keys import Scope
from clarion.ports.registry import (
    ById,
    DeviceRecord,
    DevicesLimitError,
    PersonRecord,
    PersonUnknownError,
    RegistryError,
    Renewed,
)
from clarion.stages.intake.register import judge_row


async def register_one(api: Api, call: Exchange) -> Answer:
    """Register a device, or tell what changed: the one call of a client.

    A known token keeps its id; one that comes with another person moves there, and whoever was
    anonymous on it turns out to be that person, as by a login; a dead one lives again; one that
    `replaces` another is the device of that other. With a `device` key a person is named by
    external id only, signed where the app demands.
    """
    body = await call.json(DeviceBody, api.deps.limits.max_body)
    if call.caller.scope is Scope.DEVICE and body.user is not None:
        raise invalid("/user", "With a `device` key name the person by `external_id`.")
    if call.caller.scope is Scope.DEVICE and body.aliases:
        raise invalid("/aliases", "Aliases are given with a `send` key.")
    if body.external_id is not None:
        await demand_identity(api, call.caller, body.external_id, body.identity_token)
    row = device_row(body, "")
    if body.replaces is not None and await _may_renew(api, call, body, body.replaces):
        await _renew(api, call, body.replaces, row)
    done = await api.registrar.register(call.caller.app, row)
    _refuse(done.problems)
    view = RegisteredView(done.device, done.user, done.created)
    return json_answer(view, 201 if view.created else 200)


async def _may_renew(api: Api, call: Exchange, body: DeviceBody, old: str) -> bool:
    """Whether the old token is enough: not for a person for whom the app's server has to vouch.

    Who has seen an address must not get what is sent to it. `body.external_id` is vouched for.
    """
    if await identity_secret(api, call.caller) is None:
        return True
    network = NETWORK_BY_LABEL[body.network]
    held = await api.deps.devices.find(call.caller.app, network, known_token(network, old))
    if held is None:
        return False
    person = await api.deps.people.get(call.caller.app, ById(id=held.user))
    return person is not None and person.external_id in {None, body.external_id}


async def _renew(api: Api, call: Exchange, old: str, row: Row) -> None:
    """Give the device of the old token the new one, where nothing is wrong with that."""
    now = api.deps.clock.now()
    judged = judge_row(row, rules=api.deps.rules, now=now)
    _refuse(judged.problems)
    network, keys = NETWORK_BY_LABEL[str(row["network"]).lower()], judged.row.get("keys")
    renewed = Renewed(
        token=str(judged.row["token"]), keys=keys if isinstance(keys, bytes) else None
    )
    await api.deps.devices.renew(call.caller.app, network, known_token(network, old), renewed, now)


def _refuse(problems: Sequence[FieldProblem]) -> None:
    if problems:
        errors = [field_problem(p.path, p.code, p.detail) for p in problems]
        raise ProblemError(
            ErrorCode.REQUEST_INVALID, f"{errors[0].path}: {errors[0].detail}.", errors=errors
        )


async def register_many(api: Api, call: Exchange) -> Answer:
    """Register many devices. Good rows are stored, bad ones reported by their index."""
    body = await call.json(DeviceBatch, api.deps.limits.max_batch_body)
    rows = [device_row(row, f"/devices/{index}") for index, row in enumerate(body.devices)]
    return await register_rows(api, call, rows)


async def log_in(api: Api, call: Exchange) -> Answer:
    """Whoever uses the device turns out to be `external_id`.

    An anonymous person becomes that person, or is merged into the one who has that external id; a
    device of somebody else moves. The device's own token proves that the caller is the device. At
    most 100 anonymous people turn out to be the same person in a day.
    """
    body = await call.json(LoginBody, api.deps.limits.max_body)
    await demand_identity(api, call.caller, body.external_id, body.identity_token)
    device, person = await _own(api, call, DeviceToken(body.network, body.token))
    app, now = call.caller.app, api.deps.clock.now()
    if person.external_id is None:
        merged = await turn_out(api, call, person.id, body.external_id)
        if merged is not None:
            return json_answer(RegisteredView(device.id, merged.id, created=False))
    known, _ = await api.deps.people.put(app, body.external_id, PersonChange(), now)
    await _move(api, call, device, known.id)
    return json_answer(RegisteredView(device.id, known.id, created=False))


async def log_out(api: Api, call: Exchange) -> Answer:
    """The device belongs to a new anonymous person from now on."""
    device, person = await _own(api, call, await call.json(DeviceToken, api.deps.limits.max_body))
    if person.external_id is None:
        return json_answer(RegisteredView(device.id, person.id, created=False))
    now = api.deps.clock.now()
    nobody = await api.deps.people.create_anonymous(call.caller.app, PersonChange(), now)
    await _move(api, call, device, nobody.id)
    return json_answer(RegisteredView(device.id, nobody.id, created=False))


async def forget(api: Api, call: Exchange) -> Answer:
    """Forget the device of this token for good."""
    device, _ = await _own(api, call, await call.json(DeviceToken, api.deps.limits.max_body))
    if not await api.deps.devices.delete(call.caller.app, device.id):
        raise not_found("device")
    return Answer(204)


async def find(api: Api, call: Exchange) -> Answer:
    """The device of a token. The token travels in the body: addresses end up in logs."""
    device, _ = await _own(api, call, await call.json(DeviceToken, api.deps.limits.max_body))
    return _show(call, device)


async def read_page(api: Api, call: Exchange) -> Answer:
    """All devices in order of their ids, dead ones included."""
    page = number_page(api, call, "devices", call.query(PageQuery))
    after = None if page.after is None else DeviceId(page.after)
    records = await api.deps.devices.page(page.app, after=after, limit=page.limit)
    following = page.following([record.id for record in records])
    token = call.caller.scope is Scope.ADMIN
    return json_answer(DevicePage([device_view(r, with_token=token) for r in records], following))


async def read_one(api: Api, call: Exchange) -> Answer:
    """A device."""
    record = await api.deps.devices.get(call.caller.app, _id(call))
    if record is None:
        raise not_found("device")
    return _show(call, record)


async def patch(api: Api, call: Exchange) -> Answer:
    """Change what is known of a device; what is absent stays, null clears."""
    device = _id(call)
    body = await call.json(DevicePatch, api.deps.limits.max_body)
    now = api.deps.clock.now()
    change = device_change(body, api.deps.rules.zones, now)
    try:
        record = await api.deps.devices.change(call.caller.app, device, change, now)
    except PersonUnknownError:
        raise invalid("/user", "The app has no such user.") from None
    except DevicesLimitError as error:
        raise devices_refusal(error, "/user") from None
    except RegistryError as error:
        raise registry_refusal(error) from None
    if record is None:
        raise not_found("device")
    return _show(call, record)


async def delete(api: Api, call: Exchange) -> Answer:
    """Forget a device for good."""
    if not await api.deps.devices.delete(call.caller.app, _id(call)):
        raise not_found("device")
    return Answer(204)


async def _own(api: Api, call: Exchange, named: DeviceToken) -> tuple[DeviceRecord, PersonRecord]:
    """The device of a token and its person; raises `ProblemError`, 404."""
    device = await device_of(api, call, named)
    person = await api.deps.people.get(call.caller.app, ById(id=device.user))
    if person is None:
        raise not_found("device")
    return device, person


async def _move(api: Api, call: Exchange, device: DeviceRecord, person: UserId) -> None:
    now = api.deps.clock.now()
    try:
        moved = await api.deps.devices.change(
            call.caller.app, device.id, DeviceChange(user=person), now
        )
    except PersonUnknownError:
        raise not_found("user") from None
    except DevicesLimitError as error:
        raise devices_refusal(error, "/external_id") from None
    if moved is None:
        raise not_found("device")


def _show(call: Exchange, record: DeviceRecord) -> Answer:
    return json_answer(device_view(record, with_token=call.caller.scope is Scope.ADMIN))


def _id(call: Exchange) -> DeviceId:
    return DeviceId(number(call.params["id"], "device"))


_ONE: Final = (ErrorCode.NOT_FOUND,)

ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/devices",
        handle=register_one,
        summary="Register a device",
        tag="Devices",
        scope=Scope.DEVICE,
        body=DeviceBody,
        answers={200: RegisteredView, 201: RegisteredView},
    ),
    Route(
        method="POST",
        path="/v1/devices:batch",
        long_work=True,
        handle=register_many,
        summary="Register many devices",
        tag="Devices",
        scope=Scope.SEND,
        body=DeviceBatch,
        answers={200: RegisteredList},
    ),
    Route(
        method="POST",
        path="/v1/devices:login",
        handle=log_in,
        summary="Say who uses a device",
        tag="Devices",
        scope=Scope.DEVICE,
        body=LoginBody,
        answers={200: RegisteredView},
        errors=_ONE,
    ),
    Route(
        method="POST",
        path="/v1/devices:logout",
        handle=log_out,
        summary="Make a device anonymous",
        tag="Devices",
        scope=Scope.DEVICE,
        body=DeviceToken,
        answers={200: RegisteredView},
        errors=_ONE,
    ),
    Route(
        method="POST",
        path="/v1/devices:forget",
        long_work=True,
        handle=forget,
        summary="Forget a device by its token",
        tag="Devices",
        scope=Scope.DEVICE,
        body=DeviceToken,
        answers={204: None},
        errors=_ONE,
    ),
    Route(
        method="POST",
        path="/v1/devices:find",
        handle=find,
        summary="Find a device by its token",
        tag="Devices",
        scope=Scope.SEND,
        body=DeviceToken,
        answers={200: DeviceView},
        errors=_ONE,
    ),
    Route(
        method="GET",
        path="/v1/devices",
        handle=read_page,
        summary="List devices",
        tag="Devices",
        scope=Scope.SEND,
        query=PageQuery,
        answers={200: DevicePage},
        errors=(ErrorCode.CURSOR_INVALID,),
    ),
    Route(
        method="GET",
        path="/v1/devices/{id}",
        handle=read_one,
        summary="Show a device",
        tag="Devices",
        scope=Scope.SEND,
        answers={200: DeviceView},
        errors=_ONE,
    ),
    Route(
        method="PATCH",
        path="/v1/devices/{id}",
        handle=patch,
        summary="Change a device",
        tag="Devices",
        scope=Scope.SEND,
        body=DevicePatch,
        answers={200: DeviceView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.STATE_CONFLICT),
    ),
    Route(
        method="DELETE",
        path="/v1/devices/{id}",
        handle=delete,
        summary="Forget a device",
        tag="Devices",
        scope=Scope.SEND,
        answers={204: None},
        errors=_ONE,
    ),
)
