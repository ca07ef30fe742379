"""Credentials and shared bearer tokens in the state store, their secrets sealed."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg
import orjson

from clarion.adapters.state.pool import reading, transaction
from clarion.adapters.state.sealing import Seal
from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId, CredentialId
from clarion.domain.network import Network
from clarion.ports.credentials import (
    CredentialInUseError,
    CredentialRecord,
    CredentialState,
    NewCredential,
)
from clarion.ports.provider import Credential


class PostgresCredentials:
    """`ports.credentials.Credentials` over the table credential."""

    def __init__(self, pool: asyncpg.Pool, seal: Seal) -> None:
        self._pool = pool
        self._seal = seal
        self._sql = statements("credentials")

    async def put(self, app: AppId, new: NewCredential, now: datetime) -> CredentialRecord:
        """See `ports.credentials.Credentials.put`."""
        sealed = self._seal.close(orjson.dumps(dict(new.secret)), _purpose(app, new.network))
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(
                self._sql["put_credential"],
                app,
                new.network,
                orjson.dumps(dict(new.public)),
                sealed,
                new.expires_at,
                new.per_minute,
                now,
            )
        return _record(row)

    async def get(self, app: AppId, network: Network) -> CredentialRecord | None:
        """See `ports.credentials.Credentials.get`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["get_credential"], app, network)
        return None if row is None else _record(row)

    async def all(self, app: AppId | None) -> Sequence[CredentialRecord]:
        """See `ports.credentials.Credentials.all`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["list_credentials"], app)
        return [_record(row) for row in rows]

    async def load(self, credential: CredentialId) -> Credential | None:
        """See `ports.credentials.Credentials.load`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["load_credential"], credential)
        if row is None:
            return None
        app, network = AppId(row["app_id"]), Network(row["network"])
        return Credential(
            id=CredentialId(row["id"]),
            app=app,
            network=network,
            version=row["version"],
            public=_texts(row["public"]),
            secret=_texts(self._seal.open(row["secret"], _purpose(app, network))),
        )

    async def reinstate(self, app: AppId, network: Network, now: datetime) -> bool:
        """See `ports.credentials.Credentials.reinstate`."""
        async with reading(self._pool) as connection:
            done = await connection.fetchval(self._sql["reinstate_credential"], app, network, now)
        return done is not None

    async def delete(self, app: AppId, network: Network) -> bool:
        """See `ports.credentials.Credentials.delete`."""
        try:
            async with transaction(self._pool) as connection:
                removed = await connection.fetchval(self._sql["delete_credential"], app, network)
        except asyncpg.ForeignKeyViolationError as error:
            raise CredentialInUseError(
                f"batches of messages refer to the {network.label} credential; replace it instead"
            ) from error
        return removed is not None


class PostgresSharedTokens:
    """`ports.provider.SharedTokens` over the table shared_token."""

    def __init__(self, pool: asyncpg.Pool, seal: Seal) -> None:
        self._pool = pool
        self._seal = seal
        self._sql = statements("credentials")

    async def get(self, name: str, not_older_than: datetime) -> str | None:
        """See `ports.provider.SharedTokens.get`."""
        async with reading(self._pool) as connection:
            sealed = await connection.fetchval(self._sql["get_shared_token"], name, not_older_than)
        return None if sealed is None else self._open(name, sealed)

    async def mint(self, name: str, *, older_than: datetime, value: str, now: datetime) -> str:
        """See `ports.provider.SharedTokens.mint`."""
        mine = self._seal.close(value.encode(), f"shared token {name}")
        async with reading(self._pool) as connection:
            stored = await connection.fetchval(
                self._sql["mint_shared_token"], name, mine, now, older_than
            )
            if stored is None:  # another process won; rows of this table are never deleted
                stored = await connection.fetchval(self._sql["any_shared_token"], name)
        return self._open(name, stored)

    def _open(self, name: str, sealed: bytes) -> str:
        return self._seal.open(sealed, f"shared token {name}").decode()


def _purpose(app: AppId, network: Network) -> str:
    return f"credential {app}/{network.label}"


def _texts(octets: bytes) -> Mapping[str, str]:
    found = orjson.loads(octets)
    return {str(name): str(value) for name, value in found.items()}


def _record(row: asyncpg.Record) -> CredentialRecord:
    return CredentialRecord(
        id=CredentialId(row["id"]),
        app=AppId(row["app_id"]),
        network=Network(row["network"]),
        version=row["version"],
        public=_texts(row["public"]),
        state=CredentialState(row["state"]),
        state_reason=row["state_reason"],
        state_at=row["state_at"],
        expires_at=row["expires_at"],
        per_minute=row["per_minute"],
        created_at=row["created_at"],
    )
