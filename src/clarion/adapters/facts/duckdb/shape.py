"""The tables of a facts file, brought to what this version knows, or refused.

The number of the schema tells of changes in what rows mean. Which tables and columns there are is
looked at each time, so that a file is right however it came to be: what is missing is added, the
audience is read anew where its columns are others, and nothing that was recorded is guessed at.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

from clarion.ports.store import FactsFileError

AUDIENCE: Final = ("users", "device", "list_member", "topic_member")
"""What is read again from the state store."""
Tables = Mapping[str, Mapping[str, str]]
"""Table -> column -> its type, in order."""

_COLUMNS: Final = """
select c.table_name, c.column_name, c.data_type
from duckdb_columns() c semi join duckdb_tables() t using (table_oid)
where c.database_name = current_database() and c.schema_name = 'main' and not c.internal
order by c.table_name, c.column_index
"""


@cache
def schema_text() -> str:
    """The statements that make an empty file, and leave alone what is there."""
    return files("clarion.adapters.facts.duckdb").joinpath("schema.sql").read_text("utf-8")


def bring_up(cursor: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Give a file the tables and columns that this version works with, in the caller's transaction.

    Raises:
        FactsFileError: a table of facts has other columns.
    """
    with duckdb.connect() as empty:
        empty.execute(schema_text())
        wanted = _tables(empty)
    there = _tables(cursor)
    strange = [
        f"{table}.{column}"
        for table, columns in there.items()
        if table in wanted and table not in AUDIENCE
        for column, kind in columns.items()
        if wanted[table].get(column) != kind
    ]
    if strange:
        raise FactsFileError(
            f"{path} has columns that this Clarion does not know ({', '.join(strange)}): it was "
            f"written by another version. Run that one; or move the file away, with the "
            f"{path.name}.wal beside it, and start again: the audience is rebuilt from the state "
            "store, and so are the outcomes that it still keeps"
        )
    if any(table in there and there[table] != wanted[table] for table in AUDIENCE):
        for table in AUDIENCE:
            cursor.execute(f"drop table if exists {table}")
        cursor.execute("delete from watermark where name = 'registry'")
    for table, columns in there.items():
        for column, kind in wanted.get(table, {}).items() if table not in AUDIENCE else ():
            if column not in columns:
                cursor.execute(f"alter table {table} add column {column} {kind}")
    cursor.execute(schema_text())


def _tables(cursor: duckdb.DuckDBPyConnection) -> Tables:
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in cursor.execute(_COLUMNS).fetchall():
        found.setdefault(table, {})[column] = kind
    return found
