"""API keys in the state store, with a short memory so that the hot path does not ask it."""

import asyncio
import hashlib
import hmac
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.pool import reading, transaction
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId, KeyId
from clarion.ports.keys import KeyRecord, KeyRefusal, NewKey, Scope
from clarion.ports.system import Chance

SECRET_OCTETS: Final = 32
ID_OCTETS: Final = 8
REMEMBERED: Final = timedelta(seconds=3)
"""How long an answer may be old: a revocation elsewhere binds within this time."""
USE_NOTED_EVERY: Final = timedelta(minutes=1)
_FORM: Final = re.compile(r"clarion_(admin|send|device)_([0-9a-f]{16})_([0-9a-f]{64})", re.ASCII)


@dataclass(slots=True)
class _Remembered:
    record: KeyRecord
    secret_hash: bytes
    asked_at: datetime
    use_noted_at: datetime | None


class PostgresKeys:
    """`ports.keys.Keys` over the table api_key."""

    def __init__(self, pool: asyncpg.Pool, chance: Chance) -> None:
        self._pool = pool
        self._chance = chance
        self._memory: dict[KeyId, _Remembered] = {}
        self._asking: dict[KeyId, asyncio.Task[_Remembered | None]] = {}
        self._sql = statements("keys")

    async def create(
        self, app: AppId, scope: Scope, name: str, *, expires_at: datetime | None, now: datetime
    ) -> NewKey:
        """See `ports.keys.Keys.create`."""
        async with self.creating(app, scope, name, expires_at=expires_at, now=now) as new:
            return new

    @asynccontextmanager
    async def creating(
        self, app: AppId, scope: Scope, name: str, *, expires_at: datetime | None, now: datetime
    ) -> AsyncIterator[NewKey]:
        """A key that is stored when the block ends well, so that it can be shown before."""
        async with transaction(self._pool) as connection:
            yield await self._insert(
                connection,
                KeyRecord(
                    id=KeyId(self._chance.token(ID_OCTETS).hex()),
                    app=app,
                    scope=scope,
                    name=name,
                    created_at=now,
                    expires_at=expires_at,
                    revoked_at=None,
                    last_used_at=None,
                ),
            )

    async def check(self, text: str, now: datetime) -> KeyRecord | KeyRefusal:
        """See `ports.keys.Keys.check`."""
        form = _FORM.fullmatch(text)
        if form is None:
            return KeyRefusal.MALFORMED
        scope, key, secret = form.groups()
        known = await self._recall(KeyId(key), now)
        if (
            known is None
            or not hmac.compare_digest(_hash(secret), known.secret_hash)
            or known.record.scope != scope
        ):
            return KeyRefusal.UNKNOWN
        if known.record.revoked_at is not None:
            return KeyRefusal.REVOKED
        if known.record.expires_at is not None and known.record.expires_at <= now:
            return KeyRefusal.EXPIRED
        if known.use_noted_at is None or now - known.use_noted_at >= USE_NOTED_EVERY:
            known.use_noted_at = now
            async with reading(self._pool) as connection:
                await connection.execute(self._sql["note_use"], key, now)
        return known.record

    def recall(self, text: str, now: datetime) -> KeyRecord | None:
        """See `ports.keys.Keys.recall`."""
        form = _FORM.fullmatch(text)
        known = None if form is None else self._memory.get(KeyId(form[2]))
        if form is None or known is None or not timedelta(0) <= now - known.asked_at < REMEMBERED:
            return None
        record, noted = known.record, known.use_noted_at
        good = (
            hmac.compare_digest(_hash(form[3]), known.secret_hash)
            and record.scope == form[1]
            and record.revoked_at is None
            and (record.expires_at is None or record.expires_at > now)
        )
        return record if good and noted is not None and now - noted < USE_NOTED_EVERY else None

    async def rotate(
        self, app: AppId, key: KeyId, *, grace: timedelta, now: datetime
    ) -> NewKey | None:
        """See `ports.keys.Keys.rotate`."""
        async with transaction(self._pool) as connection:
            old = await connection.fetchrow(self._sql["retire_key"], app, key, now, now + grace)
            if old is None:
                return None
            new = await self._insert(
                connection,
                KeyRecord(
                    id=KeyId(self._chance.token(ID_OCTETS).hex()),
                    app=app,
                    scope=Scope(old["scope"]),
                    name=old["name"],
                    created_at=now,
                    expires_at=None if old["lifetime"] is None else now + old["lifetime"],
                    revoked_at=None,
                    last_used_at=None,
                ),
            )
        self._memory.pop(key, None)
        return new

    async def revoke(self, app: AppId, key: KeyId, now: datetime) -> bool:
        """See `ports.keys.Keys.revoke`."""
        async with reading(self._pool) as connection:
            ended = await connection.fetchval(self._sql["revoke_key"], app, key, now)
        self._memory.pop(key, None)
        return ended is not None

    async def all(self, app: AppId) -> Sequence[KeyRecord]:
        """See `ports.keys.Keys.all`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["list_keys"], app)
        return [_record(row) for row in rows]

    async def _insert(self, connection: asyncpg.Connection, record: KeyRecord) -> NewKey:
        secret = self._chance.token(SECRET_OCTETS).hex()
        await connection.execute(
            self._sql["insert_key"],
            record.id,
            record.app,
            record.scope,
            record.name,
            _hash(secret),
            record.created_at,
            record.expires_at,
        )
        return NewKey(record=record, text=f"clarion_{record.scope}_{record.id}_{secret}")

    async def _recall(self, key: KeyId, now: datetime) -> _Remembered | None:
        """From memory, or asked; requests that need the same key ask once together."""
        known = self._memory.get(key)
        if known is not None and timedelta(0) <= now - known.asked_at < REMEMBERED:
            return known
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(key, now))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        # The request that asks may be canceled while others wait for the same answer.
        return await asyncio.shield(task)

    def _asked(self, key: KeyId, done: asyncio.Task[_Remembered | None]) -> None:
        del self._asking[key]
        if not done.cancelled():
            done.exception()  # whoever still waits gets it; nobody may be left to

    async def _ask(self, key: KeyId, now: datetime) -> _Remembered | None:
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["find_key"], key)
        if row is None:
            self._memory.pop(key, None)  # only keys that exist are remembered: memory is bounded
            return None
        old = self._memory.get(key)
        noted_at = row["last_used_at"]
        if old is not None and old.use_noted_at is not None:  # noted by us after that was read
            noted_at = max(old.use_noted_at, noted_at or old.use_noted_at)
        known = _Remembered(
            record=_record(row),
            secret_hash=row["secret_hash"],
            asked_at=now,
            use_noted_at=noted_at,
        )
        self._memory[key] = known
        return known


def _hash(secret: str) -> bytes:
    """SHA-256: a secret of 256 random bits can't be guessed, so a slow hash would only cost."""
    return hashlib.sha256(secret.encode("ascii")).digest()


def _record(row: asyncpg.Record) -> KeyRecord:
    return KeyRecord(
        id=KeyId(row["id"]),
        app=AppId(row["app_id"]),
        scope=Scope(row["scope"]),
        name=row["name"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
