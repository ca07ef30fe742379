"""Takes recorded decisions in as they come: packed, with whom and what they are about beside."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

import asyncpg
import duckdb
import orjson
import pyarrow as pa

from clarion.adapters.facts.duckdb.halves import halves
from clarion.domain.decided import span

_CHUNKS: Final[Mapping[str, pa.DataType]] = {
    "id": pa.uint64(),
    "app": pa.int32(),
    "first_bucket": pa.uint16(),
    "last_bucket": pa.uint16(),
    "first_user": pa.int64(),
    "last_user": pa.int64(),
    "meta": pa.string(),
    "rows": pa.binary(),
    "at_us": pa.int64(),
}
_RUNS: Final[Mapping[str, pa.DataType]] = {
    "chunk": pa.uint64(),
    "app": pa.int32(),
    "message_high": pa.uint64(),
    "message_low": pa.uint64(),
    "start": pa.uint32(),
    "size": pa.uint32(),
}
_COUNTS: Final[Mapping[str, pa.DataType]] = {
    "app": pa.int32(),
    "message_high": pa.uint64(),
    "message_low": pa.uint64(),
    "action": pa.uint8(),
    "reason": pa.uint16(),
    "network": pa.uint8(),
    "hour": pa.int32(),
    "size": pa.uint32(),
}


def append_decisions(cursor: duckdb.DuckDBPyConnection, chunks: Sequence[asyncpg.Record]) -> None:
    """Append chunks of kind `DECIDED`, within the transaction of a page of chunks."""
    if not chunks:
        return
    parts: list[tuple[object, ...]] = []
    runs: list[tuple[object, ...]] = []
    counts: list[tuple[object, ...]] = []
    for chunk in chunks:
        meta = orjson.loads(chunk["meta"])
        messages = [(chunk["app_id"], *halves(message)) for message in chunk["message_ids"]]
        starts = accumulate(meta["runs"], initial=0)
        for message, start, size in zip(messages, starts, meta.pop("runs"), strict=False):
            runs.append((chunk["id"], *message, start, size))
        counts.extend((*messages[place], *count) for place, *count in meta.pop("counts"))
        about = span(chunk["rows"])
        who = (*about.buckets, *about.users)
        packed = (orjson.dumps(meta), chunk["rows"], chunk["created_us"])
        parts.append((chunk["id"], chunk["app_id"], *who, *packed))
    _append(cursor, "decision_chunk", _CHUNKS, parts)
    _append(cursor, "decision_run", _RUNS, runs)
    _append(cursor, "decision_count", _COUNTS, counts)


def _append(
    cursor: duckdb.DuckDBPyConnection,
    table: str,
    schema: Mapping[str, pa.DataType],
    rows: Sequence[tuple[object, ...]],
) -> None:
    if not rows:
        return
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.values(), strict=True)]
    cursor.register("packed", pa.table(arrays, names=list(schema)))
    cursor.execute(f"insert into {table} by name from packed")
    cursor.unregister("packed")
