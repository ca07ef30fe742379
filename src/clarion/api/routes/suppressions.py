"""Suppression lists: names that nothing is sent to, known or not."""

from typing import Final

from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.paging import name_page
from clarion.api.problems import not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.consent import (
    ChangedView,
    NamesQuery,
    SuppressBody,
    SuppressedPage,
    SuppressedView,
    SuppressionListBody,
    SuppressionLists,
    SuppressionListView,
    UnsuppressBody,
)
from clarion.api.shapes.people import PageQuery
from clarion.domain.errors import ErrorCode
from clarion.ports.keys import Scope
from clarion.ports.suppression import SuppressionList

MAX_NAME: Final = 256


async def read_all(api: Api, call: Exchange) -> Answer:
    """Lists of the app in order of their names."""
    page = name_page(api, call, "suppression-lists")
    lists = await api.deps.suppressions.page(page.app, after=page.after, limit=page.limit)
    following = page.following([each.name for each in lists])
    return json_answer(SuppressionLists([_view(each) for each in lists], following))


async def put(api: Api, call: Exchange) -> Answer:
    """Make a list, or change what it says it is for."""
    body = await call.json(SuppressionListBody, api.deps.limits.max_body)
    name = call.params["name"]
    if len(name) > MAX_NAME:
        raise not_found("suppression list")
    made, created = await api.deps.suppressions.put(
        call.caller.app, name, body.description, api.deps.clock.now()
    )
    return json_answer(_view(made), 201 if created else 200)


async def read_one(api: Api, call: Exchange) -> Answer:
    """A list."""
    found = await api.deps.suppressions.get(call.caller.app, call.params["name"])
    if found is None:
        raise not_found("suppression list")
    return json_answer(_view(found))


async def delete(api: Api, call: Exchange) -> Answer:
    """Remove a list; who is on no other can be sent to again, as far as they consented."""
    now = api.deps.clock.now()
    if not await api.deps.suppressions.delete(call.caller.app, call.params["name"], now):
        raise not_found("suppression list")
    return Answer(204)


async def read_names(api: Api, call: Exchange) -> Answer:
    """The names of a list, in order."""
    query = call.query(NamesQuery)
    name = call.params["name"]
    if await api.deps.suppressions.get(call.caller.app, name) is None:
        raise not_found("suppression list")
    names = await api.deps.suppressions.names(
        call.caller.app, name, after=query.after or "", limit=query.limit
    )
    items = [SuppressedView(each.external_id, each.reason, each.created_at) for each in names]
    return json_answer(
        SuppressedPage(items, items[-1].external_id if len(items) == query.limit else None)
    )


async def add(api: Api, call: Exchange) -> Answer:
    """Put names on a list, whether anybody has them yet or not."""
    body = await call.json(SuppressBody, api.deps.limits.max_batch_body)
    changed = await api.deps.suppressions.add(
        call.caller.app,
        call.params["name"],
        body.external_ids,
        body.reason,
        api.deps.clock.now(),
    )
    if changed is None:
        raise not_found("suppression list")
    return json_answer(ChangedView(changed))


async def remove(api: Api, call: Exchange) -> Answer:
    """Take names off a list."""
    body = await call.json(UnsuppressBody, api.deps.limits.max_batch_body)
    changed = await api.deps.suppressions.remove(
        call.caller.app, call.params["name"], body.external_ids, api.deps.clock.now()
    )
    if changed is None:
        raise not_found("suppression list")
    return json_answer(ChangedView(changed))


def _view(found: SuppressionList) -> SuppressionListView:
    return SuppressionListView(
        found.name, found.description, found.names, found.erased, found.created_at
    )


_LISTS: Final = "/v1/suppression-lists"
_ONE: Final = f"{_LISTS}/{{name}}"

ROUTES: Final = (
    Route(
        method="GET",
        path=_LISTS,
        handle=read_all,
        summary="List suppression lists",
        tag="Suppression",
        scope=Scope.SEND,
        query=PageQuery,
        answers={200: SuppressionLists},
        errors=(ErrorCode.CURSOR_INVALID,),
    ),
    Route(
        method="GET",
        path=_ONE,
        handle=read_one,
        summary="Show a suppression list",
        tag="Suppression",
        scope=Scope.SEND,
        answers={200: SuppressionListView},
    ),
    Route(
        method="PUT",
        path=_ONE,
        handle=put,
        summary="Make a suppression list",
        tag="Suppression",
        scope=Scope.SEND,
        body=SuppressionListBody,
        answers={200: SuppressionListView, 201: SuppressionListView},
    ),
    Route(
        method="DELETE",
        path=_ONE,
        long_work=True,
        handle=delete,
        summary="Remove a suppression list",
        tag="Suppression",
        scope=Scope.ADMIN,
        answers={204: None},
    ),
    Route(
        method="GET",
        path=f"{_ONE}/names",
        handle=read_names,
        summary="Show the names of a list",
        tag="Suppression",
        scope=Scope.SEND,
        query=NamesQuery,
        answers={200: SuppressedPage},
        errors=(ErrorCode.NOT_FOUND,),
    ),
    Route(
        method="POST",
        path=f"{_ONE}/names",
        long_work=True,
        handle=add,
        summary="Put names on a list",
        tag="Suppression",
        scope=Scope.SEND,
        body=SuppressBody,
        answers={200: ChangedView},
    ),
    Route(
        method="POST",
        path=f"{_ONE}/names:remove",
        long_work=True,
        handle=remove,
        summary="Take names off a list",
        tag="Suppression",
        scope=Scope.SEND,
        body=UnsuppressBody,
        answers={200: ChangedView},
    ),
)
