"""Messages are scheduled, held, resumed and withdrawn on the running platform, and followed."""

from datetime import UTC, datetime, timedelta

import msgspec
from tests.platform.conftest import Platform, apns_token

from clarion.providers.apns.simulator import ApnsFaults

PEOPLE = 1200
SLOW = ApnsFaults(latency_s=(0.1, 0.2), max_streams=20)
"""A network that takes some seconds for everybody."""


def soon(seconds: float) -> str:
    """An instant from now, as the API reads it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def delivered(platform: Platform) -> int:
    """How many pushes the network took so far."""
    assert platform.apns.record is not None
    return platform.apns.record.deliveries.total()


async def under_way(platform: Platform) -> str:
    """A broadcast of which the network has taken a part."""
    platform.apns.faults = SLOW
    await platform.add_apns_credential()
    await platform.add_people(PEOPLE)
    accepted = await platform.post("/v1/messages", {"to": {"all": True}, "title": "Hi"}, 202)
    await platform.until(lambda: delivered(platform) > 0)
    return str(accepted["id"])


async def test_a_scheduled_message_is_sent_when_its_time_has_come(platform: Platform) -> None:
    """Nothing before, everything after."""
    await platform.add_apns_credential()
    await platform.add_people(20)
    seconds, sent = 1, 0
    while True:
        body = {"to": {"all": True}, "title": "Hi", "send_at": soon(seconds)}
        accepted = await platform.post("/v1/messages", body, 202)
        message = await platform.finished(accepted["id"])
        sent += 20
        if accepted["state"] == "scheduled" or seconds > 60:  # else it came too late
            break
        seconds *= 5

    assert accepted["state"] == "scheduled"
    assert str(message["started_at"]) >= str(message["send_at"])
    assert delivered(platform) == sent


async def test_a_message_canceled_before_its_time_reaches_nobody(platform: Platform) -> None:
    """No recipient was ever chosen; a second cancel is refused."""
    await platform.add_apns_credential()
    await platform.add_people(20)
    body = {"to": {"all": True}, "title": "Hi", "send_at": soon(3600)}
    accepted = await platform.post("/v1/messages", body, 202)
    path = f"/v1/messages/{accepted['id']}"

    assert (await platform.post(f"{path}:cancel", {}, 200))["state"] == "canceled"
    await platform.post(f"{path}:cancel", {}, 409)

    message = await platform.get(path)
    assert message["progress"] == {
        "state": "canceled",
        "recipients": 0,
        "done": 0,
        "retried": 0,
        "trouble": None,
    }
    assert delivered(platform) == 0


async def test_canceling_stops_what_is_not_sent_and_every_recipient_has_an_outcome(
    platform: Platform,
) -> None:
    """Accepted and canceled make up everybody who was chosen; accepted is what the network took."""
    message = await under_way(platform)

    await platform.post(f"/v1/messages/{message}:cancel", {}, 200)
    ended = msgspec.convert(await platform.finished(message), Ended)

    assert ended.state == "canceled"
    assert set(ended.by_outcome) <= {"accepted", "canceled"}
    assert ended.by_outcome["accepted"] == delivered(platform) < PEOPLE
    assert sum(ended.by_outcome.values()) == ended.progress["recipients"]


async def test_a_paused_message_stands_still_and_goes_on_where_it_stopped(
    platform: Platform,
) -> None:
    """Nobody is left out, nobody gets it twice."""
    message = await under_way(platform)

    paused = await platform.post(f"/v1/messages/{message}:pause", {}, 200)
    assert paused["state"] == "paused"
    await platform.idle()
    before = delivered(platform)
    assert before < PEOPLE
    await platform.idle()
    assert delivered(platform) == before
    await platform.post(f"/v1/messages/{message}:resume", {}, 200)
    ended = await platform.finished(message)

    assert ended["by_network"] == {"apns": {"accepted": PEOPLE}}
    assert platform.apns.record is not None
    assert platform.apns.record.deliveries == {apns_token(i): 1 for i in range(PEOPLE)}


async def test_the_event_stream_tells_the_progress_up_to_the_end(platform: Platform) -> None:
    """`done` only grows, the last progress is everybody, then `end`."""
    message = await under_way(platform)
    seen, last_event = [], ""

    async with platform.http.stream("GET", f"/v1/messages/{message}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line.startswith("event: "):
                last_event = line.removeprefix("event: ")
            elif line.startswith("data: ") and last_event == "progress":
                seen.append(msgspec.json.decode(line.removeprefix("data: "), type=Progress))

    assert last_event == "end"
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert seen[-1] == Progress("finished", PEOPLE, PEOPLE, 0)


class Progress(msgspec.Struct, frozen=True):
    """A `progress` event."""

    state: str
    recipients: int
    done: int
    retried: int


class Ended(msgspec.Struct, frozen=True):
    """What is asked of a message."""

    state: str
    by_outcome: dict[str, int]
    progress: dict[str, int | str | None]
