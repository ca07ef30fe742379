"""From decisions to batches: one network, one instant and one loudness each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, takewhile

import polars as pl

from clarion.domain.content import Message
from clarion.domain.decision_row import Decisions, Inputs
from clarion.domain.handoffs import Int64s, Lateness, merge_column
from clarion.domain.ids import CredentialId
from clarion.domain.intervals import NEVER
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.domain.lateness import closing, lateness_of
from clarion.domain.network import Network
from clarion.domain.send_time import instant
from clarion.domain.silence import silenced
from clarion.ports.plan_line import ClaimedShard, PlannedBatch
from clarion.stages.planning.kinds import kinds_of
from clarion.stages.planning.writing import TOLD, Written

BATCH_RECIPIENTS = {lane: (4 if lane.urgent else 10) * CHUNK_RECIPIENTS[lane] for lane in Lane}
"""A lease costs as much as a chunk, so a campaign's batch is ten of them: few enough to share a
shard among senders. Urgent batches are shared sooner."""


def cut(
    claimed: ClaimedShard,
    written: Written,
    read: Inputs,
    said: Decisions,
    credentials: Mapping[Network, CredentialId],
    xid: int,
) -> list[PlannedBatch]:
    """The batches of those who are sent to, now or later."""
    going = written.place
    if not len(going):
        return []
    rows = written.rows
    open_until_us = said.open_until_us[going]
    lateness: Lateness | None = None
    if (open_until_us != NEVER).any():
        columns = (read.zone[going], read.quiet[going])
        lateness, kind = lateness_of(
            claimed.policy, read.zone_names, read.persons, columns, open_until_us
        )
        rows = rows.with_columns(pl.Series("quiet", kind))
    rows = _told(rows)
    batches: list[PlannedBatch] = []
    size = _size(claimed)
    for kind_of in kinds_of(read, said, going):
        content = _content(claimed.message, written.variants, silent=kind_of.silent)
        for start in range(kind_of.low, kind_of.high, size):
            length = min(size, kind_of.high - start)
            batches.append(
                PlannedBatch(
                    key=f"{claimed.shard.message}:{claimed.shard.low}:{len(batches)}",
                    network=kind_of.network,
                    credential=credentials[kind_of.network],
                    planned_xid=xid,
                    rows=rows.slice(start, length),
                    lateness=_closing(lateness, open_until_us[start : start + length]),
                    run_at=instant(kind_of.run_us) if kind_of.run_us else None,
                    content=content,
                )
            )
    return batches


def _told(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns that senders are told, but for the network, which a batch has as a whole.

    Where nobody has keys, there is no column of them.
    """
    merge = takewhile(rows.columns.__contains__, map(merge_column, count()))
    told = (*TOLD, "message", "quiet")
    names = [name for name in told if name in rows.columns and name != "network"]
    if rows["keys"].null_count() == len(rows):
        names.remove("keys")
    return rows.select(*names, *merge).rechunk()


def _size(claimed: ClaimedShard) -> int:
    """Under a throttle a batch has what may be sent in ten seconds: rates are kept by batches."""
    most = BATCH_RECIPIENTS[claimed.shard.lane]
    return most if claimed.per_minute is None else max(1, min(most, claimed.per_minute // 6))


def _closing(lateness: Lateness | None, open_until_us: Int64s) -> Lateness | None:
    """The same quiet hours, and when they begin for the first of some rows."""
    return None if lateness is None else replace(lateness, open_until=closing(open_until_us))


def _content(
    message: Message, variants: Sequence[Message] | None, *, silent: bool
) -> Sequence[Message] | None:
    if not silent:
        return variants
    return [silenced(variant) for variant in variants or (message,)]
