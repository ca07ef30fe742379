"""All that the facts hold about one person: told, and removed."""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import duckdb
import orjson

from clarion.adapters.facts.duckdb import decision_queries
from clarion.adapters.facts.duckdb.rebuilt import FED, REBUILT
from clarion.adapters.facts.duckdb.store import FactsStore

COUNTED: Final = "outcome"
"""Reports count its rows, so they stay; they are cut loose from the person and the device."""
PAGE_ROWS: Final = 1_000

Row = Mapping[str, object]

_OUTCOMES: Final = """
select * exclude (first_user, last_user) from outcome_row
where app = $app and user_id = $user and $user between first_user and last_user
order by at_us
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
    return [str(name) for (name,) in rows if name not in FED | REBUILT]


def about(store: FactsStore, *, app: int, users: Sequence[int]) -> Generator[bytes]:
    """All rows about a person, whose numbers these are: kind by kind, the oldest of a number first.

    A piece is JSON: `kind`, and at most `PAGE_ROWS` of its rows as names and values. Each kind has
    one piece at least.
    """
    with store.reading() as cursor:
        for table in _tables(cursor):
            yield from _pages(table, _rows_of(cursor, table, app, users))
        yield from _pages("decision", decision_queries.about(cursor, app=app, users=users))


def _rows_of(
    cursor: duckdb.DuckDBPyConnection, table: str, app: int, users: Sequence[int]
) -> Iterator[Row]:
    mine = f"from {table} where app = $app and user_id = $user order by at_us"
    for user in users:
        cursor.execute(_OUTCOMES if table == COUNTED else mine, {"app": app, "user": user})
        names = [column[0] for column in cursor.description]
        while rows := cursor.fetchmany(PAGE_ROWS):
            for row in rows:
                yield {name: _plain(value) for name, value in zip(names, row, strict=True)}


def _pages(kind: str, rows: Iterator[Row]) -> Iterator[bytes]:
    page = list(islice(rows, PAGE_ROWS))
    yield orjson.dumps({"kind": kind, "rows": page})
    while page := list(islice(rows, PAGE_ROWS)):
        yield orjson.dumps({"kind": kind, "rows": page})


def _plain(value: object) -> object:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def erase(store: FactsStore, *, app: int, users: Sequence[int]) -> Mapping[str, int]:
    """Remove a person's rows in one transaction; how many there were of each kind."""

    def work(cursor: duckdb.DuckDBPyConnection) -> Mapping[str, int]:
        removed: Counter[str] = Counter()
        for user in users:
            removed.update(_erase(cursor, app, user))
        return removed

    return store.written(work)


def _erase(cursor: duckdb.DuckDBPyConnection, app: int, user: int) -> Mapping[str, int]:
    removed: dict[str, int] = {}
    mine = {"app": app, "user": user}
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
