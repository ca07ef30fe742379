"""What is told of a message whose commit had no answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import pytest
from tests.line.conftest import Store
from tests.line.test_paced_out import ports_of

from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.pool import open_pool
from clarion.domain.ids import MessageId
from clarion.domain.lanes import Lane
from clarion.ports.messages import (
    Acceptance,
    Accepted,
    IdempotencyKey,
    MaybeSentError,
    NewMessage,
    Replayed,
    Target,
)
from clarion.ports.store import StoreUnavailableError
from clarion.stages.delivery import urgent
from clarion.stages.delivery.urgent import URGENT_DEVICES, UrgentPath
from clarion.testing.clock import ManualClock

COMMITTED = b"COMMIT\0"
WRITTEN = b"INSERT 0 "
"""How the server begins its answer to a statement that is a transaction of its own."""


@dataclass(kw_only=True)
class Relay:
    """A way to the store that ends where an answer would say what it is told to lose."""

    socket: str
    loses: bytes | None = None

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry octets both ways, until one end is gone or an answer was lost."""
        from_store, to_store = await asyncio.open_unix_connection(self.socket)
        there = asyncio.create_task(_carry(reader, to_store))
        back = asyncio.create_task(self._answer(from_store, writer))
        await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
        there.cancel()
        back.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        to_store.close()
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while octets := await reader.read(65_536):
                if self.loses is not None and self.loses in octets:
                    self.loses = None
                    return
                writer.write(octets)


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while octets := await reader.read(65_536):
            writer.write(octets)


@dataclass(frozen=True, kw_only=True)
class Far:
    """The urgent path of a process whose way to the store may lose answers."""

    relay: Relay
    path: UrgentPath


@pytest.fixture
async def far(
    store: Store, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Far]:
    """A path over a relay; every credential is in quarantine, so that nothing is sent.

    After the first group, the next is what comes until it is drained.
    """
    monkeypatch.setattr(urgent, "REST_FOR_MESSAGE_S", 3600.0)
    monkeypatch.setattr(urgent, "REST_S", 3600.0)
    parts = urlsplit(database_url)
    place = parse_qs(parts.query)
    relay = Relay(socket=f"{place['host'][0]}/.s.PGSQL.{place['port'][0]}")
    server = await asyncio.start_server(relay.connected, "127.0.0.1", 0)
    user, port = parts.netloc.rpartition("@")[0], server.sockets[0].getsockname()[1]
    address = parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="sslmode=disable")
    pool = await open_pool(urlunsplit(address), max_size=2)
    await store.pool.execute("update credential set state = 2")
    await store.add_people(3)
    ports = ports_of(store, ManualClock(store.now), tmp_path)
    yield Far(
        relay=relay,
        path=UrgentPath(journal=PostgresJournal(pool), delivery=ports, owner="api"),
    )
    await pool.close()
    server.close()
    await server.wait_closed()


def message(store: Store, number: int, person: str, lane: Lane) -> NewMessage:
    """A message to one person, under a key of its own."""
    key = IdempotencyKey(key=f"k{number}", body_hash=b"body")
    return store.message(number, Target(users=[person]), lane=lane, idempotency=key)


def alone(store: Store) -> NewMessage:
    """A message that is a group of its own, under no key."""
    return store.message(3, Target(users=["u0"]), lane=Lane.TRANSACTIONAL)


async def told(far: Far, news: list[NewMessage], store: Store) -> list[Acceptance | BaseException]:
    """What each caller is told; those that are urgent come in one group."""
    async with asyncio.timeout(60):
        answers = [asyncio.create_task(far.path.accept(new, store.now)) for new in news]
        await asyncio.sleep(0)
        await far.path.drain()
        return await asyncio.gather(*answers, return_exceptions=True)


async def kept(store: Store) -> set[MessageId]:
    """The messages that the store has."""
    return {MessageId(row[0]) for row in await store.pool.fetch("select id::text from message")}


async def test_what_waits_in_the_queue_may_go_out_though_its_commit_had_no_answer(
    far: Far, store: Store
) -> None:
    """Who asks again with the same key gets the first answer; who reaches nobody needs not to."""
    waiting = message(store, 1, "u1", Lane.TRANSACTIONAL)
    nobody = message(store, 2, "nobody", Lane.TRANSACTIONAL)
    await far.path.accept(alone(store), store.now)
    far.relay.loses = WRITTEN

    first, second = await told(far, [waiting, nobody], store)

    assert isinstance(first, MaybeSentError)
    assert isinstance(second, StoreUnavailableError)
    assert not isinstance(second, MaybeSentError)
    assert waiting.message.id in await kept(store)
    (again,) = await told(far, [waiting], store)
    assert isinstance(again, Replayed)


async def test_a_campaign_may_go_out_though_its_commit_had_no_answer(
    far: Far, store: Store
) -> None:
    """It would go out twice if its caller took it for refused."""
    campaign = message(store, 1, "u1", Lane.CAMPAIGN)
    far.relay.loses = COMMITTED

    (answer,) = await told(far, [campaign], store)

    assert isinstance(answer, MaybeSentError)
    assert campaign.message.id in await kept(store)
    (again,) = await told(far, [campaign], store)
    assert isinstance(again, Replayed)


async def test_one_that_is_for_the_queue_says_nothing_of_the_next(far: Far, store: Store) -> None:
    """A lost answer is told to its own caller; the other message of the group is taken."""
    many = URGENT_DEVICES + 1
    for person in ("u1", "u2"):
        await store.pool.execute(
            """insert into device (app_id, user_id, network, token, token_key, state,
                                   registered_at, created_at, updated_at)
               select app_id, id, 1, md5(external_id || g), decode(md5(external_id || g), 'hex'),
                      1, $2, $2, $2
               from users, generate_series(1, $3::int) g where external_id = $1""",
            person,
            store.now,
            many,
        )
    wide = [message(store, n, f"u{n}", Lane.TRANSACTIONAL) for n in (1, 2)]
    await far.path.accept(alone(store), store.now)
    far.relay.loses = COMMITTED

    answers = await told(far, wide, store)

    assert isinstance(answers[0], MaybeSentError)
    assert isinstance(answers[1], Accepted)
    assert {new.message.id for new in wide} <= await kept(store)
