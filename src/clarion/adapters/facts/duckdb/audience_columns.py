"""Columns of the audience in which most apps say nothing: neither read nor sent then.

Whether an app says anything in a column is asked of the tables' own minima and maxima, which are
kept for every row group: a column of nothing but its default is not read for that, and any other
is read up to the first row that says something.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import duckdb

from clarion.adapters.facts.duckdb.store import FactsStore

AUDIENCE_TURN: Final = "audience"
"""The watermark that is another after every change of the audience."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Column:
    """A column of a scan."""

    source: str
    """Its name in the tables."""
    sides: str
    """Where it is: "d" of the device, "u" of the person, "du" the device's before the person's."""
    kind: str | None = None
    """The type of a number; None for what is null where nothing is said."""

    def says(self) -> str:
        """The rows that say something."""
        if self.kind is None:
            return f"{self.source} is not null"
        return self.source if self.kind == "boolean" else f"{self.source} <> 0"

    def sql(self, sides: str) -> str:
        """The value, from the sides that say anything."""
        held = ", ".join(f"{side}.{self.source}" for side in sides)
        if self.kind is None:
            return held if len(sides) == 1 else f"coalesce({held})"
        if self.kind == "boolean":
            return f"coalesce({held}, false)"
        return f"coalesce({held}, 0)::{self.kind}"


_COLUMNS: Final[Mapping[str, _Column]] = {
    "environment": _Column(source="environment", sides="d", kind="utinyint"),
    "dead": _Column(source="dead", sides="d", kind="boolean"),
    "device_opted_out": _Column(source="opted_out", sides="d", kind="boolean"),
    "user_opted_out": _Column(source="opted_out", sides="u", kind="boolean"),
    "keys": _Column(source="keys", sides="d"),
    "language": _Column(source="language", sides="du"),
    "time_zone": _Column(source="time_zone", sides="du"),
    "country": _Column(source="country", sides="du"),
    **{
        name: _Column(source=name, sides="u", kind="ubigint")
        for name in ("granted", "denied", "daily", "weekly")
    },
    "paused_until_us": _Column(source="paused_until_us", sides="u", kind="bigint"),
    "quiet_hours": _Column(source="quiet_hours", sides="u"),
    "suppressed": _Column(source="suppressed", sides="u", kind="boolean"),
    "permission": _Column(source="permission", sides="d", kind="utinyint"),
}
_ZONE_SOURCE: Final = {"d": "d.time_zone is not null", "u": "u.time_zone is not null"}
_ALWAYS: Final = (
    "coalesce(d.id, 0) as device",
    'u.id as "user"',
    "coalesce(d.network, 0)::utinyint as network",
    "coalesce(d.registered_us, 0) as registered_us",
)

Said = Mapping[str, str]
"""Column -> the sides that say something in it. A column that is not there says nothing."""


_TABLES: Final = {"d": "device", "u": "users"}
_ASKED: Final = tuple((name, side) for name, column in _COLUMNS.items() for side in column.sides)
_ASK: Final = " union all ".join(
    f"(select {place} from {_TABLES[side]} where app = $app and {_COLUMNS[name].says()} limit 1)"  # noqa: S608  # our own names
    for place, (name, side) in enumerate(_ASKED)
)


def turn_of(cursor: duckdb.DuckDBPyConnection) -> str | None:
    """The version of the audience in the cursor's transaction; None: nothing tells it.

    What is remembered of a version is of the rows that a transaction with that version sees: the
    watermark is written in the transaction that changes them.
    """
    rows = cursor.execute("select value from watermark where name = ?", [AUDIENCE_TURN]).fetchall()
    return str(rows[0][0]) if rows else None


def said_by(
    store: FactsStore, cursor: duckdb.DuckDBPyConnection, app: int, turn: str | None
) -> Said:
    """Where an app says something, as of the cursor's transaction; asked once a version."""
    if turn is not None and (kept := store.said.get(app)) is not None and kept[0] == turn:
        return kept[1]
    said: dict[str, str] = {}
    for place in sorted(place for (place,) in cursor.execute(_ASK, {"app": app}).fetchall()):
        name, side = _ASKED[place]
        said[name] = said.get(name, "") + side
    if turn is not None:
        store.said[app] = turn, said
    return said


def selected(said: Said) -> str:
    """What a scan selects, from `d` and `u`: columns in which something is said.

    The token is the text that it is here; see `audience_queries`.
    """
    token = "case when d.dead then null else d.token end" if "dead" in said else "d.token"
    columns = [*_ALWAYS, f"{token} as token"]
    columns += [f"{_COLUMNS[name].sql(sides)} as {name}" for name, sides in said.items()]
    if sides := said.get("time_zone"):
        whose = " ".join(
            f"when {_ZONE_SOURCE[side]} then {number}"
            for number, side in ((1, "d"), (2, "u"))
            if side in sides
        )
        columns.append(f"case {whose} else 0 end::utinyint as zone_source")
    return ", ".join(columns)
