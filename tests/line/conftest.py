"""A state store with one app, its credentials and some devices, for the tests of the line."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from clarion.adapters.state.pool import open_pool
from clarion.domain.content import Content, Message
from clarion.domain.ids import AppId, KeyId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.ports.messages import NewMessage, Target

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Store:
    """A store to test with."""

    pool: asyncpg.Pool
    app: AppId
    now: datetime = NOW

    async def add_people(self, count: int, *, opted_out: int = 0, dead: int = 0) -> None:
        """Users `u0`, `u1`, ... with one APNs device each; the first ones opted out or dead."""
        await self.pool.execute(
            """with people as (
                insert into users (app_id, external_id, opted_out, created_at, updated_at)
                select $1, 'u' || g, g < $3, $2, $2 from generate_series(0, $5::int - 1) g
                returning id, external_id)
            insert into device (app_id, user_id, network, token, token_key, state, registered_at,
                                created_at, updated_at)
            select $1, id, 1, md5(external_id) || md5(external_id), decode(md5(external_id), 'hex'),
                   case when substr(external_id, 2)::int between $3 and $3 + $4 - 1
                        then 2 else 1 end, $2, $2, $2
            from people""",
            self.app,
            self.now,
            opted_out,
            dead,
            count,
        )

    def message(self, number: int, target: Target, **changes: object) -> NewMessage:
        """A message ready to be accepted."""
        fields: dict[str, object] = {"lane": Lane.CAMPAIGN, "content": Content(title="Hello")}
        key = changes.pop("idempotency", None)
        send_at = changes.pop("send_at", self.now)
        fields |= changes
        return NewMessage(
            message=Message(id=MessageId(str(UUID(int=number))), app=self.app, **fields),  # type: ignore[arg-type]  # a test's own mapping
            target=target,
            send_at=send_at,  # type: ignore[arg-type]  # as above
            request=b'{"title": "Hello"}',
            key=KeyId("k"),
            idempotency=key,  # type: ignore[arg-type]  # as above
            answer_status=202,
            answer=b"{}",
        )

    def later(self, seconds: float) -> datetime:
        """Some time after the store's now."""
        return self.now + timedelta(seconds=seconds)


async def one_waits(pool: asyncpg.Pool) -> None:
    """Return when a connection to this database waits for another one's lock."""
    asked = """select exists (select from pg_stat_activity
                              where datname = current_database() and wait_event_type = 'Lock')"""
    async with asyncio.timeout(120):
        while not await pool.fetchval(asked):  # noqa: ASYNC110  # the server's state
            await asyncio.sleep(0.01)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """One app with credentials for the three networks."""
    pool = await open_pool(database_url)
    app = await pool.fetchval(
        "insert into app (name, created_at) values ('shop', $1) returning id", NOW
    )
    for network in Network:
        await pool.execute(
            """insert into credential (app_id, network, public, secret, state_at, created_at)
               values ($1, $2, '{}', '', $3, $3)""",
            app,
            int(network),
            NOW,
        )
    yield Store(pool=pool, app=AppId(app))
    await pool.close()
