"""Receipts of our own messages, read in order, once, and beside those of other senders."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import asyncpg
import pytest

from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.push_feedback import PostgresPushFeedback
from clarion.adapters.state.push_messages import PostgresPushReceipts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHANNEL = bytes(range(16))


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A fresh store."""
    opened = await open_pool(database_url, max_size=3)
    yield opened
    await opened.close()


def endpoint(device: int, subscription: int, channel: bytes, key_hash: bytes | None) -> str:
    """An endpoint that shows what it was made of."""
    return f"{device}/{subscription}/{channel.hex()}/{key_hash!r}"


async def message(pool: asyncpg.Pool) -> str:
    """A message of ours."""
    app = await pool.fetchval(
        "insert into app (name, created_at) values (gen_random_uuid()::text, $1) returning id", NOW
    )
    columns = await pool.fetch(
        "select column_name as name, data_type as kind from information_schema.columns "
        "where table_name = 'message' and is_nullable = 'NO' and column_default is null "
        "and is_identity = 'NO' and is_generated = 'NEVER' and column_name not in ('id', 'app_id')"
    )
    plain = {
        "timestamp with time zone": "now()", "jsonb": "'{}'", "text": "''", "smallint": "0",
        "integer": "0", "bigint": "0", "boolean": "false", "bytea": "''",
    }  # fmt: skip
    name = str(uuid4())
    names = "".join(f", {row['name']}" for row in columns)
    values = "".join(f", {plain[row['kind']]}" for row in columns)
    await pool.execute(
        f"insert into message (id, app_id{names}) values ($1, $2{values})",  # noqa: S608  our own
        name,
        app,
    )
    return name


async def told(pool: asyncpg.Pool, reader: str, subscription: int, status: int = 204) -> None:
    """A receipt."""
    await pool.execute(
        "insert into push_receipt (reader, message_id, subscription_id, status, at) "
        "values ($1, 1, $2, $3, $4)",
        reader, subscription, status, NOW,
    )  # fmt: skip


async def test_receipts_of_ours_are_read_once_and_those_of_others_left(pool: asyncpg.Pool) -> None:
    """Whether their subscription lives or has ended; one that nobody remembers is passed over."""
    ours, stranger = await message(pool), str(UUID(int=7))
    device = await pool.fetchval(
        "insert into push_device (name, seen_at, created_at) values ($1, $2, $2) returning id",
        str(uuid4()), NOW,
    )  # fmt: skip
    living = await pool.fetchval(
        "insert into push_subscription (device_id, channel, key_hash, created_at) "
        "values ($1, $2, $3, $4) returning id",
        device, CHANNEL.hex(), b"hash", NOW,
    )  # fmt: skip
    await pool.execute(
        "insert into push_ended (id, device_id, channel, at) values (900, 5, $1, $2)",
        CHANNEL.hex(), NOW,
    )  # fmt: skip
    await told(pool, stranger, living)
    await told(pool, ours, living)
    await told(pool, ours, 900, 410)
    await told(pool, ours, 901)
    feedback = PostgresPushFeedback(pool, endpoint)

    first = await feedback.unread(at_most=3)
    again = await feedback.unread(at_most=3)
    assert first.rows.equals(again.rows)
    assert first.looked_at == 3
    assert first.rows["token"].to_list() == [
        endpoint(device, living, CHANNEL, b"hash"), endpoint(5, 900, CHANNEL, None),
    ]  # fmt: skip
    assert first.rows["delivered"].to_list() == [True, False]
    assert first.rows["message"].to_list() == [ours, ours]
    assert first.rows["at_us"].to_list() == [int(NOW.timestamp() * 1e6)] * 2
    await feedback.read(first)
    rest = await feedback.unread(at_most=3)
    assert (rest.looked_at, rest.rows.height, len(rest.numbers)) == (1, 0, 1)
    await feedback.read(rest)
    assert (await feedback.unread(at_most=3)).looked_at == 0
    await feedback.read(first)  # whoever comes late does not move it back
    assert (await feedback.unread(at_most=3)).looked_at == 0
    left = await PostgresPushReceipts(pool).after(UUID(stranger).bytes, (0, 0), at_most=9)
    assert len(left) == 1
    assert await pool.fetchval("select count(*) from push_receipt") == 1
