"""One shard: its people are read, decided about in one go, and become what is committed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import cast

import numpy as np
import numpy.ma  # Polars asks for it with the first column: not while people wait
import polars as pl

from clarion.domain.decided import DecidedColumns
from clarion.domain.decision import decide, ledger_of
from clarion.domain.decision_row import (
    Action,
    DecisionColumns,
    Decisions,
    Inputs,
    inputs,
    recorded,
)
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import BatchSent, ChunkKind, Int64s
from clarion.domain.ids import CredentialId, MessageId
from clarion.domain.network import Network
from clarion.domain.policy import to_json
from clarion.domain.segments.checking import SegmentAt
from clarion.domain.segments.json_form import Json, read_json
from clarion.domain.send_time import instant_us
from clarion.domain.suppression import NotThere, OutcomeRows, left_out, unknown
from clarion.ports.audience import AudienceScan
from clarion.ports.digests import Gathered
from clarion.ports.frequency import Eviction, Usage
from clarion.ports.plan_line import ClaimedShard, PlannedBatch, Rulings
from clarion.ports.rendering import PreparedContent
from clarion.stages.planning.batches import cut
from clarion.stages.planning.ports import PlanningPorts
from clarion.stages.planning.writing import write

LOOKS_BACK = timedelta(days=32)
"""Past the longest window of any cap, a calendar month among them."""
DECISIONS_PER_CHUNK = 16_384


@dataclass(kw_only=True, slots=True)
class People:
    """Who is in a shard."""

    rows: pl.DataFrame
    xid: int
    unknown: Sequence[NotThere] = ()
    of_country: Mapping[str, str] = field(default_factory=dict)
    """Country -> time zone, for those of whom only the country is known."""
    segments: Mapping[str, int] = field(default_factory=dict)
    """The version of each segment by which they were chosen."""


@dataclass(kw_only=True, slots=True)
class ShardPlan:
    """What a shard comes to."""

    batches: list[PlannedBatch] = field(default_factory=list)
    skipped: list[BatchSent] = field(default_factory=list)
    rulings: Rulings = field(default_factory=Rulings)


def unread(of_country: Mapping[str, str]) -> tuple[str, ...]:
    """Columns of the audience that are of no use: a country is asked for no more than its zone."""
    return () if of_country else ("country",)


async def people_of(
    ports: PlanningPorts, claimed: ClaimedShard, words: PreparedContent | None = None
) -> People:
    """Read a shard's people: all devices of a person are together, for they are decided about so.

    A shard has some 50,000 people at the most, whatever the size of the audience.
    """
    shard = claimed.shard
    fields = () if words is None else tuple(words.fields)
    if not claimed.target.scanned:
        resolved = await ports.line.resolve(shard.app, claimed.target, fields)
        return People(
            rows=resolved.rows,
            xid=resolved.xid,
            unknown=resolved.unknown,
            of_country=ports.of_country,
        )
    segment = await _segment(ports, claimed)
    scan = AudienceScan(
        app=shard.app,
        low=shard.low,
        high=shard.high,
        at_least_xid=claimed.at_least_xid,
        segment=segment,
        fields=fields,
        unread=(*unread(ports.of_country), *(() if words is not None else ("language",))),
    )
    pieces, xid = [], 0
    async for piece in ports.audience.scan(scan):
        pieces.append(piece.rows)
        xid = piece.xid
    return People(
        rows=pl.concat(pieces),
        xid=xid,
        of_country=ports.of_country,
        segments={} if segment is None else segment.versions,
    )


async def _segment(ports: PlanningPorts, claimed: ClaimedShard) -> SegmentAt | None:
    """Who is meant, with the segments and lists that are named as they are now."""
    form = claimed.target.segment
    if form is None:
        return None
    wanted = read_json(cast("Json", form)).expression
    return await ports.segments.resolve(claimed.shard.app, wanted, claimed.started_at)


async def usage_of(ports: PlanningPorts, claimed: ClaimedShard, now: datetime) -> Usage | None:
    """What caps have to count; None where no cap binds the message."""
    if not claimed.policy.binding_caps:
        return None
    shard = claimed.shard
    return await ports.frequency.read(shard.app, (shard.low, shard.high), now - LOOKS_BACK)


def plan_shard(
    claimed: ClaimedShard,
    people: People,
    usage: Usage | None,
    credentials: Mapping[Network, CredentialId],
    now: datetime,
    words: PreparedContent | None = None,
) -> ShardPlan:
    """Decide about all people of a shard, and make what follows of it."""
    plan = ShardPlan()
    if people.unknown:
        names = people.unknown
        told = [one.name for one in names]
        plan.skipped.append(_skips(claimed, unknown(names, now), told))
    rows = _by_person(people.rows)
    if not len(rows):
        return plan
    now_us = instant_us(now)
    read = inputs(
        rows,
        claimed.policy,
        targeted=claimed.target.networks,
        able=tuple(credentials),
        of_country=people.of_country,
    )
    ledger = Ledger.empty() if usage is None else usage.ledger
    said = decide(read, claimed.policy, now_us=now_us, usage=ledger)
    written = write(rows, read, said, words, now, begun=claimed.begun)
    stays = np.flatnonzero((said.action == Action.SKIP) | (said.action == Action.DIGEST))
    if len(stays):
        facts = left_out(
            read.device[stays], read.user[stays], read.network[stays], said.reason[stays], now
        )
        plan.skipped.append(_skips(claimed, facts))
    plan.batches = cut(claimed, written, read, said, credentials, people.xid)
    plan.rulings = Rulings(
        decided=[
            replace(one, segments=people.segments)
            for one in _decided(claimed, recorded(read, said, now_us, written.variant), read, words)
        ],
        sent=ledger_of(read, said, claimed.policy) if claimed.counted else None,
        usage=usage,
        gathered=_gathered(read, said),
        evictions=[] if usage is None else _evictions(usage, said.evicted),
    )
    return plan


def _by_person(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in the order of people: what is recorded of them is half as long then."""
    user = rows["user"].to_numpy()
    return rows if (user[1:] >= user[:-1]).all() else rows[np.argsort(user)]


def _skips(
    claimed: ClaimedShard,
    rows: OutcomeRows,
    notes: Sequence[str] = (),
) -> BatchSent:
    return BatchSent(
        app=claimed.shard.app,
        kind=ChunkKind.PLANNED,
        messages=[claimed.shard.message],
        rows=rows,
        notes=notes,
    )


def _decided(
    claimed: ClaimedShard,
    rows: DecisionColumns,
    read: Inputs,
    words: PreparedContent | None,
) -> list[DecidedColumns]:
    policy = to_json(claimed.policy)
    return [
        DecidedColumns(
            app=claimed.shard.app,
            messages=[claimed.shard.message],
            runs=[min(DECISIONS_PER_CHUNK, len(rows) - low)],
            rows=rows.part(low, low + DECISIONS_PER_CHUNK),
            policy=policy,
            zones=read.zone_names,
            persons=read.persons,
            languages=() if words is None else tuple(words.languages),
        )
        for low in range(0, len(rows), DECISIONS_PER_CHUNK)
    ]


def _gathered(read: Inputs, said: Decisions) -> list[Gathered]:
    """Whose part waits for a digest, by when that is due."""
    rows = np.flatnonzero(said.action == Action.DIGEST)
    due_us = said.send_us[rows]
    return [
        Gathered(due_us=due, people=np.unique(read.user[rows[due_us == due]]))
        for due in np.unique(due_us).tolist()
    ]


def _evictions(usage: Usage, places: Int64s) -> list[Eviction]:
    """Who gave way, a message at a time."""
    of = usage.of[places]
    found = []
    for index in np.unique(of).tolist():
        people = np.unique(usage.ledger.user[places[of == index]])
        found.append(Eviction(message=MessageId(usage.messages[index]), people=people))
    return found
