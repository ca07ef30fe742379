"""From decisions to batches: one network, one instant and one loudness each."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count, takewhile
from typing import Any

import polars as pl

from clarion.domain.content import Message
from clarion.domain.decision_row import Action, Decisions, Inputs
from clarion.domain.handoffs import Int64s, Lateness, merge_column
from clarion.domain.ids import CredentialId
from clarion.domain.intervals import NEVER
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.domain.lateness import closing, lateness_of
from clarion.domain.network import Network
from clarion.domain.send_time import instant
from clarion.domain.silence import silenced
from clarion.ports.plan_line import ClaimedShard, PlannedBatch
from clarion.stages.planning.writing import Written

BATCH_RECIPIENTS = {lane: 4 * CHUNK_RECIPIENTS[lane] for lane in Lane}
"""A batch is four chunks: small enough to share among senders, large enough to amortise."""

_SENT = ("device", "user", "network", "registered_us", "environment", "token", "keys", "message")


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
    keyed = _sent(written.rows).with_columns(
        pl.Series("run_us", _run_us(said, going)),
        pl.Series("silent", said.silent[going]),
    )
    open_until_us = said.open_until_us[going]
    lateness: Lateness | None = None
    if (open_until_us != NEVER).any():
        columns = (read.zone[going], read.quiet[going])
        lateness, kind = lateness_of(
            claimed.policy, read.zone_names, read.persons, columns, open_until_us
        )
        keyed = keyed.with_columns(
            pl.Series("quiet", kind), pl.Series("open_until_us", open_until_us)
        )
    batches: list[PlannedBatch] = []
    for (code, run_us, silent), part in _kinds(keyed):
        network, run_at = Network(code), instant(run_us) if run_us else None
        size = _size(claimed)
        for start in range(0, len(part), size):
            rows = part.slice(start, size)
            batches.append(
                PlannedBatch(
                    key=f"{claimed.shard.message}:{claimed.shard.low}:{len(batches)}",
                    network=network,
                    credential=credentials[network],
                    planned_xid=xid,
                    rows=rows,
                    lateness=_closing(lateness, rows),
                    run_at=run_at,
                    content=_content(claimed.message, written.variants, silent=silent),
                )
            )
    return batches


def _sent(rows: pl.DataFrame) -> pl.DataFrame:
    """The columns that senders are told.

    What was decided by and what words were made of stays behind, before rows are sorted into kinds.
    """
    merge = takewhile(rows.columns.__contains__, map(merge_column, count()))
    return rows.select(*(name for name in _SENT if name in rows.columns), *merge)


def _kinds(rows: pl.DataFrame) -> Iterable[tuple[tuple[Any, ...], pl.DataFrame]]:
    """The rows of each network, instant and loudness; mostly there is but one of each."""
    names = ("network", "run_us", "silent")
    if all(rows[name].min() == rows[name].max() for name in names):
        return [(rows.select(names).row(0), rows)]
    return rows.partition_by(*names, as_dict=True, maintain_order=True).items()


def _size(claimed: ClaimedShard) -> int:
    """Under a throttle a batch has what may be sent in ten seconds: rates are kept by batches."""
    most = BATCH_RECIPIENTS[claimed.shard.lane]
    return most if claimed.per_minute is None else max(1, min(most, claimed.per_minute // 6))


def _closing(lateness: Lateness | None, rows: pl.DataFrame) -> Lateness | None:
    """The same quiet hours, and when they begin for the first of some rows."""
    if lateness is None:
        return None
    return replace(lateness, open_until=closing(rows["open_until_us"].to_numpy()))


def _content(
    message: Message, variants: Sequence[Message] | None, *, silent: bool
) -> Sequence[Message] | None:
    if not silent:
        return variants
    return [silenced(variant) for variant in variants or (message,)]


def _run_us(said: Decisions, going: Int64s) -> Int64s:
    """When each row is sent, 0 for at once."""
    run_us = said.send_us[going]
    run_us[said.action[going] == Action.SEND] = 0
    return run_us
