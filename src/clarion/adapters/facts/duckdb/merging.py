"""When DuckDB merges the parts of its tables.

Rows that come in small transactions lie in small parts (row groups). Left to itself, a checkpoint
merges them whenever they add up to a whole one, which rewrites some hundred thousand rows, and all
writers of the table wait for a second. Ours only writes what is new; parts are merged, and the room
of removed rows is used again, in quiet moments.
"""

from contextlib import suppress
from typing import Final

import duckdb

from clarion.adapters.facts.duckdb.store import FactsStore, set_watermark

_MERGES: Final = 100
"""DuckDB's own default."""


def leave_parts(store: FactsStore) -> None:
    """From now on checkpoints merge nothing."""
    with store.reading() as cursor:
        cursor.execute("set global max_vacuum_tasks = 0")


def merge_parts(store: FactsStore) -> None:
    """Merge what is there in parts, and write everything into the file."""
    with store.writing() as cursor:
        set_watermark(cursor, "merge", "")  # a checkpoint with nothing to write looks at nothing
    with store.reading() as cursor:
        cursor.execute(f"set global max_vacuum_tasks = {_MERGES}")
        try:
            with suppress(duckdb.TransactionException):  # somebody writes: another time
                cursor.execute("checkpoint")
        finally:
            cursor.execute("set global max_vacuum_tasks = 0")
