"""Registrations of devices and people: judged as columns, stored in one unit of work."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import polars as pl

from clarion.domain.attributes import MAX_ATTRIBUTES, MAX_TOTAL_OCTETS, FieldProblem
from clarion.domain.conditions import Row
from clarion.domain.handoffs import Int64s
from clarion.domain.ids import AppId
from clarion.domain.network import Network
from clarion.domain.person import MERGES_A_DAY
from clarion.domain.registration import COLUMNS, POINTERS, RowProblem, check
from clarion.domain.registration_row import CheckedRow, check_row
from clarion.ports.registry import Devices
from clarion.wire.endpoint import AllowList, Refused, decide
from clarion.wire.webpush_keys import SubscriptionKeys, WebPushError

_OF_PEOPLE: Final = tuple(name for name in COLUMNS if name.startswith(("user_", "aliases")))
FEW: Final = 128
"""Up to so many rows cost less one by one than as columns."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What registrations are judged by besides the rules of the domain."""

    zones: frozenset[str]
    """Names of the time zones that exist (IANA)."""
    allow: AllowList
    """Web Push hosts that the operator trusts although they are private or odd."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The rows that may be stored, and what is wrong with the others."""

    rows: pl.DataFrame | Sequence[Row]
    """Columns of `clarion.domain.registration.COLUMNS`; or rows of such cells, where absent is
    null."""
    index: Int64s
    """Where each of `rows` stood in what was given."""
    problems: Sequence[RowProblem]
    """In order of the row."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """What became of each row that was given; the columns have a value for every one of them."""

    device: Int64s
    """Its device, 0 where the row has no token or was refused."""
    user: Int64s
    """Its person, 0 where the row was refused."""
    created: Sequence[bool]
    """The device was not known before."""
    problems: Sequence[RowProblem]
    """Why rows were refused; a row whose only problem is `attributes_too_large` with a pointer
    to the attributes was stored without these, where `device` or `user` is not 0; so was one whose
    only problem is `alias_taken`, without the alias that another person has; with `merge_limit`
    the device moved alone, without the anonymous person whose it was. Of a row with `devices_limit`
    nothing was stored."""
    stored: int
    """How many rows were stored."""
    xid: int
    """The transaction that stored them; 0 when none was."""


async def register(
    devices: Devices,
    app: AppId,
    raw: pl.DataFrame | Sequence[Row],
    *,
    rules: Rules,
    now: datetime,
) -> Registration:
    """Judge the rows and store the good ones in one unit of work.

    Up to `FEW` rows cost less as rows than as a frame.

    Args:
        devices: the registry.
        app: whose devices.
        raw: columns of `clarion.domain.registration.RAW_COLUMNS`, or rows of such cells; absent
            ones count as null.
        rules: zones and trusted hosts.
        now: the present instant.

    Raises:
        StoreUnavailableError: nothing was stored.
    """
    return await store(devices, app, judge(raw, rules=rules, now=now), len(raw), now)


async def store(
    devices: Devices,
    app: AppId,
    judged: Judged,
    count: int,
    now: datetime,
    *,
    refresh: bool = True,
) -> Registration:
    """Store rows that were judged; `count` is how many were given, `refresh` as in the registry.

    Raises:
        StoreUnavailableError: nothing was stored.
    """
    device, user = np.zeros(count, np.int64), np.zeros(count, np.int64)
    created = np.zeros(count, np.bool_)
    if not len(judged.rows):
        return Registration(
            device=device,
            user=user,
            created=created.tolist(),
            problems=judged.problems,
            stored=0,
            xid=0,
        )
    done = await devices.register(app, judged.rows, now, refresh=refresh)
    device[judged.index], user[judged.index] = done.device, done.user
    created[judged.index] = done.created
    late = [
        *(_too_large(int(judged.index[row])) for row in done.attributes_refused),
        *(_unknown(int(judged.index[row])) for row in done.user_unknown),
        *(_taken(int(judged.index[row])) for row in done.aliases_taken),
        *(_too_many(int(judged.index[row])) for row in done.merges_refused),
        *_crowded(judged, done.devices_refused),
    ]
    return Registration(
        device=device,
        user=user,
        created=created.tolist(),
        problems=sorted([*judged.problems, *late], key=lambda problem: problem.row),
        stored=len(judged.rows) - len(done.user_unknown) - len(done.devices_refused),
        xid=done.xid,
    )


def judge(raw: pl.DataFrame | Sequence[Row], *, rules: Rules, now: datetime) -> Judged:
    """Judge rows by the domain's rules, and Web Push subscriptions by address and keys."""
    if not isinstance(raw, pl.DataFrame):
        return _judge_each(raw, rules, now)
    checked = check(raw, zones=rules.zones, now=now)
    rows, index = checked.rows, checked.index.to_numpy().astype(np.int64)
    problems = [*checked.problems, *_of_nobody(rows, index)]
    web = (rows["network"] == Network.WEBPUSH).fill_null(value=False) & rows["token"].is_not_null()
    if web.any():
        rows, found = _read_keys(rows, web.arg_true().to_list(), rules.allow)
        problems += [
            RowProblem(row=int(index[broken.row]), problem=broken.problem) for broken in found
        ]
    if len(problems) > len(checked.problems):
        bad = {problem.row for problem in problems}
        good = np.array([row not in bad for row in index.tolist()], np.bool_)
        rows, index = rows.filter(pl.Series(good)), index[good]
        problems.sort(key=lambda problem: problem.row)
    return Judged(rows=rows.select(list(COLUMNS)), index=index, problems=problems)


def judge_row(raw: Row, *, rules: Rules, now: datetime) -> CheckedRow:
    """The same of a single row; a subscription that is fine has its `keys` as octets."""
    checked = check_row(raw, zones=rules.zones, now=now)
    row = checked.row
    if checked.problems:
        return checked
    nobody = "external_id" not in row
    problems = [_orphan(name) for name in _OF_PEOPLE if nobody and name in row]
    if row.get("network") == Network.WEBPUSH and "token" in row:
        keys = _keys(row, rules.allow)
        if isinstance(keys, FieldProblem):
            problems.append(keys)
        else:
            row = {**row, "keys": keys}
    return CheckedRow(row=row, problems=problems)


def _judge_each(raw: Sequence[Row], rules: Rules, now: datetime) -> Judged:
    judged = [judge_row(row, rules=rules, now=now) for row in raw]
    good = [place for place, one in enumerate(judged) if not one.problems]
    problems = [
        RowProblem(row=place, problem=problem)
        for place, one in enumerate(judged)
        for problem in one.problems
    ]
    rows = [judged[place].row for place in good]
    return Judged(rows=rows, index=np.array(good, np.int64), problems=problems)


def _read_keys(
    rows: pl.DataFrame, web: Sequence[int], allow: AllowList
) -> tuple[pl.DataFrame, list[RowProblem]]:
    """The keys of Web Push rows as 65 + 16 octets; points are proven to be on the curve."""
    keys: list[bytes | None] = [None] * rows.height
    problems: list[RowProblem] = []
    given = rows[list(web)].select("token", "p256dh", "auth").to_dicts()
    for row, subscription in zip(web, given, strict=True):
        read = _keys(subscription, allow)
        if isinstance(read, FieldProblem):
            problems.append(RowProblem(row=row, problem=read))
        else:
            keys[row] = read
    return rows.with_columns(pl.Series("keys", keys, pl.Binary)), problems


def _keys(row: Row, allow: AllowList) -> bytes | FieldProblem:
    """The keys of a subscription, or what is wrong with them or with its address."""
    decision = decide(str(row["token"]), allow)
    if isinstance(decision, Refused):
        return _field("token", "endpoint_forbidden", decision.detail)
    try:
        read = SubscriptionKeys.parse(str(row["p256dh"]), str(row["auth"]))
    except WebPushError as error:
        column = "auth" if str(error).startswith("auth") else "p256dh"
        return _field(column, "keys_invalid", str(error))
    return read.p256dh + read.auth


def _of_nobody(rows: pl.DataFrame, index: Int64s) -> list[RowProblem]:
    """What is said about a person needs a person who is named by an external id."""
    problems: list[RowProblem] = []
    for name in _OF_PEOPLE:
        if rows[name].null_count() == rows.height:
            continue
        orphans = rows[name].is_not_null() & rows["external_id"].is_null()
        problems += [
            RowProblem(row=int(index[row]), problem=_orphan(name))
            for row in orphans.arg_true().to_list()
        ]
    return problems


def _orphan(name: str) -> FieldProblem:
    detail = "only a user named by an external id is described along with a device"
    return _field(name, "field_unknown", detail)


def _field(column: str, code: str, detail: str) -> FieldProblem:
    return FieldProblem(path=POINTERS.get(column, f"/{column}"), code=code, detail=detail)


def _problem(row: int, column: str, code: str, detail: str) -> RowProblem:
    return RowProblem(row=row, problem=_field(column, code, detail))


def _too_large(row: int) -> RowProblem:
    detail = (
        f"with those already known there would be more than {MAX_ATTRIBUTES} attributes or "
        f"{MAX_TOTAL_OCTETS} octets of them; all else of the row was stored"
    )
    return _problem(row, "attributes", "attributes_too_large", detail)


def _taken(row: int) -> RowProblem:
    detail = "another user has one of these aliases; all else of the row was stored"
    return _problem(row, "aliases", "alias_taken", detail)


def _too_many(row: int) -> RowProblem:
    detail = (
        f"the device moved, but whoever had it stays anonymous: more than {MERGES_A_DAY} people "
        "in a day would have turned out to be this one, or their devices are too many for one user"
    )
    return _problem(row, "external_id", "merge_limit", detail)


def _crowded(judged: Judged, rows: Sequence[int]) -> list[RowProblem]:
    """Told of the name by which the row gives somebody the device."""
    if not rows:
        return []
    given = judged.rows
    names = (
        given["external_id"].to_list()
        if isinstance(given, pl.DataFrame)
        else [row.get("external_id") for row in given]
    )
    detail = "the user has as many devices as one may have (api.devices_per_user)"
    return [
        _problem(
            int(judged.index[row]),
            "user" if names[row] is None else "external_id",
            "devices_limit",
            detail,
        )
        for row in rows
    ]


def _unknown(row: int) -> RowProblem:
    return _problem(row, "user", "user_unknown", "the app has no user of that id")
