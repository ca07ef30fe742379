"""From names (external ids, aliases, device ids) to rows of devices, many messages at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import polars as pl

from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId
from clarion.ports.audience import AUDIENCE_SCHEMA
from clarion.ports.messages import Target

_SCHEMA = pl.Schema([("ix", pl.Int32), ("n", pl.Int32), *AUDIENCE_SCHEMA.items()])


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedGroup:
    """Rows of several targets; column `ix` says whose, each device once per target."""

    xid: int
    rows: pl.DataFrame
    unknown: Sequence[Sequence[str]]
    """Per target, the names that are not there."""


class _Names:
    """The arrays that the statement unnests, and what each name was called in the request."""

    def __init__(self, targets: Sequence[tuple[AppId, Target]]) -> None:
        self.users: tuple[list[int], list[int], list[int], list[str]] = ([], [], [], [])
        self.aliases: tuple[list[int], list[int], list[int], list[str], list[str]]
        self.aliases = ([], [], [], [], [])
        self.devices: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
        self.called: list[list[str]] = []
        for ix, (app, target) in enumerate(targets):
            self.called.append(self._add(ix, app, target))

    def _add(self, ix: int, app: AppId, target: Target) -> list[str]:
        called: list[str] = []
        for external_id in target.users:
            _append(self.users, (ix, len(called), app, external_id))
            called.append(external_id)
        for label, value in target.aliases:
            _append(self.aliases, (ix, len(called), app, label, value))
            called.append(f"{label}:{value}")
        for device in target.devices:
            _append(self.devices, (ix, len(called), app, device))
            called.append(str(device))
        return called


def _append(columns: Sequence[list[int] | list[str]], row: Sequence[int | str]) -> None:
    for column, value in zip(columns, row, strict=True):
        column.append(value)  # type: ignore[arg-type]  # columns and row agree by position


async def resolve(
    connection: asyncpg.Connection, targets: Sequence[tuple[AppId, Target]]
) -> ResolvedGroup:
    """The devices of several targets in one statement and one snapshot."""
    names = _Names(targets)
    records = await connection.fetch(
        statements("resolve")["resolve"], *names.users, *names.aliases, *names.devices
    )
    found = {(record["ix"], record["n"]) for record in records}
    unknown = [
        [name for n, name in enumerate(called) if (ix, n) not in found]
        for ix, called in enumerate(names.called)
    ]
    columns = {name: [record[name] for record in records] for name in _SCHEMA}
    rows = pl.DataFrame(columns, schema=_SCHEMA)
    if len(rows) > 1:
        rows = rows.unique(["ix", "user", "device"], keep="first", maintain_order=True)
    xid = records[0]["xid"] if records else 0
    return ResolvedGroup(xid=xid, rows=rows.drop("n"), unknown=unknown)
