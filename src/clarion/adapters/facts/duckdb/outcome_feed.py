"""Takes recorded chunks into the columns: many chunks at once, numbers all the way."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import asyncpg
import duckdb
import numpy as np
import numpy.typing as npt
import orjson

from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, set_watermark
from clarion.domain.handoffs import OUTCOME_ROW

CHUNKS: Final = 1000
"""Chunks of one page: up to 500,000 outcomes."""

_INSERT = """
insert into outcome
select app, message_high, message_low, device, "user", at_us, reason, status, outcome, network,
       attempt, verdict, note
from columns
"""


class OutcomeFeed:
    """Reads pages of chunks in the event loop, appends them in a thread."""

    def __init__(self, store: FactsStore) -> None:
        self._store = store
        self._place = (store.watermark("chunk_xid"), store.watermark("chunk_id"))

    async def read_page(
        self, connection: asyncpg.Connection, horizon: int
    ) -> Sequence[asyncpg.Record]:
        """The next chunks in order of (transaction, id)."""
        xid, number = self._place
        records: Sequence[asyncpg.Record] = await connection.fetch(
            FEED["chunks"], str(xid), number, str(horizon), CHUNKS
        )
        return records

    def append(self, chunks: Sequence[asyncpg.Record]) -> bool:
        """Append a page and move the watermark, in one transaction; True when it was full."""
        columns = _columns(chunks)
        place = (int(chunks[-1]["xid"]), int(chunks[-1]["id"]))
        cursor = self._store.cursor()
        cursor.begin()
        try:
            if len(columns["device"]):
                cursor.register("columns", columns)
                cursor.execute(_INSERT)
                cursor.unregister("columns")
            _append_words(cursor, chunks)
            set_watermark(cursor, "chunk_xid", place[0])
            set_watermark(cursor, "chunk_id", place[1])
            cursor.commit()
        except BaseException:
            cursor.rollback()
            raise
        self._place = place
        return len(chunks) >= CHUNKS

    async def drop_old(
        self, connection: asyncpg.Connection, before: datetime, *, at_once: int
    ) -> None:
        """Delete chunks that were taken in long ago from the state store."""
        await connection.execute(FEED["drop_chunks"], str(self._place[0]), before, at_once)


def _columns(chunks: Sequence[asyncpg.Record]) -> dict[str, npt.NDArray[np.generic]]:
    """The rows of many chunks as columns."""
    rows = np.frombuffer(b"".join(chunk["rows"] for chunk in chunks), OUTCOME_ROW)
    lengths = [len(chunk["rows"]) // OUTCOME_ROW.itemsize for chunk in chunks]
    high, low = _message_halves(chunks, rows, lengths)
    base = np.repeat(np.array([chunk["id"] << 16 for chunk in chunks], np.uint64), lengths)
    note = rows["note"].astype(np.uint64)
    columns: dict[str, npt.NDArray[np.generic]] = {
        name: np.ascontiguousarray(rows[name])
        for name in (
            "device",
            "user",
            "at_us",
            "reason",
            "status",
            "outcome",
            "network",
            "attempt",
            "verdict",
        )
    }
    columns["app"] = np.repeat(np.array([c["app_id"] for c in chunks], np.int32), lengths)
    columns["message_high"] = high
    columns["message_low"] = low
    columns["note"] = np.where(note > 0, base + note, np.uint64(0))
    return columns


def halves(message: str) -> tuple[int, int]:
    """A UUID as the two numbers that its columns hold."""
    value = UUID(message).int
    return value >> 64, value & 0xFFFF_FFFF_FFFF_FFFF


def _message_halves(
    chunks: Sequence[asyncpg.Record], rows: npt.NDArray[np.void], lengths: Sequence[int]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Per row, the message's two halves: each chunk's messages stand in one long table."""
    table: list[tuple[int, int]] = []
    first: list[int] = []
    known: dict[str, tuple[int, int]] = {}
    for chunk in chunks:
        first.append(len(table))
        for message in chunk["message_ids"]:
            pair = known.get(message)
            if pair is None:
                pair = known[message] = halves(message)
            table.append(pair)
    both = np.array(table, np.uint64).reshape(-1, 2)
    at = np.repeat(np.array(first, np.int64), lengths) + rows["message"]
    return both[at, 0], both[at, 1]


def _append_words(cursor: duckdb.DuckDBPyConnection, chunks: Sequence[asyncpg.Record]) -> None:
    """What only a few rows have: the networks' words and ids."""
    notes = [
        ((chunk["id"] << 16) + place + 1, words)
        for chunk in chunks
        for place, words in enumerate(chunk["notes"])
    ]
    if notes:
        cursor.execute(
            "insert into note select unnest(?::ubigint[]), unnest(?::varchar[])",
            [[n for n, _ in notes], [words for _, words in notes]],
        )
    named = [row for chunk in chunks if chunk["provider_ids"] for row in _named(chunk)]
    if named:
        columns = [list(column) for column in zip(*named, strict=True)]
        cursor.execute(
            "insert into provider_id select unnest(?::ubigint[]), unnest(?::ubigint[]), "
            "unnest(?::bigint[]), unnest(?::utinyint[]), unnest(?::varchar[])",
            columns,
        )


def _named(chunk: asyncpg.Record) -> list[tuple[int, int, int, int, str]]:
    rows = np.frombuffer(chunk["rows"], OUTCOME_ROW)
    named = []
    for place, name in orjson.loads(chunk["provider_ids"]).items():
        row = rows[int(place)]
        high, low = halves(chunk["message_ids"][int(row["message"])])
        named.append((high, low, int(row["device"]), int(row["attempt"]), name))
    return named
