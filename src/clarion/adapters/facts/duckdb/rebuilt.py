"""The tables that a rebuild fills beside those that askers see."""

from typing import Final

import duckdb

FED: Final = frozenset({"users", "device", "list_member", "topic_member"})
"""Tables that follow the state store: what is removed there is removed here by the feed."""
_BESIDE: Final = "_rebuilt"


def rebuilt_name(table: str) -> str:
    """What the table beside one of `FED` is called."""
    return f"{table}{_BESIDE}"


REBUILT: Final = frozenset(rebuilt_name(table) for table in FED)


def make_rebuilt(cursor: duckdb.DuckDBPyConnection) -> None:
    """Make them anew, empty and of the same columns, within the caller's transaction."""
    drop_rebuilt(cursor)
    found = cursor.execute(
        "select table_name, sql from duckdb_tables() "
        "where database_name = current_database() and schema_name = 'main'"
    ).fetchall()
    for name, made in found:
        if name in FED:
            cursor.execute(
                made.replace(f"CREATE TABLE {name}(", f"CREATE TABLE {rebuilt_name(name)}(")
            )


def show_rebuilt(cursor: duckdb.DuckDBPyConnection) -> None:
    """Let them take the place of those that askers see, within the caller's transaction."""
    for name in sorted(FED):
        cursor.execute(f"drop table {name}")
        cursor.execute(f"alter table {rebuilt_name(name)} rename to {name}")


def drop_rebuilt(cursor: duckdb.DuckDBPyConnection) -> None:
    """Forget what a rebuild left that did not come to its end."""
    for name in sorted(REBUILT):
        cursor.execute(f"drop table if exists {name}")
