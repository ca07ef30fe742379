"""The journal of accepted messages in PostgreSQL. Implements `clarion.ports.journal.Journal`."""

import hashlib
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import numpy as np

from clarion.adapters.state.envelopes import encode_message, encode_moment, encode_target
from clarion.adapters.state.failures import store_failures
from clarion.adapters.state.frequency import LOOSE, row_of
from clarion.adapters.state.policies import PostgresRulebook
from clarion.adapters.state.pool import transaction
from clarion.adapters.state.recipient_columns import encode_recipients
from clarion.adapters.state.resolving import resolve
from clarion.adapters.state.rulings import decided_values
from clarion.adapters.state.statements import statements
from clarion.domain.handoffs import BatchToSend, ChunkKind
from clarion.domain.ids import AppId, BatchId, CredentialId
from clarion.domain.network import Network
from clarion.ports.journal import (
    CredentialGoneError,
    JournalEntry,
    KeyRaceError,
    KnownCredential,
    Looked,
)
from clarion.ports.messages import (
    Acceptance,
    Accepted,
    InFlight,
    KeyReused,
    MaybeSentError,
    NewMessage,
    Replayed,
)
from clarion.ports.store import StoreUnavailableError

KEY_LIFETIME: Final = timedelta(days=30)
CREDENTIALS_FRESH_S: Final = 1.0
IDS_AT_ONCE: Final = 200

_SQL = statements("journal")


class PostgresJournal:
    """Journals groups of urgent messages, and single ones for planning."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._ids: list[BatchId] = []
        self._rulebook = PostgresRulebook(pool)
        self._credentials: dict[
            AppId, tuple[datetime, Mapping[tuple[AppId, Network], KnownCredential]]
        ] = {}

    @asynccontextmanager
    async def keys_held(
        self, news: Sequence[NewMessage], now: datetime
    ) -> AsyncIterator[Mapping[int, Replayed | KeyReused | InFlight]]:
        """See the port."""
        locks = [(n, _lock(new)) for n, new in enumerate(news) if new.idempotency is not None]
        if not locks:
            yield {}
            return
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(
                _SQL["hold_keys"], [n for n, _ in locks], [lock for _, lock in locks]
            )
            theirs = [row["n"] for row in rows if not row["mine"]]
            seen = await _keys_seen(connection, [(n, news[n]) for n in theirs], now)
            yield {n: seen.get(n, InFlight()) for n in theirs}

    async def look(self, news: Sequence[NewMessage], now: datetime) -> Looked:
        """See the port."""
        targets = [(new.message.app, new.target) for new in news]
        rules = await self._rulebook.all_of({app for app, _ in targets}, now)
        with store_failures():
            async with self._pool.acquire() as connection:
                seen = await _keys_seen(connection, list(enumerate(news)), now)
                credentials = await self._known(connection, {app for app, _ in targets}, now)
                group = await resolve(connection, targets)
        return Looked(
            xid=group.xid,
            rows=group.rows,
            unknown=group.unknown,
            seen=seen,
            credentials=credentials,
            rules=rules,
        )

    async def batch_ids(self, count: int) -> Sequence[BatchId]:
        """See the port."""
        while len(self._ids) < count:
            with store_failures():
                async with self._pool.acquire() as connection:
                    rows = await connection.fetch(_SQL["batch_ids"], IDS_AT_ONCE)
            self._ids.extend(BatchId(row[0]) for row in rows)
        return [self._ids.pop() for _ in range(count)]

    async def write(self, entry: JournalEntry, now: datetime) -> None:
        """See the port."""
        chunks = _chunk_columns(entry)
        with store_failures():
            async with self._pool.acquire() as connection:
                try:
                    await connection.execute(
                        _SQL["write"],
                        now,
                        *_message_columns(entry),
                        *_key_columns(entry.news),
                        entry.owner,
                        now + timedelta(seconds=entry.lease_s),
                        *_batch_columns(entry),
                        *chunks[:5],
                        now - KEY_LIFETIME,
                        [new.message.category for new in entry.news],
                        *chunks[5:],
                        *_sent_columns(entry),
                    )
                except asyncpg.NotNullViolationError as error:
                    if error.table_name != "idempotency":
                        raise
                    raise KeyRaceError(str(error)) from error
                except asyncpg.ForeignKeyViolationError as error:
                    gone = await self._gone(connection, entry)
                    if not gone:
                        raise
                    raise CredentialGoneError(gone) from error

    async def _gone(
        self, connection: asyncpg.Connection, entry: JournalEntry
    ) -> Collection[CredentialId]:
        """Credentials of the entry that were deleted; they are no longer remembered."""
        used = {batch.credential for batch in entry.batches}
        there = await connection.fetch(_SQL["credentials_there"], list(used))
        gone = used - {CredentialId(row["id"]) for row in there}
        for app in {batch.app for batch in entry.batches if batch.credential in gone}:
            self._credentials.pop(app, None)
        return gone

    async def accept(self, new: NewMessage, now: datetime, *, held: bool = False) -> Acceptance:
        """See the port."""
        taken = False
        try:
            async with transaction(self._pool) as connection:
                known = await _key_known(connection, new, now, held=held)
                if known is not None:
                    return known
                await _insert_message(connection, new, now)
                taken = True
        except StoreUnavailableError as error:
            if taken:
                raise MaybeSentError(str(error)) from error
            raise
        return Accepted()

    async def _known(
        self, connection: asyncpg.Connection, apps: set[AppId], now: datetime
    ) -> Mapping[tuple[AppId, Network], KnownCredential]:
        """The apps' credentials, at most a second old: the sending itself loads them anew."""
        fresh = now - timedelta(seconds=CREDENTIALS_FRESH_S)
        stale = [  # also what is from the future: the clock was put back since
            app
            for app in apps
            if app not in self._credentials or not fresh <= self._credentials[app][0] <= now
        ]
        if stale:
            rows = await connection.fetch(_SQL["credentials"], stale)
            for app in stale:
                found = {
                    (app, Network(row["network"])): KnownCredential(
                        id=CredentialId(row["id"]), active=row["active"]
                    )
                    for row in rows
                    if row["app_id"] == app
                }
                self._credentials[app] = (now, found)
        return {key: value for app in apps for key, value in self._credentials[app][1].items()}


def _lock(new: NewMessage) -> int:
    """The number of the lock that stands for a message's idempotency key."""
    key = "" if new.idempotency is None else new.idempotency.key
    digest = hashlib.blake2b(f"{new.message.app}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


async def _keys_seen(
    connection: asyncpg.Connection, news: Sequence[tuple[int, NewMessage]], now: datetime
) -> dict[int, Replayed | KeyReused]:
    keyed = [(n, new) for n, new in news if new.idempotency is not None]
    if not keyed:
        return {}
    rows = await connection.fetch(
        _SQL["keys_seen"],
        [n for n, _ in keyed],
        [new.message.app for _, new in keyed],
        [new.idempotency.key for _, new in keyed if new.idempotency],
        [new.idempotency.body_hash for _, new in keyed if new.idempotency],
        now - KEY_LIFETIME,
    )
    return {row["n"]: _answer(row) for row in rows}


def _answer(row: asyncpg.Record) -> Replayed | KeyReused:
    if not row["same"]:
        return KeyReused()
    return Replayed(status=row["status"], answer=row["answer"])


async def _key_known(
    connection: asyncpg.Connection, new: NewMessage, now: datetime, *, held: bool
) -> Replayed | KeyReused | InFlight | None:
    """What speaks against a message with its key; None: nothing, and the key is taken."""
    if new.idempotency is None:
        return None
    if not held:
        rows = await connection.fetch(_SQL["hold_keys"], [0], [_lock(new)])
        if not rows[0]["mine"]:
            return (await _keys_seen(connection, [(0, new)], now)).get(0, InFlight())
    return await _take_key(connection, new, now)


async def _insert_message(connection: asyncpg.Connection, new: NewMessage, now: datetime) -> None:
    message = new.message
    await connection.execute(
        _SQL["insert_message"],
        message.id,
        message.app,
        int(message.lane),
        new.request.decode(),
        encode_message(message),
        encode_target(new.target),
        new.send_at,
        message.expires_at,
        new.key,
        now,
        message.category,
        encode_moment(new.moment),
    )


async def _take_key(
    connection: asyncpg.Connection, new: NewMessage, now: datetime
) -> Replayed | KeyReused | None:
    """None when the key is ours from now on."""
    key = new.idempotency
    if key is None:
        return None
    app = new.message.app
    mine = await connection.fetchval(
        _SQL["take_key"],
        app,
        key.key,
        key.body_hash,
        new.answer_status,
        new.answer,
        now,
        now - KEY_LIFETIME,
    )
    if mine is not None:
        return None
    return _answer(await connection.fetchrow(_SQL["key_answer"], app, key.key, key.body_hash))


def _message_columns(entry: JournalEntry) -> list[list[object]]:
    news = entry.news
    batches = {new.message.id: 0 for new in news}
    recipients = {new.message.id: 0 for new in news}
    for batch in entry.batches:
        for message in batch.messages:
            batches[message.id] += 1
        index = batch.recipients.message
        counts = [len(batch.recipients)] if index is None else np.bincount(index).tolist()
        for message, count in zip(batch.messages, counts, strict=True):
            recipients[message.id] += count
    for chunk in entry.skipped:
        for row in chunk.rows["message"].tolist():
            recipients[chunk.messages[row]] += 1
    return [
        [new.message.id for new in news],
        [new.message.app for new in news],
        [int(new.message.lane) for new in news],
        [new.request.decode() for new in news],
        [encode_message(new.message) for new in news],
        [encode_target(new.target) for new in news],
        [new.send_at for new in news],
        [new.message.expires_at for new in news],
        [new.key for new in news],
        [recipients[new.message.id] for new in news],
        [batches[new.message.id] for new in news],
    ]


def _key_columns(news: Sequence[NewMessage]) -> list[list[object]]:
    keyed = [(new, new.idempotency) for new in news if new.idempotency is not None]
    return [
        [new.message.app for new, _ in keyed],
        [key.key for _, key in keyed],
        [key.body_hash for _, key in keyed],
        [new.answer_status for new, _ in keyed],
        [new.answer for new, _ in keyed],
    ]


def _array(values: Sequence[str]) -> str:
    """A PostgreSQL array literal of uuids (nothing in them needs quoting)."""
    return "{" + ",".join(values) + "}"


def _batch_columns(entry: JournalEntry) -> list[list[object]]:
    batches: Sequence[BatchToSend] = entry.batches
    return [
        [batch.id for batch in batches],
        [batch.app for batch in batches],
        [int(batch.lane) for batch in batches],
        [int(batch.network) for batch in batches],
        [batch.credential for batch in batches],
        [_array([message.id for message in batch.messages]) for batch in batches],
        list(entry.leased),
        [len(batch.recipients) for batch in batches],
        [batch.planned_xid for batch in batches],
        [encode_recipients(batch.recipients) for batch in batches],
    ]


def _chunk_columns(entry: JournalEntry) -> list[list[object]]:
    """Skips and decisions: key, app, messages, rows, notes, kind and meta of each chunk."""
    chunks: list[tuple[object, ...]] = [
        (
            f"urgent:{n}:{chunk.messages[0]}",
            chunk.app,
            _array(chunk.messages),
            chunk.rows.tobytes(),
            _quoted(chunk.notes),
            int(chunk.kind),
            None,
        )
        for n, chunk in enumerate(entry.skipped)
    ]
    for facts in entry.decided:
        key, app, _, rows, meta = decided_values(f"decided:{facts.messages[0]}", facts)
        kind = int(ChunkKind.DECIDED)
        chunks.append((key, app, _array(facts.messages), rows, "{}", kind, meta))
    return [list(column) for column in zip(*chunks, strict=True)] or [[] for _ in range(7)]


def _sent_columns(entry: JournalEntry) -> list[list[object]]:
    """What caps count, an app at a time: app, low, high, rows."""
    rows = [(app, row_of(LOOSE, sent)) for app, sent in entry.sent.items() if len(sent)]
    return [
        [app for app, _ in rows],
        [row[1] for _, row in rows],
        [row[2] for _, row in rows],
        [row[5] for _, row in rows],
    ]


def _quoted(notes: Sequence[str]) -> str:
    """A PostgreSQL array literal of texts that people wrote."""
    escaped = (note.replace("\\", "\\\\").replace('"', '\\"') for note in notes)
    return "{" + ",".join(f'"{note}"' for note in escaped) + "}"
