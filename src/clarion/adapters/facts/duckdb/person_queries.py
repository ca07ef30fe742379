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

_NEWEST_OUTCOMES: Final = """
select * exclude (first_user, last_user) from outcome_row
where app = $app and user_id = $user and $user between first_user and last_user
order by at_us desc limit $limit
"""
_PROVIDER_IDS: Final = """
delete from provider_id where (message_high, message_low, device, attempt) in (
    select message_high, message_low, device, attempt from outcome_row
    where app = $app and user_id = $user and $user between first_user and last_user
)
"""
_NOTES: Final = """
delete from note where id in (
    select note from outcome where app = $app and user_id = $user and note > 0
)
"""
_IN_RUNS: Final = """
app = $app and $user between first_user and last_user
and list_contains(users, ($user - first_user)::uinteger)
"""
_OUT_OF_RUNS: Final = f"""
insert into outcome by name
select * exclude (size, first_device, first_user, last_user, devices, users, who, note),
       0 as device, 0 as user_id, 0 as note
from (select *, unnest(users) as who from outcome_run where {_IN_RUNS})
where who = ($user - first_user)::uinteger
"""  # noqa: S608  # our own text
_SHORTER_RUNS: Final = f"""
update outcome_run
set devices = list_transform(
        list_filter(list_zip(devices, users), lambda p: p[2] <> ($user - first_user)::uinteger),
        lambda p: p[1]),
    users = list_filter(users, lambda who: who <> ($user - first_user)::uinteger),
    size = len(list_filter(users, lambda who: who <> ($user - first_user)::uinteger))
where {_IN_RUNS}
"""  # noqa: S608  # our own text


def _tables(cursor: duckdb.DuckDBPyConnection) -> Sequence[str]:
    """Tables whose rows are about a person, whatever a later version adds."""
    rows = cursor.execute(
        "select table_name from duckdb_columns() semi join duckdb_tables() using (table_oid) "
        "where column_name = 'user_id' and database_name = current_database() "
        "and schema_name = 'main' order by table_name"
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
                _NEWEST_OUTCOMES
                if table == COUNTED
                else f"from {table} where app = $app and user_id = $user "
                "order by at_us desc limit $limit",
                {"app": app, "user": user, "limit": limit},
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
    mine = {"app": app, "user": user}
    with store.writing() as cursor:
        removed["provider_id"] = _rows(cursor, _PROVIDER_IDS, mine)
        removed["note"] = _rows(cursor, _NOTES, mine)
        for table in _tables(cursor):
            verb = (
                f"update {table} set user_id = 0, device = 0, note = 0"  # noqa: S608  # our own names
                if table == COUNTED
                else f"delete from {table}"  # noqa: S608  # our own names
            )
            removed[table] = _rows(cursor, f"{verb} where app = $app and user_id = $user", mine)
        removed[COUNTED] += _rows(cursor, _OUT_OF_RUNS, mine)
        cursor.execute(_SHORTER_RUNS, mine)
        removed["decision"] = decision_queries.erase(cursor, app=app, user=user)
    return removed


def _rows(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, int]) -> int:
    row = cursor.execute(sql, dict(parameters)).fetchone()
    return 0 if row is None else int(row[0])
