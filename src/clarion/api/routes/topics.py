"""Topics: what people subscribe to, by themselves or by the app's server."""

from typing import Final

import polars as pl

from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.membership import change_members
from clarion.api.naming import person_of
from clarion.api.paging import name_page
from clarion.api.problems import ProblemError, field_problem, not_found
from clarion.api.routing import Api, Route
from clarion.api.shapes.lists import (
    MemberBatch,
    MemberQuery,
    MembersView,
    SubscriptionBody,
    TopicNames,
    TopicPage,
    TopicView,
)
from clarion.api.shapes.people import PageQuery
from clarion.api.uploads import FORMATS
from clarion.domain.attributes import MAX_TEXT_OCTETS
from clarion.domain.errors import ErrorCode, FieldCode
from clarion.ports.keys import Scope
from clarion.ports.lists import OnTopic, TooManyTopicsError, TopicBounds
from clarion.stages.intake.lists import Joining, change_rows

BOUNDS: Final = TopicBounds(topics=10_000, of_person=1_000)
"""A `device` key is in every copy of an app: whoever has one must not fill the store."""


async def read_all(api: Api, call: Exchange) -> Answer:
    """Topics that somebody is subscribed to, in order of their names."""
    page = name_page(api, call, "topics")
    records = await api.deps.lists.topics(page.app, after=page.after, limit=page.limit)
    items = [TopicView(record.name, record.members) for record in records]
    return json_answer(TopicPage(items, page.following([record.name for record in records])))


async def members(api: Api, call: Exchange) -> Answer:
    """Subscribe people to the topic, or unsubscribe them with `action=remove`.

    A topic is there as soon as somebody is subscribed. The body is as for the members of a list.
    """
    return await change_members(api, call, _topic(call.params["topic"]))


async def subscribe(api: Api, call: Exchange) -> Answer:
    """The person using a device subscribes to a topic.

    With a `device` key a topic that nobody was ever subscribed to is made while the app has had
    fewer than 10,000, and a person may have joined 1,000 in all.
    """
    return await _subscribe(api, call, join=True)


async def unsubscribe(api: Api, call: Exchange) -> Answer:
    """The person using a device unsubscribes from a topic."""
    return await _subscribe(api, call, join=False)


async def of_person(api: Api, call: Exchange) -> Answer:
    """What a person is subscribed to."""
    person = await person_of(api, call)
    page = name_page(api, call, f"topics/{person.id}")
    topics = await api.deps.lists.topics_of(page.app, person.id, after=page.after, limit=page.limit)
    return json_answer(TopicNames(list(topics), page.following(topics)))


async def join_one(api: Api, call: Exchange) -> Answer:
    """Subscribe a person to a topic."""
    return await _one(api, call, join=True)


async def leave_one(api: Api, call: Exchange) -> Answer:
    """Unsubscribe a person from a topic."""
    return await _one(api, call, join=False)


async def _one(api: Api, call: Exchange, *, join: bool) -> Answer:
    named = {"external_id": [call.params["external_id"]]}
    await _change(api, call, call.params["topic"], pl.DataFrame(named), join=join)
    return Answer(204)


async def _subscribe(api: Api, call: Exchange, *, join: bool) -> Answer:
    body = await call.json(SubscriptionBody, api.deps.limits.max_body)
    named = pl.DataFrame({"network": [body.network], "token": [body.token]})
    bounds = BOUNDS if call.caller.scope is Scope.DEVICE else None
    try:
        await _change(api, call, body.topic, named, join=join, bounds=bounds)
    except TooManyTopicsError as error:
        detail = f"No topic can be joined: {error}. A `send` key is not limited."
        where = field_problem("/topic", FieldCode.INVALID, detail)
        raise ProblemError(ErrorCode.STATE_CONFLICT, detail, errors=[where]) from None
    return Answer(204)


async def _change(
    api: Api,
    call: Exchange,
    topic: str,
    named: pl.DataFrame,
    *,
    join: bool,
    bounds: TopicBounds | None = None,
) -> None:
    joining = Joining(
        lists=api.deps.lists,
        clock=api.deps.clock,
        circle=_topic(topic),
        join=join,
        bounds=bounds,
    )
    done = await change_rows(joining, call.caller.app, named)
    if done.bad:
        raise not_found("device" if "token" in named.columns else "user")


def _topic(name: str) -> OnTopic:
    """Raises `ProblemError`, 404: so long a name is nobody's."""
    if len(name.encode()) > MAX_TEXT_OCTETS:
        raise not_found("topic")
    return OnTopic(name=name)


_ONE: Final = (ErrorCode.NOT_FOUND,)
_OF_PERSON: Final = "/v1/users/{external_id}/topics"

ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/topics",
        handle=read_all,
        summary="List topics",
        tag="Topics",
        scope=Scope.SEND,
        query=PageQuery,
        answers={200: TopicPage},
        errors=(ErrorCode.CURSOR_INVALID,),
    ),
    Route(
        method="POST",
        path="/v1/topics:subscribe",
        handle=subscribe,
        summary="Subscribe the person using a device",
        tag="Topics",
        scope=Scope.DEVICE,
        body=SubscriptionBody,
        answers={204: None},
        errors=(*_ONE, ErrorCode.STATE_CONFLICT),
    ),
    Route(
        method="POST",
        path="/v1/topics:unsubscribe",
        handle=unsubscribe,
        summary="Unsubscribe the person using a device",
        tag="Topics",
        scope=Scope.DEVICE,
        body=SubscriptionBody,
        answers={204: None},
        errors=_ONE,
    ),
    Route(
        method="POST",
        path="/v1/topics/{topic}/members",
        handle=members,
        summary="Subscribe or unsubscribe people",
        tag="Topics",
        scope=Scope.SEND,
        body=MemberBatch,
        body_media=tuple(FORMATS),
        query=MemberQuery,
        answers={200: MembersView},
        errors=(ErrorCode.BODY_MALFORMED,),
    ),
    Route(
        method="GET",
        path=_OF_PERSON,
        handle=of_person,
        summary="List a person's topics",
        tag="Topics",
        scope=Scope.SEND,
        query=PageQuery,
        answers={200: TopicNames},
        errors=(*_ONE, ErrorCode.CURSOR_INVALID),
    ),
    Route(
        method="PUT",
        path=f"{_OF_PERSON}/{{topic}}",
        handle=join_one,
        summary="Subscribe a person to a topic",
        tag="Topics",
        scope=Scope.SEND,
        answers={204: None},
        errors=_ONE,
    ),
    Route(
        method="DELETE",
        path=f"{_OF_PERSON}/{{topic}}",
        handle=leave_one,
        summary="Unsubscribe a person from a topic",
        tag="Topics",
        scope=Scope.SEND,
        answers={204: None},
        errors=_ONE,
    ),
)
