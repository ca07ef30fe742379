"""The DuckDB file: opening it, its version, and its watermarks."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Final

import duckdb

SCHEMA_VERSION: Final = 1
_HOLDER = re.compile(r"PID (\d+)")


class FactsFileError(Exception):
    """The facts file can't be used; the sentence says what to do."""


class FactsStore:
    """The open file. One connection; each thread takes its own cursor."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one thread: its transactions are its own."""
        return self._connection.cursor()

    def watermark(self, name: str) -> int:
        """Where a feed stands; 0 before its first row."""
        row = self.cursor().execute("select value from watermark where name = ?", [name]).fetchone()
        return 0 if row is None else int(row[0])

    def close(self) -> None:
        """Write everything into the file and let it go."""
        self._connection.close()


def set_watermark(cursor: duckdb.DuckDBPyConnection, name: str, value: int) -> None:
    """Move a feed's watermark, within the caller's transaction."""
    cursor.execute("delete from watermark where name = ?", [name])
    cursor.execute("insert into watermark values (?, ?)", [name, value])


def open_store(path: Path, *, memory_mib: int, threads: int) -> FactsStore:
    """Open the file, or make it.

    Raises:
        FactsFileError: another process holds it, it was written by a newer version, or it is
            damaged.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{memory_mib}MiB",
        "threads": threads,
        "preserve_insertion_order": False,
        "temp_directory": str(path.with_suffix(".tmp")),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        connection = duckdb.connect(str(path), config=config)
    except duckdb.IOException as error:
        raise FactsFileError(_held(path, str(error))) from error
    except duckdb.Error as error:
        raise FactsFileError(
            f"{path} can't be opened ({error}); move it away: facts that were not exported are "
            "lost then, the audience is rebuilt from the state store"
        ) from error
    connection.execute("set timezone = 'UTC'")
    store = FactsStore(connection)
    _check_version(store, path)
    return store


def _held(path: Path, words: str) -> str:
    holder = _HOLDER.search(words)
    if holder is None:
        return f"{path} can't be opened: {words}"
    return (
        f"{path} is held by process {holder[1]}: one process owns the facts; "
        "stop it, or ask it over its socket"
    )


def _check_version(store: FactsStore, path: Path) -> None:
    cursor = store.cursor()
    made = cursor.execute(
        "select count(*) from information_schema.tables where table_name = 'watermark'"
    ).fetchone()
    if made == (0,):
        text = files("clarion.adapters.facts.duckdb").joinpath("schema.sql").read_text("utf-8")
        cursor.begin()
        cursor.execute(text)
        set_watermark(cursor, "schema", SCHEMA_VERSION)
        cursor.commit()
        return
    version = store.watermark("schema")
    if version > SCHEMA_VERSION:
        raise FactsFileError(
            f"{path} has schema {version}, this Clarion knows {SCHEMA_VERSION}: "
            "it was written by a newer version; upgrade, or point data.dir elsewhere"
        )
