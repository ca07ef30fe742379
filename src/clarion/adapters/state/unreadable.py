"""Leased batches that this version can't read: set aside, so that the others go on.

A stored message or its recipients may be damaged, or written by a newer version while processes are
being replaced. So such a batch is given back a few times, later and later; then its recipients are
recorded as failed, which is where the operator sees them, and the message can end.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

import asyncpg
import numpy as np
import polars as pl

from clarion.adapters.state.plan_line import chunk_values
from clarion.adapters.state.recipient_columns import decode
from clarion.adapters.state.statements import statements
from clarion.domain.handoffs import OUTCOME_ROW, BatchSent, ChunkKind
from clarion.domain.ids import AppId, MessageId
from clarion.domain.outcome import Outcome, Reason
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

_log = logging.getLogger(__name__)

_SQL = statements("line")
GIVE_UP_CLAIMS: Final = 4
"""Leases after which a batch that nobody could read is recorded as failed..."""
AGAIN_FIRST_S: Final = 5.0
"""...and how long the first of them is apart from the second; it doubles."""
UNREADABLE: Final = (Exception, pl.exceptions.PanicException)
"""Decoding asks nobody and waits for nothing: whatever it raises, the row is the reason."""


async def set_aside(
    connection: asyncpg.Connection, row: asyncpg.Record, now: datetime, error: BaseException
) -> None:
    """Give a leased batch back, or record it as failed when that was done often enough."""
    log(
        _log,
        logging.ERROR,
        LogEvent.BATCH_POISONED,
        batch=row["id"],
        claims=row["claims"],
        left=row["size"] - row["cursor"],
        cause=f"it can't be read: {type(error).__name__}: {error}",
    )
    failed = done = True
    if row["claims"] < GIVE_UP_CLAIMS:
        again = now + timedelta(seconds=AGAIN_FIRST_S * 2 ** (row["claims"] - 1))
        lease = (row["id"], row["fence"])
        await connection.execute(_SQL["release_batch"], *lease, again, failed)
        return
    messages = [MessageId(message) for message in row["message_ids"]]
    rows = _rows(row, now)
    key, app, _, of, _, *words = chunk_values(
        f"{row['id']}:{row['cursor']}",
        BatchSent(app=AppId(row["app_id"]), kind=ChunkKind.SENT, messages=messages, rows=rows),
    )
    await connection.fetchrow(
        _SQL["commit_chunk"],
        row["id"],
        row["fence"],
        row["size"],
        now,
        done,
        key,
        app,
        of,
        rows.tobytes(),  # never a run: `clarion doctor` counts poisoned rows by their octets
        *words,
        now,
        messages,
        [-1] * len(messages),
    )


def _rows(row: asyncpg.Record, now: datetime) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """An outcome for each recipient that is left; nameless where even they can't be read."""
    rows = np.zeros(row["size"] - row["cursor"], OUTCOME_ROW)
    rows["at_us"] = int(now.timestamp() * 1_000_000)
    rows["network"] = row["network"]
    rows["attempt"] = row["attempt"]
    rows["outcome"] = Outcome.FAILED
    rows["reason"] = Reason.BATCH_POISONED
    try:
        recipients = decode(row["recipients"]).rows(row["cursor"], row["size"])
        rows["device"], rows["user"] = recipients.device, recipients.user
        if recipients.message is not None:
            rows["message"] = recipients.message
    except UNREADABLE:
        rows["device"], rows["user"], rows["message"] = 0, 0, 0
    return rows
