"""Registrations into the state store: columns in, as many statements for one row as for all."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final

import asyncpg
import numpy as np
import orjson
import polars as pl

from clarion.adapters.state.absorbing import absorb
from clarion.adapters.state.device_room import Gained, demand_room
from clarion.adapters.state.followed import followed
from clarion.adapters.state.pool import OvertakenError
from clarion.adapters.state.registration_rows import (
    PERSON_COLUMNS,
    FewRows,
    ManyRows,
    Rows,
    Truths,
)
from clarion.adapters.state.statements import statements
from clarion.adapters.state.suppression import hold_suppressions
from clarion.domain.attributes import MAX_ATTRIBUTES, MAX_TOTAL_OCTETS
from clarion.domain.conditions import Cell, Row
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import AppId, UserId
from clarion.domain.person import DEVICES_PER_USER
from clarion.ports.registry import Registered

STORED_OCTETS: Final = MAX_TOTAL_OCTETS + MAX_TOTAL_OCTETS // 8
"""The limit of merged attributes as PostgreSQL writes them, with a space after every separator."""
FEW_ROWS: Final = 50
"""Up to so many rows the server's generic plan serves; it expects ten, and its nested loops take
minutes for thousands."""
RACES: Final = 3
"""How often rows are tried again that another writer created between our look and our insert."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How rows are stored."""

    most_devices: int = DEVICES_PER_USER
    """How many devices a person may have."""
    refresh: bool = True
    """As in the port."""
    bold: bool = False
    """What is new is inserted without a thought of other writers, which saves an eighth of the
    server's work; where one was faster, `UniqueViolationError` says so, and the caller runs the
    unit again, not so bold."""


async def register(
    connection: asyncpg.Connection,
    app: AppId,
    rows: pl.DataFrame | Sequence[Row],
    now: datetime,
    manner: Manner,
) -> Registered:
    """Store checked rows (`ports.registry.Devices.register`) inside the caller's transaction.

    Where somebody would have too many devices, `CrowdedError` names the rows without which the
    caller runs the unit again.
    """
    sql = bold_statements() if manner.bold else statements("registration")
    given: Rows = ManyRows(rows) if isinstance(rows, pl.DataFrame) else FewRows(rows)
    count = given.height
    if count > FEW_ROWS:
        await connection.execute(sql["plan_for_many"])
    store = _Store(connection, app, now, sql)
    named = given.column("external_id")
    if any(name is not None for name in named):
        await hold_suppressions(connection, app)
        person, ours, refused = await store.people(given)
    else:
        person, ours, refused = np.zeros(count, np.int64), np.zeros(count, np.bool_), set()
    unknown = await _find_named(connection, app, given.column("user"), person)
    taken = await _register_aliases(connection, app, given.column("aliases"), person)
    kept, answers = given.devices(person, ours, unknown)
    device, owner = np.zeros(count, np.int64), np.zeros(count, np.int64)
    created = np.zeros(count, np.bool_)
    refused |= await store.devices(kept, device, owner, created, refresh=manner.refresh)
    moved = np.isin(np.arange(count), list(store.left_by))
    rows_gained = np.flatnonzero((created | moved) & (person != 0))
    if len(rows_gained):
        gained = Gained(rows=rows_gained, owner=owner[rows_gained], new=ours[rows_gained])
        await demand_room(connection, gained, answers, manner.most_devices)
    for row, stored in answers.items():
        device[row], owner[row], created[row] = device[stored], owner[stored], created[stored]
    into, merges_refused = await _absorb(store, named, person, manner.most_devices)
    return Registered(
        device=device,
        user=followed(np.where(owner == 0, person, owner), into),
        created=created.tolist(),
        devices_refused=[],
        attributes_refused=sorted(refused),
        user_unknown=unknown,
        aliases_taken=taken,
        merges_refused=merges_refused,
        xid=store.xid or int(await connection.fetchval("select pg_current_xact_id()")),
    )


async def _absorb(
    store: "_Store", named: Sequence[Cell], person: Int64s, most_devices: int
) -> tuple[Mapping[UserId, UserId], Sequence[int]]:
    """Anonymous people whose devices say who they are, as by a login; rows where it is too much.

    A device that was given to somebody by number has moved, and says nothing of its person.
    """
    left_by = sorted(store.left_by.items())
    said = {UserId(old): row for row, old in left_by if named[row] is not None}
    pairs = {old: UserId(int(person[row])) for old, row in said.items()}
    done = await absorb(
        store.connection,
        store.app,
        pairs,
        store.now,
        most_devices=most_devices,
        turned=store.turned,
    )
    return done.into, sorted(said[user] for user in (*done.left, *done.crowded))


async def _find_named(
    connection: asyncpg.Connection, app: AppId, ids: Sequence[Cell], person: Int64s
) -> Sequence[int]:
    """Fill in people named by their id; the rows whose id the app does not have."""
    asked = {user for user in ids if user is not None}
    if not asked:
        return []
    sql = statements("registration")["known_people"]
    known = {row["id"] for row in await connection.fetch(sql, app, list(asked))}
    for row, user in enumerate(ids):
        if isinstance(user, int) and user in known:
            person[row] = user
    return [row for row, user in enumerate(ids) if user is not None and user not in known]


async def _register_aliases(
    connection: asyncpg.Connection, app: AppId, given: Sequence[Cell], person: Int64s
) -> Sequence[int]:
    """Aliases of people; the rows that name one which another person has."""
    said: dict[tuple[int, str], tuple[str | None, int]] = {}
    for row, text in enumerate(given):
        if text is not None and person[row]:
            aliases: dict[str, str | None] = orjson.loads(str(text))
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
        self.connection = connection
        self.app = app
        self.now = now
        self._sql = sql
        self.turned: dict[UserId, tuple[str, bool]] = {}
        """People whose global opt-out changed -> the app's name, and whether opted out now."""
        self.left_by: dict[int, int] = {}
        """Rows whose device moved -> whose it was."""
        self.xid = 0
        """This transaction."""

    async def people(self, rows: Rows) -> tuple[Int64s, Truths, set[int]]:
        """Per row the person (0 where none is named) and whether it is new; and refused rows."""
        people, place = rows.people()
        ids, new = np.zeros(people.height, np.int64), np.zeros(people.height, np.bool_)
        refused: set[int] = set()
        left = people
        for _ in range(RACES):
            found = await self.connection.fetchrow(
                self._sql["register_people"],
                self.app,
                self.now,
                *(left.text(name) for name in ("place", "external_id", *PERSON_COLUMNS)),
                MAX_ATTRIBUTES,
                STORED_OCTETS,
            )
            self.xid = int(found["xid"])
            index = found["rows"] or []
            ids[index], new[index] = found["ids"] or [], found["added"] or []
            refused.update(found["refused"] or [])
            if found["turned"]:
                self._turned(people, found["turned"], ids)
            if len(index) == left.height:
                break
            left = people.take(np.flatnonzero(ids == 0))
        else:
            raise OvertakenError("other writers kept removing these users")
        stood = place >= 0
        person, ours = np.where(stood, ids[place], 0), stood & new[place]
        return person, ours, set(np.flatnonzero(np.isin(place, list(refused))).tolist())

    def _turned(self, people: Rows, turned: Sequence[int], ids: Int64s) -> None:
        names, switches = people.column("external_id"), people.column("user_opted_out")
        for place in turned:
            switch = (str(names[place]), switches[place] is True)
            self.turned[UserId(int(ids[place]))] = switch

    async def devices(
        self,
        kept: Rows,
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
        left, stored = kept, np.array(kept.column("row"), np.int64)
        for attempt in range(RACES):
            if not left.height:
                break
            found = await self.connection.fetchrow(
                self._sql["register_devices"],
                self.app,
                self.now,
                *(left.text(name) for name in _DEVICE_PARAMETERS),
                MAX_ATTRIBUTES,
                STORED_OCTETS,
                not refresh,
            )
            self.xid = int(found["xid"])
            index = found["rows"] or []
            device[index], owner[index] = found["ids"] or [], found["users"] or []
            created[index] = found["created"] or []
            refused.update(found["refused"] or [])
            if found["moved"]:
                self.left_by |= dict(zip(found["moved"], found["left_by"], strict=True))
            if len(index) < left.height or attempt:
                left = kept.take(np.flatnonzero(device[stored] == 0))
                await self.connection.execute(self._sql["forget_strangers"], self.app, self.now)
            else:
                break
        if (device[stored] == 0).any():
            raise OvertakenError("other writers kept removing these users or devices")
        return refused
