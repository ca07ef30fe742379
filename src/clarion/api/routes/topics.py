"""Topics: what people subscribe to, by themselves or by the app's server."""

from typing import Final

import polars as pl

from clarion.api.exchange import Answer, Exchange, json_answer
from clarion.api.membership import change_members
from clarion.api.problems import not_found
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
from clarion.api.uploads import FORMATS
from clarion.domain.attributes import MAX_TEXT_OCTETS
from clarion.domain.errors import ErrorCode
from clarion.ports.keys import Scope
from clarion.ports.lists import OnTopic
from clarion.ports.registry import ByExternalId
from clarion.stages.intake.lists import Joining, change_rows


async def read_all(api: Api, call: Exchange) -> Answer:
    """All topics that somebody is subscribed to, in order of their names."""
    records = await api.deps.lists.topics(call.caller.app)
    return json_answer(TopicPage([TopicView(r.name, r.members) for r in records]))


async def members(api: Api, call: Exchange) -> Answer:
    """Subscribe people to the topic, or unsubscribe them with `action=remove`.

    A topic is there as soon as somebody is subscribed. The body is as for the members of a list.
    """
    return await change_members(api, call, _topic(call.params["topic"]))


async def subscribe(api: Api, call: Exchange) -> Answer:
    """The person using a device subscribes to a topic."""
    return await _subscribe(api, call, join=True)


async def unsubscribe(api: Api, call: Exchange) -> Answer:
    """The person using a device unsubscribes from a topic."""
    return await _subscribe(api, call, join=False)


async def of_person(api: Api, call: Exchange) -> Answer:
    """What a person is subscribed to."""
    ref = ByExternalId(external_id=call.params["external_id"])
    person = await api.deps.people.get(call.caller.app, ref)
    if person is None:
        raise not_found("user")
    return json_answer(TopicNames(list(await api.deps.lists.topics_of(call.caller.app, person.id))))


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
    await _change(api, call, body.topic, named, join=join)
    return Answer(204)


async def _change(api: Api, call: Exchange, topic: str, named: pl.DataFrame, *, join: bool) -> None:
    joining = Joining(lists=api.deps.lists, clock=api.deps.clock, circle=_topic(topic), join=join)
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
        answers={200: TopicPage},
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
        errors=_ONE,
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
        answers={200: TopicNames},
        errors=_ONE,
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
