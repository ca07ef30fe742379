"""Urgent messages in odd company: raced keys, many devices, credentials that go away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from tests.platform.conftest import Platform, apns_token
from tests.platform.test_faults import deliveries, outcomes, ready, send

from clarion.adapters.state.journal import KEY_LIFETIME, PostgresJournal
from clarion.adapters.state.pool import Pool, open_pool
from clarion.adapters.system import SystemClock
from clarion.app.container import open_container
from clarion.domain.content import Content, Message
from clarion.domain.ids import AppId, KeyId, MessageId
from clarion.domain.lanes import Lane
from clarion.ports.messages import Acceptance, Accepted, IdempotencyKey, NewMessage, Target
from clarion.stages.delivery import urgent
from clarion.stages.delivery.urgent import URGENT_DEVICES, UrgentPath


@pytest.fixture
async def pool(platform: Platform, database_url: str) -> AsyncIterator[Pool]:
    """Connections of another process."""
    del platform
    opened = await open_pool(database_url, max_size=3)
    yield opened
    await opened.close()


class Resting:
    """Groups that wait for each other until the test lets them go, not for a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self._path: UrgentPath | None = None
        join = UrgentPath._join

        def noting(path: UrgentPath, new: NewMessage) -> asyncio.Future[Acceptance]:
            self._path = path
            return join(path, new)

        monkeypatch.setattr(UrgentPath, "_join", noting)

    @property
    def waiting(self) -> int:
        """How many messages wait for a group."""
        return 0 if self._path is None else len(self._path._waiting)

    def begin(self) -> None:
        """The next group is followed by a rest."""
        self._rest(3600.0)

    def end(self) -> None:
        """What waits makes up a group, and none rests from now on."""
        self._rest(0.0)
        assert self._path is not None
        assert self._path._rest is not None
        self._path._rest.cancel()
        self._path._rested()

    def _rest(self, seconds: float) -> None:
        self._monkeypatch.setattr(urgent, "REST_S", seconds)
        self._monkeypatch.setattr(urgent, "REST_FOR_MESSAGE_S", seconds)


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> Resting:
    """Groups rest as the test says."""
    return Resting(monkeypatch)


async def keyed(platform: Platform, key: str) -> NewMessage:
    """A message that another process accepts under a key."""
    app = AppId(int(str(await platform.ask("select min(id) from app"))))
    content = Content(title="Hi")
    message = Message(id=MessageId("0" * 36), app=app, lane=Lane.TRANSACTIONAL, content=content)
    return NewMessage(
        message=message,
        target=Target(users=["u0"]),
        send_at=SystemClock().now(),
        request=b"{}",
        key=KeyId("k"),
        idempotency=IdempotencyKey(key=key, body_hash=b"another"),
        answer_status=202,
        answer=b"{}",
    )


async def post(platform: Platform, user: int, key: str | None = None) -> httpx.Response:
    """An urgent message to one person."""
    headers = {} if key is None else {"idempotency-key": key}
    body = {"to": {"users": [f"u{user}"]}, "title": "Hi"}
    return await platform.http.post("/v1/messages", json=body, headers=headers)


async def waits_told(platform: Platform) -> float:
    """Of how many urgent messages the metrics know when their bytes went to a socket."""
    name = 'clarion_accept_to_wire_seconds_count{lane="transactional"}'
    lines = (await platform.http.get("/metrics")).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


async def test_the_wait_for_the_wire_is_told_once_a_message_that_got_there(
    platform: Platform,
) -> None:
    """Each message counts with its first bytes; one that reaches nobody has none."""
    await ready(platform, 3)
    for user in range(3):
        await platform.finished((await post(platform, user)).json()["id"])
    await platform.finished((await post(platform, 99)).json()["id"])

    assert await waits_told(platform) == 3


async def test_a_key_in_another_process_stops_its_message_and_no_neighbour(
    platform: Platform, pool: Pool
) -> None:
    """The one in flight elsewhere gets 409 and is not sent; the others are sent once."""
    await ready(platform, 12)
    held = [await keyed(platform, "raced")]

    async with PostgresJournal(pool).keys_held(held, SystemClock().now()) as elsewhere:
        assert not elsewhere
        answers = await asyncio.gather(
            post(platform, 0, "raced"), *(post(platform, n, f"own-{n}") for n in range(1, 12))
        )
        assert answers[0].json()["code"] == "idempotency_in_flight"
        assert {answer.status_code for answer in answers[1:]} == {202}
        await platform.idle()
        assert deliveries(platform) == {apns_token(n): 1 for n in range(1, 12)}
    again = await post(platform, 0, "raced")

    assert again.status_code == httpx.codes.ACCEPTED
    await platform.idle()
    assert deliveries(platform)[apns_token(0)] == 1


@pytest.mark.parametrize("later", [{}, {"send_at": "2090-01-01T00:00:00Z"}])
async def test_a_key_that_its_holder_has_just_committed_is_replayed(
    platform: Platform, pool: Pool, later: dict[str, str]
) -> None:
    """Who was answered may ask again at once, before the first request lets go of its key."""
    await ready(platform, 1)
    body = {"to": {"users": ["u0"]}, "title": "Hi", **later}
    first = await platform.post("/v1/messages", body, 202, **{"idempotency-key": "twice"})
    held = [await keyed(platform, "twice")]

    journal = PostgresJournal(pool)
    async with AsyncExitStack() as holding:
        while await holding.enter_async_context(journal.keys_held(held, SystemClock().now())):
            await holding.aclose()
        again = await platform.post("/v1/messages", body, 202, **{"idempotency-key": "twice"})

    assert again == first


async def test_a_key_past_its_lifetime_is_a_new_one_though_nobody_swept_it(
    platform: Platform, pool: Pool
) -> None:
    """Neither a replay nor a race: the message is sent, and the key starts anew."""
    await ready(platform, 2)
    assert (await post(platform, 0, "old")).status_code == httpx.codes.ACCEPTED
    await platform.idle()
    age = KEY_LIFETIME + timedelta(minutes=1)
    await pool.execute("update idempotency set created_at = created_at - $1::interval", age)

    answers = await asyncio.gather(post(platform, 0, "old"), post(platform, 1))

    assert [answer.status_code for answer in answers] == [202, 202]
    assert "idempotency-replayed" not in answers[0].headers
    await platform.idle()
    assert deliveries(platform) == {apns_token(0): 2, apns_token(1): 1}
    replayed = await post(platform, 0, "old")
    assert replayed.headers["idempotency-replayed"] == "true"
    assert replayed.json()["id"] == answers[0].json()["id"]


async def test_a_person_with_very_many_devices_goes_through_the_queue(platform: Platform) -> None:
    """What one process may have sent without a record stays bounded; everybody is reached once."""
    await ready(platform, 3)
    crowd = URGENT_DEVICES + 20
    rows = [
        {"network": "apns", "token": apns_token(1000 + n), "external_id": "collector"}
        for n in range(crowd)
    ]
    await platform.post("/v1/devices:batch", {"devices": rows}, 200)

    messages = await asyncio.gather(
        send(platform, {"users": ["collector"]}, lane="transactional"),
        *(send(platform, {"users": [f"u{n}"]}) for n in range(3)),
    )

    found = [await platform.finished(message) for message in messages]
    assert [outcomes(one)["accepted", "accepted"] for one in found] == [crowd, 1, 1, 1]
    assert set(deliveries(platform).values()) == {1}
    largest = await platform.ask("select max(size) from batch where key like 'urgent:%'")
    assert int(str(largest)) <= URGENT_DEVICES


async def test_messages_that_reach_many_together_are_sent_in_several_groups(
    platform: Platform,
) -> None:
    """Nobody is dropped where a group would be too large."""
    await ready(platform, 0)
    each = URGENT_DEVICES // 2 + 1
    rows = [
        {"network": "apns", "token": apns_token(1000 * who + n), "external_id": f"c{who}"}
        for who in range(1, 5)
        for n in range(each)
    ]
    await platform.post("/v1/devices:batch", {"devices": rows}, 200)

    messages = await asyncio.gather(
        *(send(platform, {"users": [f"c{who}"]}, lane="call") for who in range(1, 5))
    )

    found = [await platform.finished(message) for message in messages]
    assert [outcomes(one)["accepted", "accepted"] for one in found] == [each] * 4
    assert set(deliveries(platform).values()) == {1}


async def test_only_what_was_sent_is_said_to_be_perhaps_out(
    platform: Platform, resting: Resting
) -> None:
    """A failed commit of a group says nothing of those that it had nothing to send for."""
    await ready(platform, 1)
    rows = [
        {"network": "apns", "token": apns_token(1000 + n), "external_id": "collector"}
        for n in range(URGENT_DEVICES + 1)
    ]
    await platform.post("/v1/devices:batch", {"devices": rows}, 200)
    await platform.ask(
        "create function no_space() returns trigger language plpgsql as "
        "$$ begin raise exception 'no space' using errcode = '53100'; end $$"
    )
    await platform.ask(
        "create trigger no_space before insert on message for each row "
        "when (new.request->'to'->'users' ? 'u0') execute function no_space()"
    )
    resting.begin()
    bodies = [{"to": {"users": [name]}, "title": "Hi"} for name in ("u0", "nobody", "collector")]

    await send(platform, {"users": ["nobody"]})  # the next ones wait for each other after it
    asking = asyncio.gather(*(platform.http.post("/v1/messages", json=body) for body in bodies))
    await platform.until(lambda: resting.waiting == len(bodies))
    resting.end()
    sent, skipped, queued = await asking

    assert [answer.status_code for answer in (sent, skipped, queued)] == [503, 503, 202]
    assert "may have gone out" in sent.json()["detail"]
    assert "may have gone out" not in skipped.json()["detail"]
    found = await platform.finished(queued.json()["id"])
    assert outcomes(found) == {("accepted", "accepted"): URGENT_DEVICES + 1}


async def test_who_waits_for_a_group_is_answered_before_the_process_ends(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Draining ends the rest between groups, and leaves nobody in the line."""
    await ready(platform, 2)
    monkeypatch.setattr(urgent, "REST_S", 3600.0)
    monkeypatch.setattr(urgent, "REST_FOR_MESSAGE_S", 3600.0)
    async with open_container(platform.settings, connections=2) as container:
        path = UrgentPath(journal=container.journal, delivery=container.delivery, owner="ends")
        answers = []
        for key in ("one", "two", "three"):
            new = await keyed(platform, key)
            uuid = MessageId(container.chance.uuid7(container.clock.now()))
            answers.append(path.enter(replace(new, message=replace(new.message, id=uuid))))
        async with asyncio.timeout(150):
            await path.drain()

        assert [answer.result() for answer in answers] == [Accepted()] * 3
    assert deliveries(platform) == {apns_token(0): 3}


async def test_a_credential_deleted_under_traffic_breaks_no_request(platform: Platform) -> None:
    """Messages stay acceptable; who can't be reached any more is told so, and why."""
    await ready(platform, 20)
    assert (await post(platform, 0)).status_code == httpx.codes.ACCEPTED
    await platform.idle()
    await platform.ask("delete from batch")  # as the hourly sweep does with finished work

    await send(platform, {"users": ["nobody"]})  # the process knows the credential as of now
    assert (await platform.http.delete("/v1/credentials/apns")).is_success
    answers = await asyncio.gather(*(post(platform, n) for n in range(20)))

    assert {answer.status_code for answer in answers} == {202}
    ends = [outcomes(await platform.finished(answer.json()["id"])) for answer in answers]
    assert ends == [{("suppressed", "credential_missing"): 1}] * 20
