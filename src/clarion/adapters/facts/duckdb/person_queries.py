"""All that the facts hold about one person: told, and removed."""

from collections.abc import Mapping, Sequence
from typing import Final

import duckdb

from clarion.adapters.facts.duckdb import decision_queries
from clarion.adapters.facts.duckdb.store import FactsStore

FED: Final = frozenset({"users", "device", "list_member", "topic_member"})
"""Tables that follow the state store: what is removed there is removed here by the feed."""
COUNTED: Final = "outcome"
"""Reports count its rows, so they stay; they are cut loose from the person and the device."""
TRIES: Final = 5


def _tables(cursor: duckdb.DuckDBPyConnection) -> Sequence[str]:
    """Tables whose rows are about a person, whatever a later version adds."""
    rows = cursor.execute(
        "select table_name from information_schema.columns where column_name = 'user_id' "
        "and table_schema = 'main' and table_catalog = current_database() order by table_name"
    ).fetchall()
    return [str(name) for (name,) in rows if name not in FED]


def about(
    store: FactsStore, *, app: int, user: int, limit: int
) -> Mapping[str, Sequence[Mapping[str, object]]]:
    """The newest rows of each kind, as names and values that JSON can say."""
    told: dict[str, Sequence[Mapping[str, object]]] = {}
    with store.reading() as cursor:
        for table in _tables(cursor):
            found = cursor.execute(
                f"from {table} where app = ? and user_id = ? order by at_us desc limit ?",
                [app, user, limit],
            )
            names = [column[0] for column in found.description]
            told[table] = [
                {name: _plain(value) for name, value in zip(names, row, strict=True)}
                for row in found.fetchall()
            ]
        told["decision"] = decision_queries.about(cursor, app=app, user=user, limit=limit)
    return told


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def erase(store: FactsStore, *, app: int, user: int) -> Mapping[str, int]:
    """Remove a person's rows in one transaction; how many there were of each kind.

    Another writer's transaction may have touched the same row group: then it is tried again.
    """
    for _ in range(TRIES - 1):
        try:
            return _erase(store, app, user)
        except duckdb.TransactionException:
            continue
    return _erase(store, app, user)


def _erase(store: FactsStore, app: int, user: int) -> Mapping[str, int]:
    removed: dict[str, int] = {}
    mine = [app, user]
    with store.writing() as cursor:
        named = (
            "(message_high, message_low, device, attempt) in (select message_high, message_low, "
            "device, attempt from outcome where app = ? and user_id = ?)"
        )
        removed["provider_id"] = _rows(cursor, f"delete from provider_id where {named}", mine)  # noqa: S608  # our own text
        removed["note"] = _rows(
            cursor,
            "delete from note where id in "
            "(select note from outcome where app = ? and user_id = ? and note > 0)",
            mine,
        )
        for table in _tables(cursor):
            verb = (
                f"update {table} set user_id = 0, device = 0, note = 0"  # noqa: S608  # our own names
                if table == COUNTED
                else f"delete from {table}"  # noqa: S608  # our own names
            )
            removed[table] = _rows(cursor, f"{verb} where app = ? and user_id = ?", mine)
        removed["decision"] = decision_queries.erase(cursor, app=app, user=user)
    return removed


def _rows(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Sequence[int]) -> int:
    row = cursor.execute(sql, list(parameters)).fetchone()
    return 0 if row is None else int(row[0])
