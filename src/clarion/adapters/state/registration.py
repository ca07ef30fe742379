"""Registrations into the state store: columns in, as many statements for one row as for all."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
import numpy as np
import polars as pl

from clarion.adapters.state.pool import OvertakenError
from clarion.adapters.state.statements import statements
from clarion.domain.attributes import MAX_ATTRIBUTES, MAX_TOTAL_OCTETS
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import AppId
from clarion.ports.registry import Registered

TOKEN_KEY_OCTETS: Final = 16
STORED_OCTETS: Final = MAX_TOTAL_OCTETS + MAX_TOTAL_OCTETS // 8
"""The limit of merged attributes as PostgreSQL writes them, with a space after every separator."""
FEW_ROWS: Final = 50
"""Up to so many rows the server's generic plan serves; it expects ten, and its nested loops take
minutes for thousands."""
RACES: Final = 3
"""How often rows are tried again that another writer created between our look and our insert."""

_PERSON: Final = ("user_attributes", "user_language", "user_time_zone", "user_country")
_PERSON_COLUMNS: Final = (*_PERSON, "user_opted_out")
_DEVICE_COLUMNS: Final = (
    "environment",
    "person",
    "opted_out",
    "platform",
    "os",
    "os_version",
    "model",
    "app_version",
    "language",
    "time_zone",
    "country",
    "latitude",
    "longitude",
    "attributes",
    "active_us",
)


def token_key(token: str) -> bytes:
    """What devices are found by: the first 16 octets of SHA-256 of the token."""
    return hashlib.sha256(token.encode()).digest()[:TOKEN_KEY_OCTETS]


async def register(
    connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame, now: datetime
) -> Registered:
    """Store checked rows (`ports.registry.Devices.register`) inside the caller's transaction."""
    count = rows.height
    if count > FEW_ROWS:
        await connection.execute(statements("registration")["plan_for_many"])
    person, refused = await _register_people(connection, app, rows, now)
    unknown = await _find_named(connection, app, rows["user"], person)
    devices = rows.with_columns(
        pl.Series("person", person).replace(0, None),
        pl.col("last_active_at").dt.epoch("us").alias("active_us"),
        pl.int_range(count, dtype=pl.Int64).alias("row"),
    ).filter(pl.col("token").is_not_null() & ~pl.col("row").is_in(unknown))
    # Of two rows of one device the last is stored, and answers for both.
    stands_for = devices.select(
        "row", pl.col("row").last().over("network", "token").alias("stored")
    )
    kept = devices.filter(devices["row"] == stands_for["stored"])
    device, owner, created, blocked = await _register_devices(connection, app, kept, count, now)
    index, stored = stands_for["row"].to_numpy(), stands_for["stored"].to_numpy()
    device[index], owner[index], created[index] = device[stored], owner[stored], created[stored]
    xid = await connection.fetchval("select pg_current_xact_id()")
    return Registered(
        device=device,
        user=np.where(owner == 0, person, owner),
        created=created.tolist(),
        attributes_refused=sorted(refused | blocked),
        user_unknown=unknown,
        xid=int(xid),
    )


async def _register_people(
    connection: asyncpg.Connection, app: AppId, rows: pl.DataFrame, now: datetime
) -> tuple[Int64s, set[int]]:
    """The person of each row (0 where none is named by external id), and refused rows."""
    person = np.zeros(rows.height, np.int64)
    if rows["external_id"].null_count() == rows.height:
        return person, set()
    people = (
        rows.with_row_index("row")
        .filter(pl.col("external_id").is_not_null())
        .group_by("external_id")
        .agg(pl.col("row"), *(pl.col(name).drop_nulls().last() for name in _PERSON_COLUMNS))
        .sort("external_id")  # writers lock in one order
    )
    ids = np.zeros(people.height, np.int64)
    refused: set[int] = set()
    columns = [
        people["external_id"].to_list(),
        *(people[name].to_list() for name in _PERSON_COLUMNS),
    ]
    left = np.arange(people.height)
    for _ in range(RACES):
        chosen = columns if len(left) == len(ids) else [_pick(column, left) for column in columns]
        found = await connection.fetch(
            statements("registration")["register_people"],
            app,
            now,
            left.tolist(),
            *chosen,
            MAX_ATTRIBUTES,
            STORED_OCTETS,
        )
        for row, user, too_large in found:
            ids[row] = user
            if too_large:
                refused.update(people["row"][row].to_list())
        left = np.flatnonzero(ids == 0)
        if not len(left):
            break
    else:
        raise OvertakenError("other writers kept removing these users")
    lengths = people["row"].list.len().to_numpy()
    person[people["row"].explode().to_numpy()] = np.repeat(ids, lengths)
    return person, refused


async def _find_named(
    connection: asyncpg.Connection, app: AppId, named: pl.Series, person: Int64s
) -> Sequence[int]:
    """Fill in people named by their id; the rows whose id the app does not have."""
    if named.null_count() == len(named):
        return []
    asked = named.drop_nulls().unique().to_list()
    sql = statements("registration")["known_people"]
    known = {row["id"] for row in await connection.fetch(sql, app, asked)}
    ids = named.to_list()
    for row, user in enumerate(ids):
        if user in known:
            person[row] = user
    return [row for row, user in enumerate(ids) if user is not None and user not in known]


async def _register_devices(
    connection: asyncpg.Connection, app: AppId, kept: pl.DataFrame, count: int, now: datetime
) -> tuple[Int64s, Int64s, np.ndarray[tuple[int], np.dtype[np.bool_]], set[int]]:
    """Per row of the whole frame: device, owner, created; and rows with refused attributes."""
    device, owner = np.zeros(count, np.int64), np.zeros(count, np.int64)
    created = np.zeros(count, np.bool_)
    refused: set[int] = set()
    keys = [token_key(token) for token in kept["token"]]
    left = kept.with_columns(pl.Series("token_key", keys, pl.Binary)).sort("network", "token_key")
    for attempt in range(RACES):
        if not left.height:
            break
        found = await connection.fetch(
            statements("registration")["register_devices"],
            app,
            now,
            *(
                _values(left[name])
                for name in ("row", "network", "token_key", "token", "keys", *_DEVICE_COLUMNS)
            ),
            MAX_ATTRIBUTES,
            STORED_OCTETS,
        )
        for row, identity, user, new, too_large in found:
            device[row], owner[row], created[row] = identity, user, new
            if too_large:
                refused.add(row)
        if len(found) < left.height or attempt:
            left = left.filter(pl.Series(device[left["row"].to_numpy()] == 0))
            await connection.execute(statements("registration")["forget_strangers"], app, now)
        else:
            break
    if (device[kept["row"].to_numpy()] == 0).any():
        raise OvertakenError("other writers kept removing these users or devices")
    return device, owner, created, refused


def _values(column: pl.Series) -> list[object]:
    """A column as an array parameter: `unnest` fills shorter arrays up with nulls."""
    return [] if column.null_count() == len(column) else column.to_list()


def _pick(column: list[object], index: Int64s) -> list[object]:
    return [column[place] for place in index.tolist()] if column else []
