"""Server-sent events of our own push service, read by the rules of HTML (section 9.2)."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import orjson
import pytest
from tests.e2e.patience import PATIENCE_S
from tests.e2e.push_world import World, channel, push_world

BODY = b"x" * 100


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """A node."""
    async with push_world(database_url) as made:
        yield made


@dataclass
class Heard:
    """An event as a page would get it."""

    kind: str
    data: str
    last_id: str


def interpret(octets: bytes) -> Iterator[Heard]:
    """The events of a stream (HTML 9.2.6); what is not closed by an empty line is no event."""
    text = octets.decode("utf-8").removeprefix("\ufeff")
    data: list[str] = []
    kind = last_id = ""
    for line in re.split(r"\r\n|\n|\r", text):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line and not name:
            continue  # a comment
        if not line:
            if data:
                yield Heard(kind or "message", "\n".join(data), last_id)
            data, kind = [], ""
        elif name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value


async def stream(world: World, url: str, count: int, **fields: str) -> list[Heard]:
    """The first events at a URL; names of fields with `_` for `-`."""
    headers = {name.replace("_", "-"): value for name, value in fields.items()}
    octets = b""
    async with (
        asyncio.timeout(PATIENCE_S),
        world.client.stream("GET", url, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        assert answer.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert answer.headers["cache-control"] == "no-store"
        async for piece in answer.aiter_bytes():
            octets += piece
            found = list(interpret(octets))
            if len(found) >= count:
                return found
    raise AssertionError(octets)


async def test_messages_are_events_that_a_page_understands(world: World) -> None:
    """Type, data of one line, and the id that the next connection begins after."""
    token = (await world.client.post(f"{world.origin}/v1/devices")).json()["token"]
    bearer = f"Bearer {token}"
    answer = await world.client.put(
        f"{world.origin}/v1/subscriptions/{channel(1)}", headers={"Authorization": bearer}
    )
    endpoint = answer.json()["endpoint"]
    for _ in range(3):
        assert (await world.push(endpoint, BODY)).status_code == 201
    url = f"{world.origin}/v1/stream"
    events = await stream(world, url, 3, Authorization=bearer)
    assert [event.kind for event in events] == ["push"] * 3
    assert [orjson.loads(event.data)["id"] for event in events] == [e.last_id for e in events]
    later = await stream(world, url, 1, Authorization=bearer, Last_Event_ID=events[1].last_id)
    assert later == [events[2]]


async def test_receipts_are_events_that_a_page_understands(world: World) -> None:
    """The same of the receipt subscription."""
    browser = await world.browser()
    endpoint = await browser.register()
    answers = [await world.push(endpoint, BODY, Prefer="respond-async")]
    reader = answers[0].headers["link"].partition(">")[0].removeprefix("<")
    link = f'<{reader}>; rel="urn:ietf:params:push:receipt"'
    answers.append(await world.push(endpoint, BODY, Prefer="respond-async", Link=link))
    browser.ack(await browser.hear(), await browser.hear())
    events = await stream(world, reader, 2, Accept="text/event-stream")
    assert [event.kind for event in events] == ["receipt"] * 2
    told = [orjson.loads(event.data) for event in events]
    assert {one["message"] for one in told} == {one.headers["location"] for one in answers}
    assert [one["cursor"] for one in told] == [event.last_id for event in events]
    later = await stream(
        world, reader, 1, Accept="text/event-stream", Last_Event_ID=events[0].last_id
    )
    assert later == [events[1]]
    await browser.line.end()
