"""Outcomes through the API, on the columnar engine: counts, trace, events."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.api.conftest import CLOCK, World
from tests.api.test_edge import refused
from tests.api.test_messages import HELLO
from tests.api.test_registry import APNS

from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.facts.duckdb.owner import run_owner
from clarion.adapters.facts.duckdb.settings import OwnerSettings
from clarion.adapters.state.journal import PostgresJournal
from clarion.api import ApiLimits, create_app
from clarion.domain.content import Content, Message
from clarion.domain.handoffs import OUTCOME_ROW, BatchSent, ChunkKind
from clarion.domain.ids import KeyId, MessageId, UserId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Outcome, Reason
from clarion.ports.journal import JournalEntry
from clarion.ports.messages import NewMessage, Target


@pytest.fixture
async def reporting(world: World, short_dir: Path) -> AsyncIterator[World]:
    """The same world with an owner of the facts."""
    stop = asyncio.Event()
    pool = world.deps.apps._pool  # type: ignore[attr-defined]
    settings = OwnerSettings(
        path=short_dir / "f" / "facts.duckdb", socket=short_dir / "s", drain_every_s=0.02
    )
    owner = asyncio.create_task(run_owner(pool, settings, CLOCK, stop))
    facts = FactsClient(settings.socket, CLOCK)
    limits = ApiLimits(events_every_s=0.02)
    yield replace(world, deps=replace(world.deps, facts=facts, limits=limits))
    await facts.close()
    stop.set()
    await owner


async def _recorded(world: World, person: dict[str, Any], now: datetime) -> MessageId:
    """A message with one person who had opted out, and one who had no device."""
    message = MessageId(world.deps.chance.uuid7(now))
    rows = np.zeros(2, OUTCOME_ROW)
    rows["user"] = person["user"], person["user"] + 1000
    rows["device"] = person["id"], 0
    rows["network"] = Network.APNS, 0
    rows["reason"] = Reason.DEVICE_OPTED_OUT, Reason.USER_HAS_NO_DEVICE
    rows["outcome"] = Outcome.SUPPRESSED
    rows["at_us"] = int(now.timestamp() * 1e6)
    new = NewMessage(
        message=Message(
            id=message, app=world.app, lane=Lane.TRANSACTIONAL, content=Content(title="Hello")
        ),
        target=Target(users=["jane"]),
        send_at=now,
        request=json.dumps(HELLO).encode(),
        key=KeyId("k"),
        idempotency=None,
        answer_status=202,
        answer=b"{}",
    )
    skipped = BatchSent(app=world.app, kind=ChunkKind.PLANNED, messages=[message], rows=rows)
    journal = world.deps.acceptor
    assert isinstance(journal, PostgresJournal)
    entry = JournalEntry(
        news=[new],
        batches=[],
        leased=[],
        skipped=[skipped],
        decided=[],
        sent={},
        owner="test",
        lease_s=30,
    )
    await journal.write(entry, now)
    return message


async def test_outcomes_are_counted_traced_and_streamed(reporting: World) -> None:
    """What was recorded is what the API tells, and another app is told nothing."""
    async with reporting.client("send") as client, reporting.client("other") as other:
        person = (await client.post("/v1/devices", json={**APNS, "external_id": "jane"})).json()
        message = await _recorded(reporting, person, CLOCK.now())
        path = f"/v1/messages/{message}"
        view = (await client.get(path)).json()
        assert view["request"] == HELLO
        assert view["by_outcome"] == {"suppressed": 2}
        assert view["by_network"] == {"apns": {"suppressed": 1}, "none": {"suppressed": 1}}
        assert {row["reason"] for row in view["outcomes"]} == {
            "device_opted_out",
            "user_has_no_device",
        }
        assert view["progress"]["done"] == 2
        trace = (await client.get(f"{path}/recipients/jane")).json()
        assert [(a["reason"], a["outcome"], a["device"]) for a in trace["attempts"]] == [
            ("device_opted_out", "suppressed", person["id"])
        ]
        assert trace["devices"][0]["network"] == "apns"
        assert (trace["digest"], trace["digest_items"], trace["too_old"]) == (None, [], False)
        by_id = await client.get(f"{path}/recipients/{person['user']}?by=id")
        assert by_id.json() == trace
        refused(await client.get(f"{path}/recipients/nobody"), "not_found")
        refused(await client.get(f"{path}/recipients/jane?by=phone"), "query_invalid")
        for tail in ("", "/recipients/jane", "/events"):
            refused(await other.get(path + tail), "not_found")
        if view["state"] == "finished":
            events = (await client.get(f"{path}/events")).text
            assert events.rstrip().endswith("event: end\ndata: {}")


async def test_a_trace_tells_what_came_before_a_login(reporting: World) -> None:
    """It is recorded under the number that the person had as a stranger."""
    async with reporting.client("send") as client:
        await client.put("/v1/users/jane", json={})
        stranger = (await client.post("/v1/devices", json=APNS)).json()
        message = await _recorded(reporting, stranger, CLOCK.now())
        known = await reporting.deps.people.login(
            reporting.app, UserId(stranger["user"]), "jane", CLOCK.now()
        )
        trace = (await client.get(f"/v1/messages/{message}/recipients/jane")).json()

    assert known is not None
    assert known.id != stranger["user"]
    assert [(a["reason"], a["device"]) for a in trace["attempts"]] == [
        ("device_opted_out", stranger["id"])
    ]


async def test_events_follow_a_message_to_its_end(reporting: World) -> None:
    """Progress on every change, then `end`; the stream closes by itself."""
    async with reporting.client("send") as client:
        body = {**HELLO, "send_at": "2090-01-01T00:00:00Z"}
        said = (await client.post("/v1/messages", json=body)).json()
        stream = asyncio.create_task(client.get(f"/v1/messages/{said['id']}/events"))
        await asyncio.sleep(0.2)
        await client.post(f"/v1/messages/{said['id']}:cancel")
        response = await stream
    assert response.headers["content-type"] == "text/event-stream"
    events = [part.split("\n") for part in response.text.strip().split("\n\n")]
    assert events[0] == ["retry: 2000"]
    states = [json.loads(e[1].removeprefix("data: "))["state"] for e in events[1:-1]]
    assert states[0] == "scheduled"
    assert states[-1] == "canceled"
    assert events[-1] == ["event: end", "data: {}"]


async def test_a_draining_server_ends_its_event_streams(reporting: World) -> None:
    """Without `end`: the client reconnects elsewhere."""
    stopping = asyncio.Event()
    body = {**HELLO, "send_at": "2090-01-01T00:00:00Z"}
    async with reporting.client("send", stopping=stopping) as client:
        said = (await client.post("/v1/messages", json=body)).json()
        stream = asyncio.create_task(client.get(f"/v1/messages/{said['id']}/events"))
        await asyncio.sleep(0.1)
        stopping.set()
        assert "event: end" not in (await stream).text


async def test_a_client_that_leaves_ends_its_event_stream(reporting: World) -> None:
    """Nothing goes on looking at the message."""
    body = {**HELLO, "send_at": "2090-01-01T00:00:00Z"}
    async with reporting.client("send") as client:
        said = (await client.post("/v1/messages", json=body)).json()
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: list[Any] = []

    async def send(message: Any) -> None:  # noqa: ANN401  ASGI messages are open dicts
        sent.append(message)
        if len(sent) == 3:
            await incoming.put({"type": "http.disconnect"})

    path = f"/v1/messages/{said['id']}/events"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {reporting.keys['send']}".encode())],
    }
    async with asyncio.timeout(60):
        await create_app(reporting.deps)(scope, incoming.get, send)
    assert b"event: progress" in sent[2]["body"]


async def test_facts_that_can_not_be_read_are_a_503(world: World, short_dir: Path) -> None:
    """The message is safe; its counts are not to be had now."""

    class Hurried(type(CLOCK)):  # type: ignore[misc]
        """A clock that is past every deadline at the second look."""

        def monotonic(self) -> float:
            self.seen: float = getattr(self, "seen", 0.0) + 60.0
            return self.seen

    facts = FactsClient(short_dir / "nobody", Hurried())
    async with world.client(facts=facts) as client:
        said = (await client.post("/v1/messages", json=HELLO)).json()
        refused(await client.get(f"/v1/messages/{said['id']}"), "facts_unavailable")
