"""Every process of the platform is killed again and again while messages flow: nothing is lost."""

import asyncio
import itertools
import os
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.e2e.patience import PATIENCE_S, START_S
from tests.e2e.platform_processes import Processes, platform_processes, wait_until_ready
from tests.e2e.ports import free_port

from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.net.loopback_tls import make_loopback_tls, server_context
from clarion.adapters.net.serve_simulator import serve
from clarion.adapters.system import SystemClock
from clarion.domain.content import Content, Message
from clarion.domain.ids import AppId, MessageId
from clarion.domain.lanes import Lane
from clarion.providers.apns.payload import id_fields, texts
from clarion.providers.apns.simulator import ApnsFaults, ApnsRecord, ApnsSimulator

DRILLS: Final[Sequence[Mapping[str, int]]] = (
    {"planner": 4, "facts": 4},
    {"postgres": 4},
    {"supervisor": 1},
    {"sender": 8, "api": 4},
    {"postgres": 4},
    {"supervisor": 1},
)
"""How often each role is killed; what is killed in one drill is counted together. A supervisor
waits longer and longer with a role that keeps dying: a new one starts anew."""
SENDERS: Final = 2
PER_SENDER: Final = 500 + 10
"""One slot with a chunk of 500, and one for urgent lanes with a chunk of 10."""
PER_API: Final = 4 * 10
"""Four groups under way, of ten recipients each; a client sends no more at once here."""
REPEATS: Final = {
    "sender": PER_SENDER,
    "planner": 0,
    "facts": 0,
    "api": PER_API,
    "postgres": 0,
    "supervisor": SENDERS * PER_SENDER + PER_API,
}
"""Recipients that one kill of a role may repeat, each with the same `apns-id`."""
UNACCEPTED: Final = {"api": PER_API, "postgres": PER_API, "supervisor": PER_API}
"""Recipients of urgent messages that were on the wire when their own commit was lost: nobody was
told that these messages were accepted, and the client's retry is another message."""
PEOPLE: Final = 1500
SENDING_TASKS: Final = 4
APP: Final = AppId(1)


@dataclass(kw_only=True)
class Client:
    """What an app's server does: sends, and sends again with the same key until it is answered."""

    http: httpx.AsyncClient
    devices: Sequence[int] = ()
    accepted: dict[str, Sequence[int]] = field(default_factory=dict)
    """Message -> the people it is for."""
    in_doubt: set[int] = field(default_factory=set)
    """People of urgent messages of which one try had no answer."""
    flowing: bool = True
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def send(self, to: object, people: Sequence[int]) -> None:
        """A message that is accepted in the end."""
        headers = {"idempotency-key": f"k{next(self._numbers)}"}
        while True:
            try:
                answer = await self.http.post(
                    "/v1/messages", json={"to": to, "title": "Hello"}, headers=headers
                )
            except httpx.TransportError:
                self.in_doubt |= set(people)
                await asyncio.sleep(0.02)
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                self.accepted[answer.json()["id"]] = people
                return
            assert answer.status_code in {409, 503}, answer.text
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                self.in_doubt |= set(people)
            await asyncio.sleep(0.02)

    async def broadcast(self) -> None:
        """To everybody."""
        await self.send({"all": True}, range(PEOPLE))

    async def campaign(self, first: int) -> None:
        """To a third of the people, by name."""
        people = range(first % 3, PEOPLE, 3)
        await self.send({"users": [f"u{i}" for i in people]}, people)

    async def keep_sending(self, chance: random.Random) -> None:
        """Urgent messages to one to three people, one after another, while they flow."""
        while self.flowing:
            people = sorted(chance.sample(range(PEOPLE), chance.randint(1, 3)))
            await self.send({"users": [f"u{i}" for i in people]}, people)
            await asyncio.sleep(chance.uniform(0, 0.1))

    async def settled(self) -> None:
        """Wait until every accepted message has ended."""
        clock = SystemClock()
        give_up = clock.monotonic() + START_S
        while waiting := await self._waiting():
            assert clock.monotonic() < give_up, f"{len(waiting)} messages have no end: {waiting}"
            await clock.sleep(0.1)

    async def _waiting(self) -> dict[str, str]:
        """Messages that were accepted and have not ended, with their states."""
        waiting = dict.fromkeys(self.accepted, "not listed")
        query: dict[str, str | int] = {"limit": 1000}
        while True:
            try:
                answer = await self.http.get("/v1/messages", params=query)
            except httpx.TransportError:
                return waiting
            if not answer.is_success:
                return waiting
            page = answer.json()
            for message in page["items"]:
                if message["state"] == "finished":
                    waiting.pop(message["id"], None)
                elif message["id"] in waiting:
                    waiting[message["id"]] = message["state"]
            if page["next"] is None:
                return waiting
            query["cursor"] = page["next"]


@dataclass(frozen=True, kw_only=True)
class Count:
    """What the simulator saw, against what was accepted."""

    missing: int
    repeated: int
    """Deliveries of an `apns-id` that was delivered before."""
    unaccepted: int
    """Deliveries of messages that nobody was told were accepted."""


def token(number: int) -> str:
    """A device token in Apple's form."""
    return f"{number:064x}"


def count(record: ApnsRecord, dead: set[str], client: Client) -> Count:
    """Compare both ends, recipient by recipient; a dead token is not waited for."""
    wanted: list[set[str]] = [set() for _ in range(PEOPLE)]
    devices = np.array(client.devices, np.int64)
    for message, people in client.accepted.items():
        chosen = np.array(people, np.int64)
        one = Message(id=MessageId(message), app=APP, lane=Lane.BULK, content=Content())
        ids = texts(id_fields([one], np.zeros(len(chosen), np.uint16), devices[chosen]))
        for person, apns_id in zip(people, ids, strict=True):
            wanted[person].add(apns_id)
    missing = repeated = unaccepted = 0
    for person, ids_wanted in enumerate(wanted):
        got = record.ids.get(token(person), set())
        repeated += record.deliveries[token(person)] - len(got)
        if token(person) not in dead:
            missing += len(ids_wanted - got)
        strange = len(got - ids_wanted)
        assert not strange or person in client.in_doubt, f"u{person} got what nobody sent"
        unaccepted += strange
    return Count(missing=missing, repeated=repeated, unaccepted=unaccepted)


async def add_credential(http: httpx.AsyncClient) -> None:
    """What the app sends to Apple with."""
    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = {"key_id": "ABCDEFGHIJ", "team_id": "TEAM123456", "topic": "com.example.app"}
    body = {"public": public, "secret": {"private_key": key.decode()}}
    answer = await http.put("/v1/credentials/apns", json=body)
    assert answer.is_success, answer.text


async def add_people(http: httpx.AsyncClient) -> Sequence[int]:
    """One APNs device each; the devices' ids."""
    rows = [{"network": "apns", "token": token(i), "external_id": f"u{i}"} for i in range(PEOPLE)]
    answer = await http.post("/v1/devices:batch", json={"devices": rows})
    assert answer.is_success, answer.text
    return [item["id"] for item in answer.json()["items"]]


@asynccontextmanager
async def running_platform(
    folder: Path, apns: ApnsSimulator
) -> AsyncIterator[tuple[Processes, Client]]:
    """The platform's processes, sending to a simulator in this one."""
    clock = SystemClock()
    tls_dir = folder / "tls"
    tls_dir.mkdir()
    tls = make_loopback_tls(tls_dir, clock.now())
    context = server_context(tls.certificate, tls.key, alpn=("h2",))
    handle = await serve(apns, host="127.0.0.1", port=0, tls=context, clock=clock)
    port = free_port()
    environment = {
        "CLARION_DATA_DIR": str(folder / "data"),
        "CLARION_SERVER_PORT": str(port),
        "CLARION_WORKERS_SENDERS": str(SENDERS),
        "CLARION_DATABASE_STATEMENT_S": str(START_S),  # a slow machine is not what is tested
        "CLARION_EGRESS_CONNECT_S": str(PATIENCE_S),
        "CLARION_EGRESS_REQUEST_S": str(START_S),
        "CLARION_EGRESS_CA_FILE": str(tls.ca_file),
        "CLARION_EGRESS_ALLOW_HOSTS": "127.0.0.1",
        "CLARION_APNS_PRODUCTION_URL": f"https://127.0.0.1:{handle.port}",
        "CLARION_APNS_SANDBOX_URL": f"https://127.0.0.1:{handle.port}",
    }
    try:
        async with (
            platform_processes(folder, environment) as processes,
            httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}",
                headers={"authorization": f"Bearer {processes.key}"},
                timeout=PATIENCE_S,
            ) as http,
        ):
            yield processes, Client(http=http)
    finally:
        await handle.close()


async def kill_often(
    processes: Processes, client: Client, kills: Mapping[str, int], chance: random.Random
) -> None:
    """Kill roles at random moments, each time with a campaign under way."""
    roles = [role for role, times in kills.items() for _ in range(times)]
    chance.shuffle(roles)
    for number, role in enumerate(roles):
        sending = asyncio.create_task(client.broadcast() if number % 2 else client.campaign(number))
        await processes.kill(role, chance.random(), after_s=chance.uniform(0, 0.5))
        await sending


async def drill(
    processes: Processes, client: Client, kills: Mapping[str, int], chance: random.Random
) -> None:
    """Kill while messages flow; return when all of them have ended."""
    client.flowing = True
    async with asyncio.TaskGroup() as tasks:
        for _ in range(SENDING_TASKS):
            tasks.create_task(client.keep_sending(chance))
        await kill_often(processes, client, kills, chance)
        client.flowing = False
    await client.settled()


async def taken_in(client: Client, message: str) -> None:
    """Wait until the facts have what the finished message has, which they take in at leisure.

    The API waits for it too, and says 503 where it takes too long.
    """
    async with asyncio.timeout(START_S):
        while not (answer := await client.http.get(f"/v1/messages/{message}")).is_success:
            assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
            await asyncio.sleep(0.1)


async def outcomes(facts: FactsClient, message: str) -> Mapping[str, int]:
    """How many recipients of a message ended how and why, as far as the facts know."""
    counts = await facts.counts(APP, MessageId(message), at_least_xid=0)
    return {f"{row.outcome.name} {row.reason.name}": row.count for row in counts.outcomes}


async def check_facts(folder: Path, client: Client) -> None:
    """Every recipient of every message has exactly one final outcome, and none is a failure."""
    await asyncio.to_thread(wait_until_ready, str(client.http.base_url))
    facts = FactsClient(folder / "data" / "facts" / "facts.sock", SystemClock())
    accepted = iter(client.accepted.items())

    async def check() -> None:
        for message, people in accepted:
            found = await outcomes(facts, message)
            if sum(found.values()) != len(people):
                await taken_in(client, message)
                found = await outcomes(facts, message)
            assert {how.split()[0] for how in found} <= {"ACCEPTED", "DEAD", "SUPPRESSED"}, found
            assert sum(found.values()) == len(people), (message, found)
            assert await facts.verify(APP, MessageId(message)) == []

    try:
        # At once: their owner yields the processor, and on a busy machine gets it now and then.
        await asyncio.gather(*(check() for _ in range(8)))
    finally:
        await facts.close()


@pytest.mark.timeout(1800)
async def test_killed_processes_lose_nothing_and_repeat_no_more_than_stated(
    short_dir: Path,
) -> None:
    """Kills at random moments, then a count at the far end and in the facts."""
    seed = int.from_bytes(os.urandom(4))
    print(f"seed {seed}")  # noqa: T201  # to run the same kills again
    chance = random.Random(seed)  # noqa: S311  # when to kill, not a secret
    faults = ApnsFaults(dead=0.02, latency_s=(0.02, 0.2))
    apns = ApnsSimulator(any_token=True, any_key=True, faults=faults, record=True)
    record = apns.record
    assert record is not None
    async with running_platform(short_dir, apns) as (processes, client):
        await add_credential(client.http)
        client.devices = await add_people(client.http)
        before = Count(missing=0, repeated=0, unaccepted=0)
        for kills in DRILLS:
            await drill(processes, client, kills, chance)
            now = count(record, set(apns.expired), client)
            repeated = now.repeated - before.repeated
            unaccepted = now.unaccepted - before.unaccepted
            repeats = sum(times * REPEATS[role] for role, times in kills.items())
            strays = sum(times * UNACCEPTED.get(role, 0) for role, times in kills.items())
            print(  # noqa: T201  # the numbers that the drill is about
                f"kills {kills}: missing {now.missing}, repeated {repeated} of at most {repeats}, "
                f"sent and never accepted {unaccepted} of at most {strays}"
            )
            assert now.missing == 0
            assert repeated <= repeats
            assert unaccepted <= strays
            before = now
        await check_facts(short_dir, client)
        print(f"{len(client.accepted)} messages, {record.deliveries.total()} deliveries")  # noqa: T201  # as above
