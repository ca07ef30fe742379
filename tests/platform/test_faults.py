"""What goes wrong at the network's end, or between plan and sending, and what comes of it."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from tests.platform.conftest import Platform, apns_token

from clarion.providers.apns.simulator import ApnsFaults

Outcomes = dict[tuple[str, str], int]


def outcomes(message: Mapping[str, object]) -> Outcomes:
    """(outcome, reason) -> how many recipients."""
    rows = cast("list[dict[str, object]]", message["outcomes"])
    return {(str(r["outcome"]), str(r["reason"])): int(str(r["count"])) for r in rows}


def deliveries(platform: Platform) -> dict[str, int]:
    """Token -> how many pushes the network took for it."""
    assert platform.apns.record is not None
    return dict(platform.apns.record.deliveries)


async def send(platform: Platform, to: object, **more: object) -> str:
    """A message that is accepted; its id."""
    accepted = await platform.post("/v1/messages", {"to": to, "title": "Hi", **more}, 202)
    return str(accepted["id"])


def named(people: int) -> dict[str, list[str]]:
    """The first so many people by name: one batch, where everybody would be dozens."""
    return {"users": [f"u{i}" for i in range(people)]}


async def ready(platform: Platform, people: int) -> None:
    """A credential and people with one device each."""
    await platform.add_apns_credential()
    await platform.add_people(people)


async def quarantined(platform: Platform) -> Mapping[str, object]:
    """The credential once it is in quarantine."""
    async with asyncio.timeout(150):
        while True:
            credential = await platform.get("/v1/credentials/apns")
            if credential["state"] == "quarantined":
                return credential
            await asyncio.sleep(0.02)


async def retried_to_the_end(platform: Platform, message: str) -> Mapping[str, object]:
    """The message when it has ended, with every wait for another attempt cut short."""
    async with asyncio.timeout(150):
        while True:
            found = await platform.get(f"/v1/messages/{message}")
            if found["state"] == "finished":
                return found
            await platform.let_waits_pass()
            await asyncio.sleep(0.05)


async def held_back(platform: Platform, people: int) -> str:
    """A broadcast that is planned and waits for its credential."""
    await ready(platform, people)
    platform.apns.faults = ApnsFaults(reason="TopicDisallowed")
    message = await send(platform, {"all": True})
    await quarantined(platform)
    await platform.planned(message, people)
    await platform.idle()
    return message


async def trouble(platform: Platform, message: str) -> str:
    """Why a message waits, as it and its progress tell."""
    view = await platform.get(f"/v1/messages/{message}")
    assert view["trouble"] == cast("dict[str, object]", view["progress"])["trouble"]
    return str(view["trouble"])


async def mend(platform: Platform) -> None:
    """The operator replaces the credential."""
    platform.apns.faults = ApnsFaults()
    await platform.add_apns_credential()


async def test_dead_tokens_are_buried_and_left_out_until_they_register_again(
    platform: Platform,
) -> None:
    """Dead once, suppressed from then on, alive again after a registration."""
    platform.apns.faults = ApnsFaults(dead=0.2)
    await ready(platform, 200)

    first = await platform.finished(await send(platform, {"all": True}))
    dead = sorted(platform.apns.expired)
    assert 0 < len(dead) < 200
    assert outcomes(first) == {
        ("accepted", "accepted"): 200 - len(dead),
        ("dead", "token_unregistered"): len(dead),
    }
    second = await platform.finished(await send(platform, {"all": True}))
    assert outcomes(second) == {
        ("accepted", "accepted"): 200 - len(dead),
        ("suppressed", "device_dead"): len(dead),
    }

    platform.apns.faults = ApnsFaults()
    platform.apns.expired.clear()
    number = int(dead[0], 16)
    await platform.add_people(1, start=number)
    third = await platform.finished(await send(platform, {"users": [f"u{number}"]}))
    assert outcomes(third) == {("accepted", "accepted"): 1}
    assert deliveries(platform)[dead[0]] == 1


async def test_a_configuration_fault_kills_no_token_and_holds_the_queue(
    platform: Platform,
) -> None:
    """The operator reads why, replaces the credential, and everything held is sent once."""
    message = await held_back(platform, 600)

    told = await platform.get("/v1/credentials/apns")
    assert str(told["state_reason"]).startswith("topic_disallowed")
    assert "TopicDisallowed" in str(told["state_reason"])
    assert deliveries(platform) == {}
    assert await platform.ask("select count(*) from device where state <> 1") == 0
    assert "credential is in quarantine (topic_disallowed" in await trouble(platform, message)
    urgent = await send(platform, {"users": ["u0"]})
    assert (await platform.get(f"/v1/messages/{urgent}"))["state"] == "sending"

    await mend(platform)
    assert outcomes(await retried_to_the_end(platform, message)) == {("accepted", "accepted"): 600}
    assert await trouble(platform, message) == "None"
    assert outcomes(await retried_to_the_end(platform, urgent)) == {("accepted", "accepted"): 1}
    assert deliveries(platform) == {apns_token(i): 1 + (i == 0) for i in range(600)}
    assert (await platform.get("/v1/credentials/apns"))["state"] == "active"


async def test_a_credential_revoked_in_the_middle_of_a_campaign_is_found_out_at_once(
    platform: Platform,
) -> None:
    """Few meet the fault, however much was accepted before; all are sent to after the repair."""
    await ready(platform, 2000)
    message = await send(platform, {"all": True})
    await platform.until(lambda: len(deliveries(platform)) >= 600)
    platform.apns.faults = ApnsFaults(reason="InvalidProviderToken")
    await quarantined(platform)
    await platform.idle()
    met = await platform.ask(
        "select coalesce(sum(size), 0)::int from batch where state = 1 and run_at > now()"
    )

    assert isinstance(met, int)
    assert met < 548
    await mend(platform)
    ended = await retried_to_the_end(platform, message)
    assert outcomes(ended) == {("accepted", "accepted"): 2000}
    assert deliveries(platform) == {apns_token(i): 1 for i in range(2000)}


async def test_a_reinstated_credential_sends_what_was_held(platform: Platform) -> None:
    """The fault was at the network's end: the same credential goes on."""
    message = await held_back(platform, 50)
    platform.apns.faults = ApnsFaults()

    await platform.post("/v1/credentials/apns:reinstate", {}, 200)

    assert outcomes(await retried_to_the_end(platform, message)) == {("accepted", "accepted"): 50}


@pytest.mark.parametrize(
    "faults",
    [
        ApnsFaults(throttle=0.2),
        ApnsFaults(unavailable=0.2),
        ApnsFaults(dropped=0.004),
        ApnsFaults(goaway_every=40),
        ApnsFaults(throttle=0.1, unavailable=0.1, dropped=0.005, goaway_every=60),
    ],
    ids=["throttled", "unavailable", "dropped", "goaway", "all at once"],
)
async def test_what_the_network_did_not_take_is_tried_again_until_it_does(
    platform: Platform, faults: ApnsFaults
) -> None:
    """Everybody ends accepted, exactly one outcome each."""
    platform.apns.faults = faults
    await ready(platform, 300)

    ended = await retried_to_the_end(platform, await send(platform, named(300)))

    assert outcomes(ended) == {("accepted", "accepted"): 300}
    assert set(deliveries(platform)) == {apns_token(i) for i in range(300)}


async def test_goaway_repeats_nothing(platform: Platform) -> None:
    """What a closing connection had not begun goes over another one; nothing is sent twice."""
    platform.apns.faults = ApnsFaults(goaway_every=50)
    await ready(platform, 1000)

    ended = await retried_to_the_end(platform, await send(platform, {"all": True}))

    assert outcomes(ended) == {("accepted", "accepted"): 1000}
    assert deliveries(platform) == {apns_token(i): 1 for i in range(1000)}


@pytest.mark.parametrize("more_settings", [{"CLARION_EGRESS_REQUEST_S": "2"}])
async def test_streams_without_an_answer_end_at_their_deadline_and_are_tried_again(
    platform: Platform,
) -> None:
    """The network said nothing to some; they are sent again."""
    platform.apns.faults = ApnsFaults(silent=0.1)
    await ready(platform, 200)

    ended = await retried_to_the_end(platform, await send(platform, named(200)))

    assert outcomes(ended) == {("accepted", "accepted"): 200}
    assert set(deliveries(platform)) == {apns_token(i) for i in range(200)}


async def test_a_message_past_its_deadline_is_not_sent(platform: Platform) -> None:
    """It was paused for too long: everybody is recorded as expired."""
    assert platform.apns.record is not None
    await ready(platform, 30)
    seconds = 3
    while True:
        start = datetime.now(UTC) + timedelta(seconds=seconds)
        end = start + timedelta(seconds=0.5)
        message = await send(
            platform, {"all": True}, send_at=start.isoformat(), expires_at=end.isoformat()
        )
        paused = await platform.http.post(f"/v1/messages/{message}:pause")
        if datetime.now(UTC) < start or seconds > 60:
            break
        await platform.http.post(f"/v1/messages/{message}:resume")  # it may have come too late
        await platform.finished(message)
        platform.apns.record.deliveries.clear()
        seconds *= 5
    assert paused.is_success
    await platform.until(lambda: datetime.now(UTC) > end)
    await platform.post(f"/v1/messages/{message}:resume", {}, 200)

    ended = await platform.finished(message)

    assert outcomes(ended) == {("expired", "deadline_passed"): 30}
    assert deliveries(platform) == {}


async def test_a_retry_that_would_come_too_late_is_the_end(platform: Platform) -> None:
    """Apple asks for more time than the message has."""
    platform.apns.faults = ApnsFaults(unavailable=1.0)
    await ready(platform, 3)

    ended = await platform.finished(await send(platform, {"all": True}, ttl=60))

    assert outcomes(ended) == {("expired", "deadline_passed"): 3}


async def test_an_opt_out_between_plan_and_sending_wins(platform: Platform) -> None:
    """Planned, held, opted out, resumed: not sent."""
    message = await held_back(platform, 20)
    await platform.post(f"/v1/messages/{message}:pause", {}, 200)
    answer = await platform.http.patch("/v1/users/u3", json={"opted_out": True})
    assert answer.is_success, answer.text
    await mend(platform)
    await platform.post(f"/v1/messages/{message}:resume", {}, 200)

    ended = await retried_to_the_end(platform, message)

    assert outcomes(ended) == {
        ("accepted", "accepted"): 19,
        ("suppressed", "user_opted_out"): 1,
    }
    assert apns_token(3) not in deliveries(platform)


async def test_a_token_that_moved_to_another_person_gets_nothing_of_the_first(
    platform: Platform,
) -> None:
    """The message was for the person who had the device when it was planned."""
    message = await held_back(platform, 20)
    row = {"network": "apns", "token": apns_token(7), "external_id": "somebody else"}
    await platform.post("/v1/devices", row, 200)
    await mend(platform)

    ended = await retried_to_the_end(platform, message)

    assert outcomes(ended) == {("accepted", "accepted"): 19, ("suppressed", "device_moved"): 1}
    assert apns_token(7) not in deliveries(platform)


@pytest.mark.parametrize("to", [{"users": ["u0"]}, {"all": True}], ids=["urgent", "planned"])
async def test_one_idempotency_key_used_twice_at_once_sends_once(
    platform: Platform, to: Mapping[str, object]
) -> None:
    """One is accepted; the others are told that it is in flight, or get its answer."""
    await ready(platform, 1)

    answers = await asyncio.gather(
        *(
            platform.http.post(
                "/v1/messages",
                json={"to": to, "title": "Hi"},
                headers={"idempotency-key": "order-17"},
            )
            for _ in range(8)
        )
    )
    accepted = {answer.json()["id"] for answer in answers if answer.status_code == 202}

    assert len(accepted) == 1
    assert {answer.status_code for answer in answers} <= {202, 409}
    await platform.finished(accepted.pop())
    assert deliveries(platform) == {apns_token(0): 1}
