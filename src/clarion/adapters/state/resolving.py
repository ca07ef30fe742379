"""From names (external ids, aliases, device ids) to rows of devices, many messages at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import asyncpg
import numpy as np
import polars as pl

from clarion.adapters.state.statements import statements
from clarion.domain.ids import AppId
from clarion.domain.outcome import Reason
from clarion.domain.suppression import NotThere
from clarion.ports.audience import AUDIENCE_SCHEMA
from clarion.ports.journal import NamedRows
from clarion.ports.messages import Target


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedGroup:
    """Rows of several targets, each device once per target."""

    xid: int
    rows: NamedRows
    unknown: Sequence[Sequence[NotThere]]
    """Per target, the names that are not there."""


class _Names:
    """The arrays that the statement unnests, and what each name was called in the request."""

    def __init__(self, targets: Sequence[tuple[AppId, Target]]) -> None:
        self.users: tuple[list[int], list[int], list[int], list[str]] = ([], [], [], [])
        self.aliases: tuple[list[int], list[int], list[int], list[str], list[str]]
        self.aliases = ([], [], [], [], [])
        self.devices: tuple[list[int], list[int], list[int], list[int]] = ([], [], [], [])
        self.called: list[list[NotThere]] = []
        """Per target, what each name is called where it is not there."""
        for ix, (app, target) in enumerate(targets):
            self.called.append(self._add(ix, app, target))

    def _add(self, ix: int, app: AppId, target: Target) -> list[NotThere]:
        called: list[NotThere] = []
        for external_id in target.users:
            _append(self.users, (ix, len(called), app, external_id))
            called.append(NotThere(external_id, Reason.USER_UNKNOWN))
        for label, value in target.aliases:
            _append(self.aliases, (ix, len(called), app, label, value))
            called.append(NotThere(f"{label}:{value}", Reason.USER_UNKNOWN))
        for device in target.devices:
            _append(self.devices, (ix, len(called), app, device))
            called.append(NotThere(str(device), Reason.DEVICE_UNKNOWN))
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
    columns = _columns(records)
    found = set(zip(columns["ix"], columns["n"], strict=True))
    unknown = [
        [name for n, name in enumerate(called) if (ix, n) not in found]
        for ix, called in enumerate(names.called)
    ]
    xid = columns["xid"][0] if records else 0
    return ResolvedGroup(xid=xid, rows=_named_rows(columns), unknown=unknown)


def _columns(records: Sequence[asyncpg.Record]) -> dict[str, Sequence[Any]]:
    """The rows turned round; who was named twice for one message differs in `n` only."""
    if not records:
        return dict.fromkeys((*_NUMBERS, *_OTHERS, "n", "xid"), ())
    return dict(zip(records[0].keys(), zip(*records, strict=True), strict=True))


def _named_rows(columns: Mapping[str, Sequence[Any]]) -> NamedRows:
    """The rows as columns; who was named twice for one message is there once."""
    keys = list(zip(columns["ix"], columns["user"], columns["device"], strict=True))
    if len(set(keys)) < len(keys):
        first = {key: at for at, key in reversed(list(enumerate(keys)))}
        rows = sorted(first.values())
        columns = {name: [column[at] for at in rows] for name, column in columns.items()}
    numbers: dict[str, Any] = {
        name: np.array(columns[name], kind) for name, kind in _NUMBERS.items()
    }
    return NamedRows(
        **numbers,
        tokens=list(columns["token"]),
        keys=list(columns["keys"]),
        language=list(columns["language"]),
        time_zone=list(columns["time_zone"]),
        country=list(columns["country"]),
        quiet_hours=list(columns["quiet_hours"]),
    )


_OTHERS: Final = ("token", "keys", "language", "time_zone", "country", "quiet_hours")
_NUMBERS: Final = {
    "ix": np.int64,
    "device": np.int64,
    "user": np.int64,
    "network": np.uint8,
    "environment": np.uint8,
    "registered_us": np.int64,
    "dead": np.bool_,
    "device_opted_out": np.bool_,
    "user_opted_out": np.bool_,
    "zone_source": np.uint8,
    "granted": np.int64,
    "denied": np.int64,
    "daily": np.int64,
    "weekly": np.int64,
    "paused_until_us": np.int64,
    "suppressed": np.bool_,
    "permission": np.uint8,
}


def frame(rows: NamedRows) -> pl.DataFrame:
    """The same rows as a data frame of the audience."""
    columns: dict[str, object] = {
        name: getattr(rows, name) for name in AUDIENCE_SCHEMA if name not in {"token", "keys"}
    }
    return pl.DataFrame(
        {**columns, "token": list(rows.tokens), "keys": list(rows.keys)},
        schema_overrides=AUDIENCE_SCHEMA,
    ).select(list(AUDIENCE_SCHEMA))
