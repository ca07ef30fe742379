"""From names (external ids, aliases, device ids) to rows of devices, many messages at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import numpy as np
import polars as pl

from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId
from clarion.ports.audience import REACH_SCHEMA
from clarion.ports.journal import NamedRows
from clarion.ports.messages import Target


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedGroup:
    """Rows of several targets, each device once per target."""

    xid: int
    rows: NamedRows
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
    return ResolvedGroup(
        xid=records[0]["xid"] if records else 0, rows=_columns(records), unknown=unknown
    )


def _columns(records: Sequence[asyncpg.Record]) -> NamedRows:
    """The rows as columns; who was named twice for one message is there once."""
    once = list({(r["ix"], r["user"], r["device"]): r for r in reversed(records)}.values())
    once.reverse()
    return NamedRows(
        ix=np.array([r["ix"] for r in once], np.int64),
        device=np.array([r["device"] for r in once], np.int64),
        user=np.array([r["user"] for r in once], np.int64),
        network=np.array([r["network"] for r in once], np.uint8),
        environment=np.array([r["environment"] for r in once], np.uint8),
        registered_us=np.array([r["registered_us"] for r in once], np.int64),
        dead=np.array([r["dead"] for r in once], np.bool_),
        device_opted_out=np.array([r["device_opted_out"] for r in once], np.bool_),
        user_opted_out=np.array([r["user_opted_out"] for r in once], np.bool_),
        tokens=[r["token"] for r in once],
        keys=[r["keys"] for r in once],
    )


def frame(rows: NamedRows) -> pl.DataFrame:
    """The same rows as a data frame of the audience."""
    return pl.DataFrame(
        {
            "device": rows.device,
            "user": rows.user,
            "network": rows.network,
            "environment": rows.environment,
            "registered_us": rows.registered_us,
            "dead": rows.dead,
            "device_opted_out": rows.device_opted_out,
            "user_opted_out": rows.user_opted_out,
            "token": list(rows.tokens),
            "keys": list(rows.keys),
        },
        schema=REACH_SCHEMA,
    )
