"""Takes recorded chunks into the columns: many chunks at once, numbers all the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final

import asyncpg
import duckdb
import numpy as np
import numpy.typing as npt
import orjson

from clarion.adapters.facts.duckdb.decision_feed import append_decisions
from clarion.adapters.facts.duckdb.halves import halves
from clarion.adapters.facts.duckdb.outcome_run_feed import append_runs
from clarion.adapters.facts.duckdb.snapshot import Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, set_watermark
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.domain.handoffs import OUTCOME_ROW, ChunkKind
from clarion.domain.outcome_runs import is_run, unpacked

CHUNKS: Final = 1024
OCTETS: Final = 6 * 1024 * 1024
"""A page: so many chunks, or so many octets of rows (8 to 36 an outcome)."""

_INSERT = """
insert into outcome
select app, message_high, message_low, device, "user", at_us, reason, status, outcome, network,
       attempt, verdict, note
from columns
"""


@dataclass(kw_only=True)
class OutcomeFeed:
    """Reads pages of chunks in the event loop, appends them in a thread."""

    store: FactsStore
    threads: Threads
    place: Snapshot = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.store.place("outcomes")

    async def follow(self, connection: asyncpg.Connection, now: Snapshot) -> int:
        """Take in what was recorded, within the caller's REPEATABLE READ; how many chunks.

        Each page is a transaction of its own, so a crash repeats and loses nothing.
        """
        taken = 0
        while chunks := await connection.fetch(
            FEED["chunks"], str(self.place.xmin), str(self.place), CHUNKS, OCTETS
        ):
            place = self.place.advanced(now, int(chunks[-1]["xid"]))
            await self.threads.run(partial(self._append, chunks, place))
            self.place = place
            taken += len(chunks)
        return taken

    def _append(self, page: Sequence[asyncpg.Record], place: Snapshot) -> None:
        """Append a page and move the watermark, in one transaction."""
        chunks = [chunk for chunk in page if chunk["kind"] != ChunkKind.DECIDED]
        columns = _columns([chunk for chunk in chunks if not is_run(chunk["rows"])])
        with self.store.writing() as cursor:
            if len(columns["device"]):
                cursor.register("columns", columns)
                cursor.execute(_INSERT)
                cursor.unregister("columns")
            append_runs(cursor, [chunk for chunk in chunks if is_run(chunk["rows"])])
            _append_words(cursor, chunks)
            append_decisions(cursor, [c for c in page if c["kind"] == ChunkKind.DECIDED])
            set_watermark(cursor, "outcomes", str(place))

    async def drop_old(
        self, connection: asyncpg.Connection, before: datetime, *, at_once: int
    ) -> None:
        """Delete chunks that were taken in long ago from the state store."""
        while True:
            tag = await connection.execute(FEED["drop_chunks"], str(self.place), before, at_once)
            if int(tag.rpartition(" ")[2]) < at_once:
                return


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
    rows = unpacked(chunk["rows"])
    named = []
    for place, name in orjson.loads(chunk["provider_ids"]).items():
        row = rows[int(place)]
        high, low = halves(chunk["message_ids"][int(row["message"])])
        named.append((high, low, int(row["device"]), int(row["attempt"]), name))
    return named
