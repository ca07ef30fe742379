"""Hand-offs 3 and 4 in PostgreSQL: leasing batches, recording chunks, spreading retries."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import orjson

from clarion.adapters.state.envelopes import decode_message, decode_messages, encode_messages
from clarion.adapters.state.failures import store_failures
from clarion.adapters.state.places import NOBODY, given_way, settle_places
from clarion.adapters.state.plan_line import chunk_values
from clarion.adapters.state.pool import unit_of_work
from clarion.adapters.state.recipient_columns import decode, encode_recipients
from clarion.adapters.state.statements import statements, touched
from clarion.adapters.state.throttle import take_turn
from clarion.adapters.state.unreadable import UNREADABLE, set_aside
from clarion.domain.content import Message
from clarion.domain.handoffs import BatchToSend, Int64s, Recipients
from clarion.domain.ids import AppId, BatchId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.lateness import lateness_from, to_json
from clarion.domain.network import DEFAULT_PER_MINUTE, Network
from clarion.ports.line import ChunkAck, ChunkCommit, ClaimedBatch, RegistryChanges

_SQL = statements("line")
MANY_CHANGES = 5000
_LOST = ChunkAck(recorded=False)
_LOOKS_AT = 6
"""Columns of a look at the registry after its version."""
_MERGED = -1
"""In place of a reason: the row is about two people, not about a device."""


class PostgresSendLine:
    """Implements `clarion.ports.line.SendLine`.

    `per_minute` is what a network lets a credential send where the credential does not say.
    """

    def __init__(
        self, pool: asyncpg.Pool, per_minute: Mapping[Network, int] = DEFAULT_PER_MINUTE
    ) -> None:
        self._pool = pool
        self._per_minute = per_minute

    async def claim(
        self,
        owner: str,
        lanes: Sequence[Lane],
        now: datetime,
        lease_s: float,
        *,
        avoid: Collection[CredentialId] = (),
    ) -> ClaimedBatch | None:
        """See the port."""
        wanted = [int(lane) for lane in lanes]
        until = now + timedelta(seconds=lease_s)
        with store_failures():
            async with self._pool.acquire() as connection:
                for ended in (False, True):
                    leasing = (owner, wanted, now, until, list(avoid), ended)
                    while row := await connection.fetchrow(_SQL["claim_batch"], *leasing):
                        try:
                            claimed = _claimed(row)
                        except UNREADABLE as error:
                            await set_aside(connection, row, now, error)
                            continue
                        if row["gives_way"]:
                            places = await given_way(connection, claimed.batch)
                            claimed = replace(claimed, gave_way=places)
                        if not row["needs_turn"] or _over(claimed, now):
                            return claimed
                        if await take_turn(connection, row, now):
                            return claimed
        return None

    async def commit(self, chunk: ChunkCommit, now: datetime, lease_s: float) -> ChunkAck:
        """See the port."""
        if _is_plain(chunk):
            # A pause or a withdrawal may cross it.
            with suppress(asyncpg.DeadlockDetectedError), store_failures():
                async with self._pool.acquire() as connection:
                    return await _record(connection, chunk, now, lease_s)

        async def whole(connection: asyncpg.Connection) -> ChunkAck:
            ack = await _record(connection, chunk, now, lease_s)
            if ack.recorded:
                if chunk.batch.displaces:
                    await settle_places(connection, chunk.sent)
                await _spread(connection, chunk, now, ack.canceled)
            return ack

        # Registrations write to the same devices in another order, steering to the same message
        # and batches: whoever loses begins anew, for what is not recorded would be sent again.
        return await unit_of_work(self._pool, whole)

    async def split(self, claimed: ClaimedBatch, now: datetime) -> None:
        """See the port."""
        batch = claimed.batch
        rest = batch.recipients.rows(batch.cursor, len(batch.recipients))
        half = len(rest) // 2
        messages = list(dict.fromkeys(message.id for message in batch.messages))
        halves = [
            _New(
                key=f"{batch.id}/{name}",
                messages=messages,
                recipients=part,
                content=batch.messages if batch.variants else None,
                spent_s=batch.spent_s,
            )
            for name, part in (("a", rest.rows(0, half)), ("b", rest.rows(half, len(rest))))
        ]

        async def whole(connection: asyncpg.Connection) -> None:
            mine = await connection.fetchrow(_SQL["split_batch"], batch.id, batch.fence)
            if mine is None:
                return
            for new in halves:
                await _insert(connection, batch, new, now, batch.attempt)
            if mine["turned"]:  # counted under its rates, every recipient of it: once is enough
                await connection.execute(_SQL["turned_halves"], [new.key for new in halves])
            await connection.execute(_SQL["count_split"], messages)

        # A pause writes to the same message and batches in another order.
        await unit_of_work(self._pool, whole)

    async def release(self, batch: BatchToSend, run_at: datetime, *, failed: bool = False) -> None:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                await connection.execute(
                    _SQL["release_batch"], batch.id, batch.fence, run_at, failed
                )

    async def pace(
        self, credential: CredentialId, network: Network, wanted: int, now: datetime
    ) -> float | None:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                wait = await connection.fetchval(
                    _SQL["pace"], credential, float(wanted), now, self._per_minute.get(network)
                )
        return None if wait is None else float(wait)

    async def changes(self, since_xid: int) -> RegistryChanges | None:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(_SQL["changes"], str(since_xid), MANY_CHANGES + 1)
        return None if len(rows) > MANY_CHANGES else _changes(rows)

    async def changes_among(self, devices: Int64s, since_xid: int) -> RegistryChanges:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                rows = await connection.fetch(
                    _SQL["changes_among"], devices.tolist(), str(since_xid)
                )
        return _changes(rows)

    async def abandon(self, owner: str) -> int:
        """See the port."""
        with store_failures():
            async with self._pool.acquire() as connection:
                return touched(await connection.execute(_SQL["abandon_batches"], owner))


def _over(claimed: ClaimedBatch, now: datetime) -> bool:
    """Whether nothing of a batch is sent: it is given back or recorded, and needs no turn."""
    expires_at = claimed.batch.messages[0].expires_at
    ended = expires_at is not None and expires_at <= now
    return claimed.paused or bool(claimed.canceled) or ended


def _changes(rows: Sequence[asyncpg.Record]) -> RegistryChanges:
    """Rows of (version, device, user, reason, ...); one without a device when nothing changed."""
    changed = np.array([tuple(row)[1:] for row in rows if row[1] is not None], np.int64)
    return _told(rows[0][0], changed.reshape(-1, _LOOKS_AT).T)


def _looked(row: asyncpg.Record) -> RegistryChanges | None:
    """The look that came with a commit's answer; None when there was none, or too much to see."""
    if row["xid"] is None:
        return None
    columns = row["changes"]
    if not columns:  # the usual answer
        return replace(_NOTHING, xid=row["xid"])
    if len(columns[0]) > MANY_CHANGES:
        return None
    return _told(row["xid"], np.array(columns, np.int64))


def _told(xid: int, columns: Int64s) -> RegistryChanges:
    """Changes from the columns of the statement `changes` after the version."""
    merged = columns[2] == _MERGED
    device, user, reason, granted, denied, paused_until_us = columns[:, ~merged]
    merged_from, merged_into = columns[:2, merged]
    return RegistryChanges(
        xid=xid,
        device=device,
        user=user,
        reason=reason.astype(np.uint16),
        granted=granted,
        denied=denied,
        paused_until_us=paused_until_us,
        merged_from=merged_from,
        merged_into=merged_into,
    )


_NOTHING = _told(0, np.zeros((_LOOKS_AT, 0), np.int64))


def _claimed(row: asyncpg.Record) -> ClaimedBatch:
    canceled = frozenset(MessageId(message) for message in row["canceled"])
    batch = BatchToSend(
        id=BatchId(row["id"]),
        app=AppId(row["app_id"]),
        lane=Lane(row["lane"]),
        network=Network(row["network"]),
        credential=CredentialId(row["credential_id"]),
        messages=[decode_message(envelope) for envelope in row["envelopes"]]
        if row["content"] is None
        else decode_messages(row["content"]),
        variants=row["content"] is not None,
        recipients=decode(row["recipients"]),
        cursor=row["cursor"],
        attempt=row["attempt"],
        spent_s=row["spent_s"],
        first_attempt_at=row["first_attempt_at"],
        fence=row["fence"],
        planned_xid=row["planned_xid"],
        lateness=None
        if row["quiet"] is None
        else lateness_from(orjson.loads(row["quiet"]), row["open_until"]),
        displaces=row["displaces"],
    )
    return ClaimedBatch(
        batch=batch,
        claims=row["claims"],
        canceled=canceled,
        paused=row["paused"],
        gave_way=NOBODY,
    )


def _is_plain(chunk: ChunkCommit) -> bool:
    """Whether the commit is the one statement: nothing but outcomes and the cursor."""
    return not (
        chunk.batch.displaces
        or chunk.retries
        or chunk.burial
        or chunk.new_tokens
        or chunk.environments
        or chunk.quarantine
    )


def _deltas(chunk: ChunkCommit, *, done: bool) -> dict[str, int]:
    """How the number of open batches changes, per message."""
    delta = dict.fromkeys((m.id for m in chunk.batch.messages), -1) if done else {}
    for retry in chunk.retries:
        delta[retry.message.id] = delta.get(retry.message.id, 0) + 1
    return {str(message): change for message, change in delta.items() if change}


async def _record(
    connection: asyncpg.Connection, chunk: ChunkCommit, now: datetime, lease_s: float
) -> ChunkAck:
    batch = chunk.batch
    done = chunk.cursor >= len(batch.recipients)
    deltas = _deltas(chunk, done=done)
    lease = (batch.id, batch.fence, chunk.cursor, now + timedelta(seconds=lease_s))
    told = _chunk_row(f"{batch.id}:{batch.cursor}", chunk)
    if done or deltas:
        counted = (list(deltas), list(deltas.values()))
        row = await connection.fetchrow(_SQL["commit_chunk"], *lease, done, *told, now, *counted)
        changes = None
    else:
        since = None if chunk.look_since_xid is None else str(chunk.look_since_xid)
        row = await connection.fetchrow(
            _SQL["commit_and_look"], *lease, *told, now, since, MANY_CHANGES + 1
        )
        changes = _looked(row)
    if not row["recorded"]:
        return _LOST
    canceled = frozenset(MessageId(message) for message in row["canceled"])
    return ChunkAck(recorded=True, paused=row["paused"], canceled=canceled, changes=changes)


def _chunk_row(key: str, chunk: ChunkCommit) -> tuple[object, ...]:
    """The chunk's values without its kind, which the statement knows."""
    values = chunk_values(key, chunk.sent)
    return values[:2] + values[3:]


async def _spread(
    connection: asyncpg.Connection,
    chunk: ChunkCommit,
    now: datetime,
    canceled: Collection[MessageId],
) -> None:
    """What a chunk changes besides its own outcomes. Withdrawn messages' retries end at once."""
    batch = chunk.batch
    for number, retry in enumerate(chunk.retries):
        new = _New(
            key=f"{batch.id}:{batch.cursor}/{number}",
            messages=[retry.message.id],
            recipients=retry.recipients,
            content=[retry.message] if batch.variants or retry.silenced else None,
            spent_s=retry.spent_s,
            open_until=retry.open_until,
        )
        run_at = now if retry.message.id in canceled else retry.run_at
        await _insert(connection, batch, new, run_at, retry.attempt)
    if chunk.burial is not None:
        burial = chunk.burial
        await connection.execute(
            _SQL["bury"],
            burial.device.tolist(),
            list(burial.reason),
            burial.registered_us.tolist(),
            now,
        )
    if chunk.environments:
        learned = chunk.environments
        await connection.execute(
            _SQL["learn_environment"], list(learned), list(learned.values()), now
        )
    if chunk.new_tokens:
        tokens = list(chunk.new_tokens.values())
        keys = [hashlib.sha256(token.encode()).digest()[:16] for token in tokens]
        await connection.execute(_SQL["replace_token"], list(chunk.new_tokens), tokens, keys, now)
    if chunk.quarantine is not None:
        await connection.execute(
            _SQL["quarantine"], batch.credential, chunk.quarantine, now, chunk.faulty_version
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _New:
    """A batch that comes from another."""

    key: str
    messages: Sequence[MessageId]
    recipients: Recipients
    spent_s: float
    content: Sequence[Message] | None = None
    open_until: datetime | None = None


async def _insert(
    connection: asyncpg.Connection, parent: BatchToSend, new: _New, run_at: datetime, attempt: int
) -> None:
    await connection.execute(
        _SQL["insert_retry"],
        new.key,
        parent.app,
        int(parent.lane),
        int(parent.network),
        parent.credential,
        list(new.messages),
        run_at,
        len(new.recipients),
        attempt,
        parent.first_attempt_at,
        parent.planned_xid,
        encode_recipients(new.recipients),
        None if new.content is None else encode_messages(new.content),
        new.spent_s,
        None if parent.lateness is None else orjson.dumps(to_json(parent.lateness)).decode(),
        new.open_until
        if parent.lateness is None or new.open_until is not None
        else parent.lateness.open_until,
        parent.id,
    )
