"""Hand-offs 1 and 2 in PostgreSQL: messages that are due, and the shards they become."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import orjson

from clarion.adapters.state.envelopes import (
    decode_message,
    decode_moment,
    decode_target,
    encode_messages,
)
from clarion.adapters.state.failures import store_failures
from clarion.adapters.state.field_columns import with_fields
from clarion.adapters.state.policies import PostgresRulebook
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.recipient_columns import encode_frame
from clarion.adapters.state.resolving import frame, resolve
from clarion.adapters.state.rulings import record_rulings
from clarion.adapters.state.statements import statements, touched
from clarion.adapters.state.throttle import spread_batches
from clarion.domain.app_rules import AppRules, Moment
from clarion.domain.campaign import MessageState
from clarion.domain.handoffs import BatchSent, ShardToPlan
from clarion.domain.ids import BUCKETS, AppId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.lateness import to_json as lateness_json
from clarion.domain.network import Network
from clarion.domain.outcome_runs import packed
from clarion.domain.send_time import instant_us
from clarion.ports.frequency import RANGE_BUCKETS
from clarion.ports.messages import Target
from clarion.ports.plan_line import (
    ClaimedShard,
    PlannedBatch,
    Resolved,
    Rulings,
    ShardUnreadableError,
)

BUCKETS_PER_SHARD = 128
"""At least 8 shards for everybody: the first is planned, and sent, while the others wait. More of a
small audience would cost more than their people do: a scan, a transaction, a batch of each kind."""
USERS_PER_SHARD = 50_000
"""...and more where they would hold more users: what a planner has in memory, and does again when
it dies, does not grow with the audience (up to 51 million users of an app: 1,024 shards)."""

TROUBLE_LENGTH = 500
_NEVER = datetime(9999, 1, 1, tzinfo=UTC)

_SQL = statements("line")
_LANES = [int(lane) for lane in Lane]
_BATCH_COLUMNS = (
    "key",
    "app_id",
    "lane",
    "network",
    "credential_id",
    "message_ids",
    "run_at",
    "size",
    "planned_xid",
    "recipients",
    "content",
    "quiet",
    "open_until",
    "due_at",
    "displaces",
)


class PostgresPlanLine:
    """Implements `clarion.ports.line.PlanLine`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._rulebook = PostgresRulebook(pool)

    async def expand_due(self, now: datetime, *, limit: int) -> int:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                done = await connection.execute(
                    _SQL["expand_due"],
                    now,
                    limit,
                    BUCKETS_PER_SHARD,
                    BUCKETS,
                    _LANES,
                    float(USERS_PER_SHARD),
                    RANGE_BUCKETS,
                )
        return touched(done)

    async def claim_shard(
        self, owner: str, now: datetime, lease_s: float, *, named: bool | None = None
    ) -> ClaimedShard | None:
        """See the port."""
        until = now + timedelta(seconds=lease_s)
        row: asyncpg.Record | None = None
        with store_failures():
            async with self._pool.acquire() as connection:
                for kind in (True, False) if named is None else (named,):
                    row = await connection.fetchrow(_SQL["claim_shard"], owner, now, until, kind)
                    if row is not None:
                        break
        if row is None:
            return None
        try:
            rules = await self._rulebook.of(AppId(row["app_id"]), now)
            return _claimed(row, rules)
        except ValueError as error:  # msgspec's errors are such, and an enum's
            held = _Held(message=MessageId(row["message_id"]), low=row["low"], fence=row["fence"])
            await self._give_back(held, now, now, str(error), unreadable=True)
            raise ShardUnreadableError(held.message, held.low, str(error)) from error

    async def renew_shard(self, claimed: ClaimedShard, until: datetime) -> bool:
        """See the port."""
        shard = claimed.shard
        async with reading(self._pool) as connection:
            kept = await connection.fetchval(
                _SQL["renew_shard"], shard.message, shard.low, claimed.fence, until
            )
        return kept is not None

    async def commit_shard(
        self,
        claimed: ClaimedShard,
        batches: Sequence[PlannedBatch],
        skipped: Sequence[BatchSent],
        now: datetime,
        rulings: Rulings | None = None,
    ) -> bool:
        """See the port."""
        shard = claimed.shard
        planned = sum(len(batch.rows) for batch in batches) + sum(len(s.rows) for s in skipped)

        async def whole(connection: asyncpg.Connection) -> bool:
            mine = await connection.fetchval(
                _SQL["finish_shard"], shard.message, shard.low, claimed.fence
            )
            if mine is None:
                return False
            displaces = rulings is not None and bool(rulings.evictions)
            if rulings is not None:
                xids = (batch.planned_xid for batch in batches)
                seen = min(xids, default=claimed.at_least_xid)
                await record_rulings(connection, shard, rulings, now, seen_xid=seen)
            await connection.copy_records_to_table(
                "batch",
                columns=_BATCH_COLUMNS,
                records=[(*_batch_record(claimed, batch, now), displaces) for batch in batches],
            )
            for number, chunk in enumerate(skipped):
                key = f"plan:{shard.message}:{shard.low}:{number}"
                await connection.execute(_SQL["insert_chunk"], *chunk_values(key, chunk), now)
            state = await connection.fetchval(
                _SQL["count_plan"], shard.message, len(batches), planned, now
            )
            if claimed.per_minute is not None and batches:
                await spread_batches(connection, shard.app, now)
            if state == MessageState.CANCELING:  # withdrawn while it was planned
                await connection.execute(
                    statements("messages")["hurry_batches"], shard.message, now
                )
            return True

        return await unit_of_work(self._pool, whole)  # a pause or a withdrawal may cross it

    async def postpone(
        self, claimed: ClaimedShard, run_at: datetime, now: datetime, *, why: str | None = None
    ) -> None:
        """See the port."""
        shard = claimed.shard
        held = _Held(message=shard.message, low=shard.low, fence=claimed.fence)
        await self._give_back(held, run_at, now, why)

    async def refuse(self, claimed: ClaimedShard, now: datetime, *, why: str) -> bool:
        """See the port."""
        shard, steering = claimed.shard, statements("messages")
        of = (shard.message, shard.low, claimed.fence)

        async def whole(connection: asyncpg.Connection) -> bool:
            state = await connection.fetchval(_SQL["message_state"], shard.message)
            if state == MessageState.CANCELING:
                await self._end_shard(connection, of, now)
                return True
            if await connection.fetchval(_SQL["begun"], shard.message):
                return False
            hold, told = True, why[:TROUBLE_LENGTH]
            held = await connection.execute(_SQL["postpone_shard"], *of, now, hold, told)
            if held == "UPDATE 0":  # the lease was lost: whoever has it finds out for itself
                return True
            if state == MessageState.SENDING:
                await connection.execute(
                    steering["set_state"], shard.message, int(MessageState.PAUSED), now
                )
                await connection.execute(steering["hold_shards"], shard.message)
            return True

        return await unit_of_work(self._pool, whole)  # a pause may cross it

    async def readmit(self) -> int:
        """See the port."""
        async with reading(self._pool) as connection:
            done = await connection.execute(_SQL["readmit_shards"])
        return touched(done)

    async def _give_back(
        self,
        mine: "_Held",
        run_at: datetime,
        now: datetime,
        why: str | None,
        *,
        unreadable: bool = False,
    ) -> None:
        of = (mine.message, mine.low, mine.fence)

        async def whole(connection: asyncpg.Connection) -> None:
            state = await connection.fetchval(_SQL["message_state"], mine.message)
            if state != MessageState.CANCELING:
                hold = unreadable or state == MessageState.PAUSED
                told = None if why is None else why[:TROUBLE_LENGTH]
                await connection.execute(_SQL["postpone_shard"], *of, run_at, hold, told)
            else:
                await self._end_shard(connection, of, now)

        await unit_of_work(self._pool, whole)  # a pause may cross it

    @staticmethod
    async def _end_shard(
        connection: asyncpg.Connection, of: tuple[MessageId, int, int], now: datetime
    ) -> None:
        """Nobody is chosen any more from a shard of a withdrawn message."""
        if await connection.fetchval(_SQL["finish_shard"], *of) is not None:
            await connection.execute(_SQL["count_plan"], of[0], 0, 0, now)

    async def resolve(self, app: AppId, target: Target, fields: Sequence[str] = ()) -> Resolved:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                group = await resolve(connection, [(app, target)])
                rows = frame(group.rows)
                if fields:
                    rows = await with_fields(connection, rows, fields)
        return Resolved(xid=group.xid, rows=rows, unknown=group.unknown[0])

    async def credentials(self, app: AppId) -> Mapping[Network, CredentialId]:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(_SQL["credentials_of_app"], app)
        return {Network(row["network"]): CredentialId(row["id"]) for row in rows}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Held:
    """A lease of a shard."""

    message: MessageId
    low: int
    fence: int


def _claimed(row: asyncpg.Record, rules: AppRules) -> ClaimedShard:
    """What was leased.

    Raises:
        ValueError: a newer version wrote it.
    """
    message, moment = decode_message(row["envelope"]), decode_moment(row["policy"])
    if message.category not in rules.categories:
        raise ValueError(f"the app has no category {message.category!r}")
    expires_us = None if message.expires_at is None else instant_us(message.expires_at)
    shard = ShardToPlan(
        app=AppId(row["app_id"]),
        message=MessageId(row["message_id"]),
        lane=Lane(row["lane"]),
        low=row["low"],
        high=row["high"],
    )
    return ClaimedShard(
        shard=shard,
        fence=row["fence"],
        claims=row["claims"],
        target=decode_target(row["target"]),
        at_least_xid=row["xid"],
        message=message,
        policy=rules.policy(message.category, moment, expires_us=expires_us),
        counted=rules.counts,
        digest=moment.digest,
        per_minute=_rate(rules, moment, shard.lane),
        started_at=row["started_at"],
        begun=row["begun"],
    )


def _rate(rules: AppRules, moment: Moment, lane: Lane) -> int | None:
    """The lowest rate; what is urgent is never slowed down."""
    rates = [rate for rate in (rules.throttle_per_minute, moment.throttle_per_minute) if rate]
    return min(rates, default=None) if not lane.urgent else None


def _batch_record(claimed: ClaimedShard, batch: PlannedBatch, now: datetime) -> tuple[object, ...]:
    shard, due_at = claimed.shard, now if batch.run_at is None else batch.run_at
    throttled = claimed.per_minute is not None
    return (
        batch.key,
        shard.app,
        int(shard.lane),
        int(batch.network),
        batch.credential,
        [shard.message],
        _NEVER if throttled else due_at,  # until it is spread, in this transaction
        len(batch.rows),
        batch.planned_xid,
        encode_frame(batch.rows),
        None if batch.content is None else encode_messages(batch.content),
        None if batch.lateness is None else orjson.dumps(lateness_json(batch.lateness)),
        None if batch.lateness is None else batch.lateness.open_until,
        due_at if throttled else None,
    )


def chunk_values(key: str, chunk: BatchSent) -> tuple[object, ...]:
    """The values of `insert_chunk` but the last (`created_at`)."""
    provider_ids = orjson.dumps({str(k): v for k, v in chunk.provider_ids.items()}).decode()
    return (
        key,
        chunk.app,
        int(chunk.kind),
        list(chunk.messages),
        packed(chunk.rows, alike=chunk.alike),
        list(chunk.notes),
        provider_ids if chunk.provider_ids else None,
    )
