"""Erasures in the state store: one transaction, and a proof that names nobody."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import asyncpg
import orjson

from clarion.adapters.state.forgetting import forget_plans
from clarion.adapters.state.pool import reading, unit_of_work
from clarion.adapters.state.statements import statements, touched
from clarion.domain.ids import AppId, UserId
from clarion.ports.erasure import Erasure, Held, OpenErasure
from clarion.ports.system import Chance

SALT_OCTETS = 16
_HELD: Final = ("lists", "topics", "suppressions", "erased_before", "prompts")


class PostgresErasures:
    """`ports.erasure.Erasures` over all tables that name a person."""

    def __init__(self, pool: asyncpg.Pool, chance: Chance) -> None:
        self._pool = pool
        self._chance = chance
        self._sql = statements("erasure")

    async def begin(self, app: AppId, user: UserId, now: datetime) -> OpenErasure | None:
        """See `ports.erasure.Erasures.begin`."""

        async def work(connection: asyncpg.Connection) -> OpenErasure | None:
            await connection.execute(statements("suppression")["hold_alone"], app)
            locked = await connection.fetch(statements("consent")["lock"], app, [user])
            if not locked:
                return None
            external = locked[0]["external_id"]
            users = await connection.fetchval(statements("people")["numbers"], app, user)
            removed = await self._remove(connection, app, users, external, now)
            removed |= await forget_plans(connection, app, users, now)
            kept = await connection.fetchval(self._sql["hashes_kept"], app, external)
            salt = self._chance.token(SALT_OCTETS).hex()
            proof = {
                "salt": salt,
                "subject": subject(salt, external or f"#{user}"),
                "removed": removed,
                "kept": {"state.suppression_hashes": kept},
            }
            row = await connection.fetchrow(
                self._sql["insert"], app, users, now, orjson.dumps(proof)
            )
            return OpenErasure(id=row["id"], app=app, users=users, xid=row["xid"])

        return await unit_of_work(self._pool, work)

    async def _remove(
        self,
        connection: asyncpg.Connection,
        app: AppId,
        users: Sequence[UserId],
        external: str | None,
        now: datetime,
    ) -> dict[str, int]:
        """The last of the numbers is the person's own."""
        sql, user = self._sql, users[-1]
        removed = {
            "state.consent_entries": touched(await connection.execute(sql["ledger"], app, users)),
            "state.events": touched(await connection.execute(sql["events"], app, users)),
            "state.aliases": touched(await connection.execute(sql["aliases"], app, user)),
            "state.lists": touched(await connection.execute(sql["lists"], user)),
            "state.topics": touched(await connection.execute(sql["topics"], user)),
            "state.prompts": touched(await connection.execute(sql["prompts"], user)),
            "state.suppressions": touched(
                await connection.execute(sql["suppressions"], app, external, now)
            ),
            "state.devices": await connection.fetchval(sql["count_devices"], app, user),
        }
        gone = await connection.fetchval(statements("people")["delete_people"], app, [user])
        return {**removed, "state.users": 0 if gone is None else 1}

    async def finish(self, erasure: int, removed: Mapping[str, int], now: datetime) -> Erasure:
        """See `ports.erasure.Erasures.finish`."""

        async def work(connection: asyncpg.Connection) -> Erasure:
            row = await connection.fetchrow(self._sql["lock"], erasure)
            if row["done_at"] is None:
                proof = orjson.loads(row["proof"])
                proof["removed"] |= {f"facts.{name}": count for name, count in removed.items()}
                left = await forget_plans(connection, row["app_id"], row["numbers"], now)
                for name, count in left.items():  # planned while the facts were removed
                    proof["removed"][name] = proof["removed"].get(name, 0) + count
                await connection.execute(self._sql["finish"], erasure, orjson.dumps(proof), now)
                row = await connection.fetchrow(self._sql["lock"], erasure)
            return _erasure(row)

        return await unit_of_work(self._pool, work)

    async def unfinished(self, before: datetime, limit: int) -> Sequence[OpenErasure]:
        """See `ports.erasure.Erasures.unfinished`."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(self._sql["unfinished"], limit, before)
            xid = await connection.fetchval(self._sql["now_xid"]) if rows else 0
        return [
            OpenErasure(id=row["id"], app=AppId(row["app_id"]), users=row["numbers"], xid=xid)
            for row in rows
        ]

    async def get(self, app: AppId, erasure: int) -> Erasure | None:
        """See `ports.erasure.Erasures.get`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["get"], app, erasure)
        return None if row is None else _erasure(row)

    async def held(self, app: AppId, user: UserId) -> Held | None:
        """See `ports.erasure.Erasures.held`."""
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(self._sql["person"], app, user)
            users = await connection.fetchval(statements("people")["numbers"], app, user)
            xid = await connection.fetchval(self._sql["now_xid"])
        if row is None:
            return None
        parts = {name: orjson.loads(row[name]) for name in _HELD}
        return Held(users=users, xid=xid, parts=parts | {"suppressed": row["suppressed"]})


def subject(salt: str, name: str) -> str:
    """What a proof says of whom it was about: SHA-256 of the salt and the name, in hexadecimal."""
    return hashlib.sha256(bytes.fromhex(salt) + name.encode()).hexdigest()


def _erasure(row: asyncpg.Record) -> Erasure:
    proof = orjson.loads(row["proof"])
    said = {
        "id": row["id"],
        "app": row["app_id"],
        "requested_at": row["requested_at"],
        "done_at": row["done_at"],
        **proof,
    }
    return Erasure(
        id=row["id"],
        requested_at=row["requested_at"],
        done_at=row["done_at"],
        subject=proof["subject"],
        salt=proof["salt"],
        removed=proof["removed"],
        kept=proof.get("kept", {}),
        proof=hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest(),
    )
