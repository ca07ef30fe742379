"""API keys: made, rotated, revoked. Their text is shown once."""

from datetime import datetime, timedelta
from typing import Final, Literal

from msgspec import UNSET

from clarion.api.decoding import utc
from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.problems import invalid, not_found
from clarion.api.routes.apps import only_operator
from clarion.api.routing import Api, Route
from clarion.api.shapes.apps import KeyBody, KeyList, KeyView, NewKeyView, RotateBody
from clarion.domain.errors import ErrorCode
from clarion.domain.ids import AppId, KeyId
from clarion.ports.keys import KeyRecord, NewKey, Scope
from clarion.telemetry.names import LogEvent


async def read_all(api: Api, call: Exchange) -> Answer:
    """The app's keys, newest first, dead ones included."""
    now = api.deps.clock.now()
    records = await api.deps.keys.all(call.caller.app)
    return json_answer(KeyList([_view(record, now) for record in records]))


async def create(api: Api, call: Exchange) -> Answer:
    """Make a key. The answer is the only one that ever shows its text."""
    body = await call.json(KeyBody, api.deps.limits.max_body)
    now = api.deps.clock.now()
    app = call.caller.app
    if body.app is not UNSET and body.app != app:
        only_operator(api, call)
        app = AppId(body.app)
        if await api.deps.apps.get(app) is None:
            raise invalid("/app", "There is no such app.")
    expires_at = None if body.expires_at is None else utc(body.expires_at, "/expires_at")
    if expires_at is not None and expires_at <= now:
        raise invalid("/expires_at", "The key would be dead already.")
    new = await api.deps.keys.create(app, body.scope, body.name, expires_at=expires_at, now=now)
    call.note(LogEvent.KEY_CREATED, made=new.record.id, app=app, scope=body.scope.value)
    return json_answer(_new_view(new), 201)


async def rotate(api: Api, call: Exchange) -> Answer:
    """A new key of the same scope and name; the old one goes on opening for `grace_s` seconds.

    Where the old one was made to expire, the new one lives as long, from now on.
    """
    body = await call.json(RotateBody, api.deps.limits.max_body)
    new = await api.deps.keys.rotate(
        call.caller.app,
        KeyId(call.params["id"]),
        grace=timedelta(seconds=body.grace_s),
        now=api.deps.clock.now(),
    )
    if new is None:
        raise not_found("living key")
    call.note(LogEvent.KEY_CREATED, made=new.record.id, instead_of=call.params["id"])
    return json_answer(_new_view(new), 201)


async def revoke(api: Api, call: Exchange) -> Answer:
    """End a key now. Other processes of the server notice within a few seconds."""
    now = api.deps.clock.now()
    if not await api.deps.keys.revoke(call.caller.app, KeyId(call.params["id"]), now):
        raise not_found("living key")
    call.note(LogEvent.KEY_REVOKED, revoked=call.params["id"])
    return Answer(204)


def _state(record: KeyRecord, now: datetime) -> Literal["active", "expired", "revoked"]:
    if record.revoked_at is not None:
        return "revoked"
    if record.expires_at is not None and record.expires_at <= now:
        return "expired"
    return "active"


def _view(record: KeyRecord, now: datetime) -> KeyView:
    return KeyView(
        id=record.id,
        scope=record.scope,
        name=record.name,
        created_at=record.created_at,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
        last_used_at=record.last_used_at,
        state=_state(record, now),
    )


def _new_view(new: NewKey) -> NewKeyView:
    return NewKeyView(
        id=new.record.id,
        scope=new.record.scope,
        name=new.record.name,
        created_at=new.record.created_at,
        expires_at=new.record.expires_at,
        key=new.text,
    )


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/keys",
        handle=read_all,
        summary="List keys",
        tag="Keys",
        scope=Scope.ADMIN,
        answers={200: KeyList},
    ),
    Route(
        method="POST",
        path="/v1/keys",
        handle=create,
        summary="Make a key",
        tag="Keys",
        scope=Scope.ADMIN,
        body=KeyBody,
        answers={201: NewKeyView},
    ),
    Route(
        method="POST",
        path="/v1/keys/{id}:rotate",
        handle=rotate,
        summary="Replace a key",
        tag="Keys",
        scope=Scope.ADMIN,
        body=RotateBody,
        answers={201: NewKeyView},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="DELETE",
        path="/v1/keys/{id}",
        handle=revoke,
        summary="Revoke a key",
        tag="Keys",
        scope=Scope.ADMIN,
        answers={204: None},
        errors=(ErrorCode.NOT_FOUND,),
    ),
)
