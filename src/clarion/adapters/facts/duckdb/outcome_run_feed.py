"""Takes chunks that are runs in: what happened once, whom it happened to as lists of numbers."""

from collections.abc import Sequence
from typing import Final

import asyncpg
import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from clarion.adapters.facts.duckdb.halves import halves
from clarion.domain.outcome_runs import OFFSET, RUN_HEAD

_SAME: Final = ("at_us", "reason", "status", "outcome", "network", "attempt", "verdict")
"""Columns that are a run's as they are the row's."""


def append_runs(cursor: duckdb.DuckDBPyConnection, chunks: Sequence[asyncpg.Record]) -> None:
    """Append chunks that are runs, within the transaction of a page of chunks."""
    if not chunks:
        return
    blobs = [chunk["rows"] for chunk in chunks]
    heads = np.frombuffer(b"".join(blob[: RUN_HEAD.itemsize] for blob in blobs), RUN_HEAD)
    rows = heads["row"]
    known: dict[str, tuple[int, int]] = {}
    messages = [
        known.get(message) or known.setdefault(message, halves(message))
        for chunk, place in zip(chunks, rows["message"].tolist(), strict=True)
        for message in (chunk["message_ids"][place],)
    ]
    note = rows["note"].astype(np.uint64)
    base = np.array([chunk["id"] << 16 for chunk in chunks], np.uint64)
    devices, users = _lists(blobs, heads["size"])
    columns = {
        "app": pa.array([chunk["app_id"] for chunk in chunks], pa.int32()),
        "message_high": pa.array([high for high, _ in messages], pa.uint64()),
        "message_low": pa.array([low for _, low in messages], pa.uint64()),
        **{name: pa.array(np.ascontiguousarray(rows[name])) for name in _SAME},
        "note": pa.array(np.where(note > 0, base + note, np.uint64(0))),
        "size": pa.array(np.ascontiguousarray(heads["size"])),
        "first_device": pa.array(np.ascontiguousarray(rows["device"])),
        "first_user": pa.array(np.ascontiguousarray(rows["user"])),
        "last_user": pa.array(np.ascontiguousarray(heads["last_user"])),
        "devices": devices,
        "users": users,
    }
    cursor.register("runs", pa.table(columns))
    cursor.execute("insert into outcome_run by name from runs")
    cursor.unregister("runs")


def _lists(
    blobs: Sequence[bytes], sizes: npt.NDArray[np.uint32]
) -> tuple["pa.Array[pa.Scalar[pa.DataType]]", "pa.Array[pa.Scalar[pa.DataType]]"]:
    """The devices and the users of many runs, each run's as one list."""
    ends = pa.array(np.concatenate(([0], np.cumsum(sizes, dtype=np.int64))), pa.int32())
    first, octets = RUN_HEAD.itemsize, (sizes * OFFSET.itemsize).tolist()
    devices = [blob[first : first + width] for blob, width in zip(blobs, octets, strict=True)]
    users = [blob[first + width :] for blob, width in zip(blobs, octets, strict=True)]
    return _list(ends, devices), _list(ends, users)


def _list(ends: pa.Int32Array, parts: Sequence[bytes]) -> "pa.Array[pa.Scalar[pa.DataType]]":
    values = pa.array(np.frombuffer(b"".join(parts), OFFSET), pa.uint32())
    return pa.ListArray.from_arrays(ends, values)
