"""Registrations into the state store: columns in, as many statements for one row as for all."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Final

import asyncpg
import numpy as np
import orjson
import polars as pl

from clarion.adapters.state.absorbing import absorb
from clarion.adapters.state.consent_ledger import append_switch
from clarion.adapters.state.pool import OvertakenError
from clarion.adapters.state.statements import statements
from clarion.adapters.state.suppression import hold_suppressions
from clarion.domain.attributes import MAX_ATTRIBUTES, MAX_TOTAL_OCTETS
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import AppId, UserId
from clarion.domain.registration import COLUMNS
from clarion.ports.registry import Registered

TOKEN_KEY_OCTETS: Final = 16
STORED_OCTETS: Final = MAX_TOTAL_OCTETS + MAX_TOTAL_OCTETS // 8
"""The limit of merged attributes as PostgreSQL writes them, with a space after every separator."""
FEW_ROWS: Final = 50
"""Up to so many rows the server's generic plan serves; it expects ten, and its nested loops take
minutes for thousands."""
RACES: Final = 3
"""How often rows are tried again that another writer created between our look and our insert."""

Truths = np.ndarray[tuple[int], np.dtype[np.bool_]]

_BETWEEN: Final = "\x1f"
_NULL: Final = "\x1e"
"""Control characters, which no text may hold, stand between values and for null."""

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
    "ours",
    "permission",
)
_DEVICE_PARAMETERS: Final = ("row", "network", "token_key", "token", "keys", *_DEVICE_COLUMNS)


@cache
def bold_statements() -> Mapping[str, str]:
    """The same statements, but an insert that meets another writer's row fails."""
    return {
        name: re.sub(r"^ *on conflict .* do nothing\n", "", sql, flags=re.MULTILINE)
        if name in {"register_people", "register_devices"}
        else sql
        for name, sql in statements("registration").items()
    }


def token_key(token: str) -> bytes:
    """What devices are found by: the first 16 octets of SHA-256 of the token."""
    return hashlib.sha256(token.encode()).digest()[:TOKEN_KEY_OCTETS]


async def register(
    connection: asyncpg.Connection,
    app: AppId,
    rows: pl.DataFrame,
    now: datetime,
    *,
    refresh: bool = True,
    bold: bool = False,
) -> Registered:
    """Store checked rows (`ports.registry.Devices.register`) inside the caller's transaction.

    With `bold`, what is new is inserted without a thought of other writers, which saves an eighth
    of the server's work; where one was faster, `UniqueViolationError` says so, and the caller runs
    the unit again, not so bold.
    """
    sql = bold_statements() if bold else statements("registration")
    count = rows.height
    if count > FEW_ROWS:
        await connection.execute(sql["plan_for_many"])
    store = _Store(connection, app, now, sql)
    if rows["external_id"].null_count() < count:
        await hold_suppressions(connection, app)
    person, ours, refused = await store.people(rows)
    unknown = await _find_named(connection, app, rows["user"], person)
    taken = await _register_aliases(connection, app, rows["aliases"], person)
    devices = rows.with_columns(
        pl.Series("person", person).replace(0, None),
        pl.Series("ours", ours),
        pl.col("last_active_at").dt.epoch("us").alias("active_us"),
        pl.int_range(count, dtype=pl.Int64).alias("row"),
    ).filter(pl.col("token").is_not_null())
    if unknown:
        devices = devices.filter(~pl.col("row").is_in(unknown))
    device, owner = np.zeros(count, np.int64), np.zeros(count, np.int64)
    created = np.zeros(count, np.bool_)
    blocked = await store.devices(_last_of_each(devices), device, owner, created, refresh=refresh)
    _answer_for_all(devices, device, owner, created)
    await append_switch(connection, app, store.turned, now)
    merges_refused = await _absorb(connection, app, rows["external_id"], store.left_by, person, now)
    xid = await connection.fetchval("select pg_current_xact_id()")
    return Registered(
        device=device,
        user=np.where(owner == 0, person, owner),
        created=created.tolist(),
        attributes_refused=sorted(refused | blocked),
        user_unknown=unknown,
        aliases_taken=taken,
        merges_refused=merges_refused,
        xid=int(xid),
    )


async def _absorb(
    connection: asyncpg.Connection,
    app: AppId,
    named: pl.Series,
    left_by: Mapping[int, int],
    person: Int64s,
    now: datetime,
) -> Sequence[int]:
    """Anonymous people whose devices say who they are, as by a login; rows where it is too much.

    A device that was given to somebody by number has moved, and says nothing of its person.
    """
    said = {UserId(old): row for row, old in sorted(left_by.items()) if named[row] is not None}
    if not said:
        return []
    pairs = {old: UserId(int(person[row])) for old, row in said.items()}
    return sorted(said[user] for user in await absorb(connection, app, pairs, now))


def _last_of_each(devices: pl.DataFrame) -> pl.DataFrame:
    """Of two rows of one device the last is stored, and answers for both."""
    return devices.unique(["network", "token"], keep="last", maintain_order=True)


def _answer_for_all(devices: pl.DataFrame, device: Int64s, owner: Int64s, created: Truths) -> None:
    """What became of a row's device counts for the rows before it that name the same one."""
    if not devices.select("network", "token").is_duplicated().any():
        return
    stands_for = devices.select(
        "row", pl.col("row").last().over("network", "token").alias("stored")
    )
    index, stored = stands_for["row"].to_numpy(), stands_for["stored"].to_numpy()
    device[index], owner[index], created[index] = device[stored], owner[stored], created[stored]


def _people(rows: pl.DataFrame) -> tuple[pl.DataFrame, Int64s]:
    """Each person once, with the last that is said, and where each row's person stands (or -1).

    They are sorted, because writers lock in one order.
    """
    named = rows.select("external_id", *_PERSON_COLUMNS).filter(pl.col("external_id").is_not_null())
    said = [name for name in _PERSON_COLUMNS if named[name].null_count() < named.height]
    people = (
        named.select("external_id").unique()
        if not said
        else named.group_by("external_id").agg(pl.col(said).drop_nulls().last())
    ).sort("external_id")
    people = people.with_columns(
        *(pl.lit(None, COLUMNS[name]).alias(name) for name in _PERSON_COLUMNS if name not in said),
        pl.int_range(people.height, dtype=pl.Int64).alias("place"),
    )
    place = rows.select("external_id").join(
        people.select("external_id", "place"), on="external_id", how="left", maintain_order="left"
    )["place"]
    return people, place.fill_null(-1).to_numpy()


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


async def _register_aliases(
    connection: asyncpg.Connection, app: AppId, given: pl.Series, person: Int64s
) -> Sequence[int]:
    """Aliases of people; the rows that name one which another person has."""
    if given.null_count() == len(given):
        return []
    said: dict[tuple[int, str], tuple[str | None, int]] = {}
    for row, text in enumerate(given):
        if text is not None and person[row]:
            aliases: dict[str, str | None] = orjson.loads(text)
            user = int(person[row])
            said |= {(user, label): (value, row) for label, value in aliases.items()}
    if not said:
        return []
    users, labels = [user for user, _ in said], [label for _, label in said]
    values = [value for value, _ in said.values()]
    sql = statements("registration")
    await connection.execute(sql["drop_aliases"], users, labels, values)
    await connection.execute(sql["add_aliases"], app, users, labels, values)
    taken = await connection.fetch(sql["foreign_aliases"], app, users, labels, values)
    rows = [row for _, row in said.values()]
    return sorted({rows[found["place"] - 1] for found in taken})


class _Store:
    """Statements of one unit of work."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        app: AppId,
        now: datetime,
        sql: Mapping[str, str],
    ) -> None:
        self._connection = connection
        self._app = app
        self._now = now
        self._sql = sql
        self.turned: dict[UserId, tuple[str, bool]] = {}
        """People whose global opt-out changed -> the app's name, and whether opted out now."""
        self.left_by: dict[int, int] = {}
        """Rows whose device moved -> whose it was."""

    async def people(self, rows: pl.DataFrame) -> tuple[Int64s, Truths, set[int]]:
        """Per row the person (0 where none is named) and whether it is new; and refused rows."""
        person, ours = np.zeros(rows.height, np.int64), np.zeros(rows.height, np.bool_)
        named = rows["external_id"]
        if named.null_count() == rows.height:
            return person, ours, set()
        people, place = _people(rows)
        ids, new = np.zeros(people.height, np.int64), np.zeros(people.height, np.bool_)
        refused: set[int] = set()
        left = people
        for _ in range(RACES):
            found = await self._connection.fetchrow(
                self._sql["register_people"],
                self._app,
                self._now,
                *(_text(left[name]) for name in ("place", "external_id", *_PERSON_COLUMNS)),
                MAX_ATTRIBUTES,
                STORED_OCTETS,
            )
            index = found["rows"] or []
            ids[index], new[index] = found["ids"] or [], found["added"] or []
            refused.update(found["refused"] or [])
            if found["turned"]:
                self._turned(left, found["turned"], ids)
            if len(index) == left.height:
                break
            left = people.filter(pl.Series(ids == 0))
        else:
            raise OvertakenError("other writers kept removing these users")
        stood = place >= 0
        person[stood], ours[stood] = ids[place[stood]], new[place[stood]]
        return person, ours, set(np.flatnonzero(np.isin(place, list(refused))).tolist())

    def _turned(self, people: pl.DataFrame, turned: Sequence[int], ids: Int64s) -> None:
        said = people.filter(pl.col("place").is_in(turned))
        for place, name, out in said.select("place", "external_id", "user_opted_out").iter_rows():
            self.turned[UserId(int(ids[place]))] = (name, out)

    async def devices(
        self,
        kept: pl.DataFrame,
        device: Int64s,
        owner: Int64s,
        created: Truths,
        *,
        refresh: bool,
    ) -> set[int]:
        """Store rows of different devices; those whose attributes were refused.

        Fills in, per row of the whole frame, its device, its owner and whether it is new.
        """
        refused: set[int] = set()
        keys = [token_key(token) for token in kept["token"]]
        left = kept.with_columns(pl.Series("token_key", keys, pl.Binary))
        left = left.sort("network", "token_key")  # writers lock in one order
        for attempt in range(RACES):
            if not left.height:
                break
            found = await self._connection.fetchrow(
                self._sql["register_devices"],
                self._app,
                self._now,
                *(_text(left[name]) for name in _DEVICE_PARAMETERS),
                MAX_ATTRIBUTES,
                STORED_OCTETS,
                not refresh,
            )
            index = found["rows"] or []
            device[index], owner[index] = found["ids"] or [], found["users"] or []
            created[index] = found["created"] or []
            refused.update(found["refused"] or [])
            if found["moved"]:
                self.left_by |= dict(zip(found["moved"], found["left_by"], strict=True))
            if len(index) < left.height or attempt:
                left = left.filter(pl.Series(device[left["row"].to_numpy()] == 0))
                await self._connection.execute(self._sql["forget_strangers"], self._app, self._now)
            else:
                break
        if (device[kept["row"].to_numpy()] == 0).any():
            raise OvertakenError("other writers kept removing these users or devices")
        return refused


def _text(column: pl.Series) -> str:
    """A column as one parameter, which the statement takes apart; nothing at all where all is null.

    `unnest` fills shorter arrays up with nulls.
    """
    if column.null_count() == len(column):
        return ""
    if column.dtype == pl.Binary:
        column = pl.select(pl.lit("\\x") + column.bin.encode("hex")).to_series()
    texts: str = column.cast(pl.String).fill_null(_NULL).str.join(_BETWEEN).item()
    return texts
