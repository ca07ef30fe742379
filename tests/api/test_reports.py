"""Outcomes through the API, on the columnar engine: counts, trace, events."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.api.conftest import CLOCK, World
from tests.api.test_edge import refused
from tests.api.test_messages import HELLO
from tests.api.test_registry import APNS
from tests.facts.test_owner import listening

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
        path=short_dir / "f" / "facts.duckdb",
        socket=short_dir / "s",
        drain_every_s=0.02,
        lag_limit_s=150,
    )
    owner = asyncio.create_task(run_owner(pool, settings, CLOCK, stop))
    facts = FactsClient(settings.socket, CLOCK)
    await listening(settings.socket, owner)
    limits = ApiLimits(events_every_s=0.02)
    yield replace(world, deps=replace(world.deps, facts=facts, limits=limits))
    await facts.close()
    stop.set()
    await owner


class Following:
    """Reads an event stream as it comes.

    Attributes:
        headers: of the answer.
        text: what has come so far.
        shown: set when the first progress has.
        incoming: what the client does, as ASGI tells it.
    """

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.text = ""
        self.shown = asyncio.Event()
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def read(self, world: World, path: str) -> None:
        """Ask for the stream, and read it to its end."""
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {world.keys['send']}".encode())],
        }
        async with asyncio.timeout(120):
            await create_app(world.deps)(scope, self.incoming.get, self._send)

    async def _send(self, message: Any) -> None:  # noqa: ANN401  ASGI messages are open dicts
        self.headers.extend(message.get("headers", ()))
        self.text += message.get("body", b"").decode()
        if "event: progress" in self.text:
            self.shown.set()


async def _recorded(
    world: World,
    person: dict[str, Any],
    now: datetime,
    reason: Reason = Reason.DEVICE_OPTED_OUT,
) -> MessageId:
    """A message with one person who had opted out, and one who had no device."""
    message = MessageId(world.deps.chance.uuid7(now))
    rows = np.zeros(2, OUTCOME_ROW)
    rows["user"] = person["user"], person["user"] + 1000
    rows["device"] = person["id"], 0
    rows["network"] = Network.APNS, 0
    rows["reason"] = reason, Reason.USER_HAS_NO_DEVICE
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


async def test_a_trace_names_the_lists_that_suppressed(reporting: World) -> None:
    """Those that had the name at the time and have it still; others have nothing to do with it."""
    before, after = CLOCK.now() - timedelta(days=1), CLOCK.now() + timedelta(days=1)
    lists = reporting.deps.suppressions
    for name, at in (("complaints", before), ("legal", before), ("later", after)):
        await lists.put(reporting.app, name, "", before)
        await lists.add(reporting.app, name, ["jane"], "asked", at)
    await lists.put(reporting.app, "others", "", before)
    await lists.add(reporting.app, "others", ["joe"], "asked", before)
    async with reporting.client("send") as client:
        person = (await client.post("/v1/devices", json={**APNS, "external_id": "jane"})).json()
        message = await _recorded(reporting, person, CLOCK.now(), Reason.SUPPRESSION_LIST)
        path = f"/v1/messages/{message}/recipients/jane"
        named = (await client.get(path)).json()["suppressed_by"]
        await lists.remove(reporting.app, "legal", ["jane"], after)
        left = (await client.get(path)).json()["suppressed_by"]
        other = await _recorded(reporting, person, CLOCK.now())
        none = (await client.get(f"/v1/messages/{other}/recipients/jane")).json()

    assert [one["list"] for one in named] == ["complaints", "legal"]
    assert named[0]["since"].startswith(f"{before:%Y-%m-%d}")
    assert [one["list"] for one in left] == ["complaints"]
    assert none["suppressed_by"] == []


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
        stream = Following()
        path = f"/v1/messages/{said['id']}"
        reading = asyncio.create_task(stream.read(reporting, f"{path}/events"))
        await stream.shown.wait()
        assert (await client.post(f"{path}:cancel")).is_success
        await reading
    assert (b"content-type", b"text/event-stream") in stream.headers
    events = [part.split("\n") for part in stream.text.strip().split("\n\n")]
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
    stream, world = Following(), replace(reporting, deps=replace(reporting.deps, stopping=stopping))
    reading = asyncio.create_task(stream.read(world, f"/v1/messages/{said['id']}/events"))
    await stream.shown.wait()
    stopping.set()
    await reading
    assert "event: progress" in stream.text
    assert "event: end" not in stream.text


async def test_a_client_that_leaves_ends_its_event_stream(reporting: World) -> None:
    """Nothing goes on looking at the message."""
    body = {**HELLO, "send_at": "2090-01-01T00:00:00Z"}
    async with reporting.client("send") as client:
        said = (await client.post("/v1/messages", json=body)).json()
    stream = Following()
    reading = asyncio.create_task(stream.read(reporting, f"/v1/messages/{said['id']}/events"))
    await stream.shown.wait()
    await stream.incoming.put({"type": "http.disconnect"})
    await reading
    assert "event: end" not in stream.text


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
