"""Messages in PostgreSQL. Implements `clarion.ports.messages.Messages`."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import asyncpg
import numpy as np

from clarion.adapters.state.digests import parts_of
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.recipient_columns import decode, encode_recipients
from clarion.adapters.state.statements import statements
from clarion.adapters.state.throttle import spread_batches
from clarion.domain.campaign import MESSAGE_TABLE, MessageInput, MessageState
from clarion.domain.ids import AppId, MessageId, UserId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.ports.digests import DigestParts
from clarion.ports.messages import MessageRecord, TransitionRefusedError

_SQL = statements("messages")


class PostgresMessages:
    """Reads messages and applies the state machine to them."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def get(self, app: AppId, message: MessageId) -> MessageRecord | None:
        """See the port."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(_SQL["get"], app, message)
        return None if row is None else _record(row)

    async def page(
        self, app: AppId, *, before: tuple[datetime, MessageId] | None, limit: int
    ) -> Sequence[MessageRecord]:
        """See the port."""
        instant, message = before or (None, None)
        async with reading(self._pool) as connection:
            rows = await connection.fetch(_SQL["page"], app, instant, message, limit)
        return [_record(row) for row in rows]

    async def digest_parts(self, message: MessageId, user: UserId) -> DigestParts:
        """See the port."""
        async with reading(self._pool) as connection:
            return await parts_of(connection, message, user)

    async def steer(
        self, app: AppId, message: MessageId, what: MessageInput, now: datetime
    ) -> MessageState | None:
        """See the port."""

        async def work(connection: asyncpg.Connection) -> MessageState | None:
            row = await connection.fetchrow(_SQL["lock"], app, message)
            if row is None:
                return None
            state = MessageState(row["state"])
            after = MESSAGE_TABLE.get((state, what))
            if after is None:
                raise TransitionRefusedError(state, what)
            if after is MessageState.SENDING and row["started_at"] is None:
                after = MessageState.SCHEDULED  # it was paused before its time
            await connection.execute(_SQL["set_state"], message, int(after), now)
            return await _spread(connection, (app, message), after, now)

        return await unit_of_work(self._pool, work)  # senders write to the same batches


async def _spread(
    connection: asyncpg.Connection,
    of: tuple[AppId, MessageId],
    after: MessageState,
    now: datetime,
) -> MessageState:
    """What a change of state means for the message's work; the state in the end."""
    app, message = of
    match after:
        case MessageState.PAUSED:
            await connection.execute(_SQL["hold_batches"], message)
            await connection.execute(_SQL["hold_shards"], message)
        case MessageState.SENDING:
            await connection.execute(_SQL["free_batches"], message, now)
            await connection.execute(_SQL["free_shards"], message)
            if await connection.fetchval(_SQL["unspread"], message):
                await spread_batches(connection, app, now)
        case MessageState.CANCELING:
            await connection.execute(_SQL["free_batches"], message, now)
            await connection.execute(_SQL["hurry_batches"], message, now)
            for shared in await connection.fetch(_SQL["shared_batches"], message):
                await _cut_out(connection, shared, message, now)
            left = await connection.fetchrow(_SQL["drop_shards"], message)
            if left["open_shards"] == 0 and left["open_batches"] == 0:
                await connection.execute(
                    _SQL["set_state"], message, int(MessageState.CANCELED), now
                )
                return MessageState.CANCELED
        case MessageState.SCHEDULED | MessageState.CANCELED | MessageState.FINISHED:
            pass  # nothing of it is planned, or nothing is left
    return after


async def _cut_out(
    connection: asyncpg.Connection, batch: asyncpg.Record, message: MessageId, now: datetime
) -> None:
    """Part a withdrawn message's rows from a batch that it shares: two batches instead of one.

    Its own part then ends at once, whatever its neighbours wait for (a credential in quarantine,
    a retry). Both parts stand where one stood, so that no message counts more or less open work.
    """
    rows = decode(batch["recipients"])
    rows = rows.rows(batch["cursor"], len(rows))
    names: list[str] = batch["message_ids"]
    at = names.index(message)
    index = np.zeros(len(rows), np.uint16) if rows.message is None else rows.message
    others = rows.take(np.flatnonzero(index != at))
    kept = index[index != at]
    others = replace(others, message=(kept - (kept > at)).astype(np.uint16))
    mine = replace(rows.take(np.flatnonzero(index == at)), message=None)
    if not len(mine) or not len(others):
        return  # one batch as before: an empty one would never be recorded
    rest = [name for name in names if name != message]
    await connection.execute(_SQL["end_batch"], batch["id"], now)
    for part, messages, run_at in (("cut", [message], now), ("rest", rest, batch["run_at"])):
        recipients = mine if part == "cut" else others
        await connection.execute(
            statements("line")["insert_retry"],
            f"{batch['id']}/{part}",
            batch["app_id"],
            batch["lane"],
            batch["network"],
            batch["credential_id"],
            messages,
            run_at,
            len(recipients),
            batch["attempt"],
            batch["first_attempt_at"],
            batch["planned_xid"],
            encode_recipients(recipients),
            None,
            batch["spent_s"],
            None,
            None,
            batch["id"],
        )


def _record(row: asyncpg.Record) -> MessageRecord:
    return MessageRecord(
        id=MessageId(row["id"]),
        app=AppId(row["app_id"]),
        lane=Lane(row["lane"]),
        state=MessageState(row["state"]),
        request=row["request"],
        send_at=row["send_at"],
        expires_at=row["expires_at"],
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        canceled_at=row["canceled_at"],
        paused_at=row["paused_at"],
        recipients=row["recipients"],
        xid=row["xid"],
        trouble=_trouble(row),
    )


def _trouble(row: asyncpg.Record) -> str | None:
    """Why a message waits: its planning first, else the first of its credentials that does."""
    trouble: str | None = row.get("trouble")
    if trouble is not None or row.get("held_network") is None:
        return trouble
    network = Network(row["held_network"]).label
    return (
        f"what goes over {network} waits: its credential is in quarantine ({row['held_reason']}). "
        f"Mend or replace it: PUT /v1/credentials/{network}"
    )
