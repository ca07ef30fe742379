"""Lists: people whom the app itself picks out."""

from typing import Final

from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.membership import change_members
from clarion.api.paging import name_page
from clarion.api.problems import ProblemError, field_problem, not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.lists import (
    ListBody,
    ListPage,
    ListView,
    MemberBatch,
    MemberQuery,
    MembersView,
)
from clarion.api.shapes.people import PageQuery
from clarion.api.uploads import FORMATS
from clarion.domain.attributes import MAX_TEXT_OCTETS
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.domain.segments.expression import InList
from clarion.ports.keys import Scope
from clarion.ports.lists import ListRecord, OnList


async def put(api: Api, call: Exchange) -> Answer:
    """Make a list, or change its description; its members stay."""
    name = call.params["name"]
    if len(name.encode()) > MAX_TEXT_OCTETS:
        detail = f"A name has at most {MAX_TEXT_OCTETS} octets of UTF-8."
        found = field_problem("/name", FieldCode.TOO_LARGE, detail)
        raise ProblemError(ErrorCode.REQUEST_INVALID, detail, errors=[found])
    body = await call.json(ListBody, api.deps.limits.max_body)
    record, created = await api.deps.lists.create(
        call.caller.app, name, body.description, api.deps.clock.now()
    )
    return json_answer(_view(record), 201 if created else 200)


async def read_all(api: Api, call: Exchange) -> Answer:
    """Lists in order of their names, with how many people are on each."""
    page = name_page(api, call, "lists")
    records = await api.deps.lists.page(page.app, after=page.after, limit=page.limit)
    following = page.following([record.name for record in records])
    return json_answer(ListPage([_view(record) for record in records], following))


async def read_one(api: Api, call: Exchange) -> Answer:
    """A list and how many people are on it; an export shows who they are."""
    return json_answer(_view(await _named(api, call)))


async def delete(api: Api, call: Exchange) -> Answer:
    """Remove a list that no segment names, nor a message yet to be planned. Its people stay."""
    wanted = InList(call.params["name"])
    named = await api.deps.segments.naming(call.caller.app, wanted)
    if named:
        raise ProblemError(
            ErrorCode.STATE_CONFLICT, f"Segments name this list: {', '.join(named)}."
        )
    waiting = await api.deps.segments.awaiting(call.caller.app, wanted)
    if waiting:
        raise ProblemError(
            ErrorCode.STATE_CONFLICT,
            f"Messages that are yet to be planned name this list: {', '.join(waiting[:5])}.",
        )
    if not await api.deps.lists.delete(call.caller.app, call.params["name"]):
        raise not_found("list")
    return Answer(204)


async def members(api: Api, call: Exchange) -> Answer:
    """Let people join the list, or leave it with `action=remove`.

    The body is JSON, or a CSV, NDJSON or Parquet file with a column `external_id` (or `user`, or
    `alias_label` and `alias_value`). Whoever is on the list already stays; rows that name nobody
    are reported. Sending it again changes nothing more.
    """
    return await change_members(api, call, OnList(id=(await _named(api, call)).id))


async def _named(api: Api, call: Exchange) -> ListRecord:
    record = await api.deps.lists.get(call.caller.app, call.params["name"])
    if record is None:
        raise not_found("list")
    return record


def _view(record: ListRecord) -> ListView:
    return ListView(record.name, record.description, record.members, record.created_at)


_ONE: Final = (ErrorCode.NOT_FOUND,)
_NAMED: Final = "/v1/lists/{name}"

ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/lists",
        handle=read_all,
        summary="List lists",
        tag="Lists",
        scope=Scope.SEND,
        query=PageQuery,
        answers={200: ListPage},
        errors=(ErrorCode.CURSOR_INVALID,),
    ),
    Route(
        method="PUT",
        path=_NAMED,
        handle=put,
        summary="Make or describe a list",
        tag="Lists",
        scope=Scope.SEND,
        body=ListBody,
        answers={200: ListView, 201: ListView},
    ),
    Route(
        method="GET",
        path=_NAMED,
        handle=read_one,
        summary="Show a list",
        tag="Lists",
        scope=Scope.SEND,
        answers={200: ListView},
        errors=_ONE,
    ),
    Route(
        method="DELETE",
        path=_NAMED,
        long_work=True,
        handle=delete,
        summary="Remove a list",
        tag="Lists",
        scope=Scope.SEND,
        answers={204: None},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.STATE_CONFLICT),
    ),
    Route(
        method="POST",
        path="/v1/lists/{name}/members",
        handle=members,
        summary="Let people join or leave a list",
        tag="Lists",
        scope=Scope.SEND,
        body=MemberBatch,
        body_media=tuple(FORMATS),
        query=MemberQuery,
        answers={200: MembersView},
        errors=(ErrorCode.NOT_FOUND, ErrorCode.BODY_MALFORMED),
    ),
)
