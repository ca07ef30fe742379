"""Takes recorded decisions into the columns, within the transaction of a page of chunks."""

from collections.abc import Sequence
from typing import Final

import asyncpg
import duckdb
import numpy as np
import numpy.typing as npt
import orjson

from clarion.adapters.facts.duckdb.halves import halves
from clarion.domain.decided import unpacked
from clarion.domain.decision_row import DECISION_ROW

_PLAIN: Final = tuple(name for name in DECISION_ROW.names or () if name not in {"user", "counters"})
_NAMES: Final = ("app", "message_high", "message_low", "user_id", "counters", "meta", *_PLAIN)
_INSERT: Final = f"insert into decision by name select {', '.join(_NAMES)} from decided"  # noqa: S608  # our own names


def append_decisions(cursor: duckdb.DuckDBPyConnection, chunks: Sequence[asyncpg.Record]) -> None:
    """Append chunks of kind `DECIDED`."""
    if not chunks:
        return
    parts = [unpacked(chunk["rows"]) for chunk in chunks]
    lengths = [len(part) for part in parts]
    rows = np.concatenate(parts)
    runs = [run for chunk in chunks for run in orjson.loads(chunk["meta"])["runs"]]
    messages = [message for chunk in chunks for message in chunk["message_ids"]]
    pairs = np.array([halves(message) for message in messages], np.uint64)
    columns: dict[str, npt.NDArray[np.generic]] = {
        name: np.ascontiguousarray(rows[name]) for name in _PLAIN
    }
    columns["app"] = np.repeat(np.array([c["app_id"] for c in chunks], np.int32), lengths)
    columns["message_high"] = np.repeat(pairs[:, 0], runs)
    columns["message_low"] = np.repeat(pairs[:, 1], runs)
    columns["meta"] = np.repeat(np.array([c["id"] for c in chunks], np.uint64), lengths)
    columns["user_id"] = np.ascontiguousarray(rows["user"])
    columns["counters"] = np.ascontiguousarray(rows["counters"]).view("<u4").reshape(-1)
    cursor.register("decided", columns)
    cursor.execute(_INSERT)
    cursor.unregister("decided")
    cursor.execute(
        "insert into decision_meta select unnest(?::ubigint[]), unnest(?::varchar[])",
        [[chunk["id"] for chunk in chunks], [chunk["meta"] for chunk in chunks]],
    )
