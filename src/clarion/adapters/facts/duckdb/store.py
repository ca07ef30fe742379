"""The DuckDB file: opening it, its version, and its watermarks."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeVar

import duckdb

from clarion.adapters.facts.duckdb.shape import bring_up
from clarion.adapters.facts.duckdb.snapshot import NOTHING, Snapshot
from clarion.ports.store import FactsFileError

SCHEMA_VERSION: Final = 4
"""Rises when rows mean something else; `shape` sees to tables and columns."""
OLDEST_VERSION: Final = 2
"""Files from here on are brought up to date as they are opened."""
TRIES: Final = 5
PARSED_KEPT: Final = 16
PARSED_LONGEST: Final = 16_384
"""Characters; a tree is many times its text."""

Written = TypeVar("Written")

_HOLDER = re.compile(r"PID (\d+)")
_INVALID = re.compile(r"not a valid|checksum|corrupt", re.IGNORECASE)


class FactsStore:
    """The open file. One connection; each thread takes its own cursor."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.said: dict[int, tuple[str, Mapping[str, str]]] = {}
        """What `audience_columns` remembers of each app, and of which version that is."""
        self.texts: tuple[str, frozenset[str]] = ("", frozenset())
        """A version of the audience, and attributes that are nothing but texts in it."""
        self._parsed = lru_cache(maxsize=PARSED_KEPT)(self._parse)

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one thread: its transactions are its own."""
        return self._connection.cursor()

    def parsed(self, sql: str) -> duckdb.Statement:
        """One statement, parsed; kept, unless it is long, for whoever runs it again soon.

        It is the text's alone: tables, versions and values are looked up when it is run.
        """
        return self._parsed(sql) if len(sql) <= PARSED_LONGEST else self._parse(sql)

    def _parse(self, sql: str) -> duckdb.Statement:
        with self.reading() as cursor:
            (statement,) = cursor.extract_statements(sql)
        return statement

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for some statements, closed afterwards."""
        cursor = self.cursor()
        try:
            yield cursor
        finally:
            cursor.close()

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        with self.reading() as cursor:
            cursor.begin()
            try:
                yield cursor
                cursor.commit()
            except BaseException:
                with suppress(duckdb.TransactionException):  # a failed commit has ended it
                    cursor.rollback()
                raise

    def written(self, work: Callable[[duckdb.DuckDBPyConnection], Written]) -> Written:
        """A transaction, tried again where another writer touched the same row groups."""
        for _ in range(TRIES - 1):
            try:
                with self.writing() as cursor:
                    return work(cursor)
            except duckdb.TransactionException:
                continue
        with self.writing() as cursor:
            return work(cursor)

    def watermark(self, name: str) -> str | None:
        """What was noted under a name."""
        with self.reading() as cursor:
            row = cursor.execute("select value from watermark where name = ?", [name]).fetchone()
        return None if row is None else str(row[0])

    def place(self, feed: str) -> Snapshot:
        """Where a feed stands."""
        text = self.watermark(feed)
        return NOTHING if text is None else Snapshot.parse(text)

    def close(self) -> None:
        """Write everything into the file and let it go."""
        self._connection.close()


def set_watermark(cursor: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
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
        "allocator_background_threads": True,  # memory goes back after a burst, not at the next
        "write_buffer_row_group_count": 1,  # five a thread are 250 MiB of devices
        "produce_arrow_string_view": True,  # a text is copied once less on its way to Polars
        "arrow_output_version": "1.4",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        connection = duckdb.connect(str(path), config=config)
    except duckdb.IOException as error:
        raise FactsFileError(_refused(path, error)) from error
    except duckdb.Error as error:
        raise FactsFileError(_damaged(path, error)) from error
    store = FactsStore(connection)
    try:
        connection.execute("set timezone = 'UTC'")
        _check_version(store, path)
    except duckdb.Error as error:
        store.close()
        raise FactsFileError(_damaged(path, error)) from error
    except FactsFileError:
        store.close()
        raise
    return store


def _refused(path: Path, error: duckdb.IOException) -> str:
    words = str(error)
    if holder := _HOLDER.search(words):
        return (
            f"{path} is held by process {holder[1]}: one process owns the facts; "
            "stop it, or ask it over its socket"
        )
    if _INVALID.search(words):
        return _damaged(path, error)
    return f"{path} can't be opened: {_first_line(words)}"


def _damaged(path: Path, error: duckdb.Error) -> str:
    return (
        f"{path} is damaged or no facts file ({_first_line(str(error))}). Move it away, with the "
        f"{path.name}.wal beside it, and start again: the audience is rebuilt from the state "
        "store, and so are the outcomes that it still keeps; older outcomes come from a backup"
    )


def _first_line(words: str) -> str:
    return words.strip().partition("\n")[0]


def _check_version(store: FactsStore, path: Path) -> None:
    with store.reading() as cursor:
        made = cursor.execute("select count(*) from duckdb_tables()").fetchone()
    version = SCHEMA_VERSION if made == (0,) else int(store.watermark("schema") or 0)
    known = f"{path} has schema {version}, this Clarion knows {SCHEMA_VERSION}"
    if version > SCHEMA_VERSION:
        raise FactsFileError(
            f"{known}: it was written by a newer version; run that one, or point data.dir elsewhere"
        )
    if version < OLDEST_VERSION:
        raise FactsFileError(
            f"{known}: it is too old to be brought up to date. Move it away, with the "
            f"{path.name}.wal beside it, and start again: the audience is rebuilt from the state "
            "store, and so are the outcomes that it still keeps"
        )
    with store.writing() as cursor:
        bring_up(cursor, path)
        set_watermark(cursor, "schema", str(SCHEMA_VERSION))
