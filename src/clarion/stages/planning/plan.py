"""Hand-off 2 to 3: one shard of a message's audience becomes batches and recorded skips."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import polars as pl

from clarion.domain.eligibility import decide
from clarion.domain.handoffs import BatchSent, ChunkKind
from clarion.domain.ids import CredentialId
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.suppression import OutcomeRows, suppressed, unknown
from clarion.ports.audience import Audience, AudienceScan, AudienceUnavailableError
from clarion.ports.line import ClaimedShard, PlanLine, PlannedBatch, ShardUnreadableError
from clarion.ports.messages import StoreUnavailableError
from clarion.ports.system import Clock
from clarion.telemetry.logs import log
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import LogEvent, Metric

BATCH_RECIPIENTS = {lane: 4 * CHUNK_RECIPIENTS[lane] for lane in Lane}
"""A batch is four chunks: small enough to share among senders, large enough to amortise."""

PLAN_LEASE_S = 60.0
RENEW_EVERY_S = 15.0
AUDIENCE_AGAIN_S = 1.0
AGAIN_FIRST_S = 5.0
AGAIN_LONGEST_S = 300.0

_log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class _Plan:
    """What a shard has come to so far."""

    claimed: ClaimedShard
    credentials: Mapping[Network, CredentialId]
    now: datetime
    batches: list[PlannedBatch] = field(default_factory=list)
    skipped: list[BatchSent] = field(default_factory=list)

    def add(self, rows: pl.DataFrame, xid: int) -> None:
        """Decide about some rows."""
        reason = decide(
            rows, targeted=self.claimed.target.networks, sendable=tuple(self.credentials)
        )
        sending = reason == int(Reason.ACCEPTED)
        chosen = rows
        if not sending.all():
            chosen = rows.filter(sending)
            left = rows.filter(~sending)
            facts = suppressed(
                left["device"].to_numpy(),
                left["user"].to_numpy(),
                left["network"].to_numpy(),
                reason[~sending],
                self.now,
            )
            self.skipped.append(_skips(self.claimed, facts))
        for (network,), part in chosen.partition_by("network", as_dict=True).items():
            self._cut(Network(network), part, xid)

    def _cut(self, network: Network, part: pl.DataFrame, xid: int) -> None:
        shard = self.claimed.shard
        size = BATCH_RECIPIENTS[shard.lane]
        for start in range(0, len(part), size):
            self.batches.append(
                PlannedBatch(
                    key=f"{shard.message}:{shard.low}:{len(self.batches)}",
                    network=network,
                    credential=self.credentials[network],
                    planned_xid=xid,
                    rows=part.slice(start, size),
                )
            )


def _skips(claimed: ClaimedShard, rows: OutcomeRows, notes: Sequence[str] = ()) -> BatchSent:
    return BatchSent(
        app=claimed.shard.app,
        kind=ChunkKind.PLANNED,
        messages=[claimed.shard.message],
        rows=rows,
        notes=notes,
    )


async def _pieces(
    line: PlanLine, audience: Audience, claimed: ClaimedShard, plan: _Plan
) -> AsyncIterator[tuple[pl.DataFrame, int]]:
    shard = claimed.shard
    if claimed.target.everybody:
        scan = AudienceScan(
            app=shard.app, low=shard.low, high=shard.high, at_least_xid=claimed.at_least_xid
        )
        async for piece in audience.scan(scan):
            yield piece.rows, piece.xid
        return
    resolved = await line.resolve(shard.app, claimed.target)
    if resolved.unknown:
        names = resolved.unknown
        plan.skipped.append(_skips(claimed, unknown(len(names), plan.now), names))
    yield resolved.rows, resolved.xid


async def plan_next(
    line: PlanLine,
    audience: Audience,
    clock: Clock,
    owner: str,
    metrics: Metrics,
    *,
    named: bool | None = None,
) -> bool:
    """Plan one shard, if one is ready; `named` chooses the kind, as in the port.

    A crash at any point leaves the shard leased and nothing recorded; the next owner plans it
    again from the start and makes the same keys.
    """
    try:
        claimed = await line.claim_shard(owner, clock.now(), PLAN_LEASE_S, named=named)
    except ShardUnreadableError as error:
        metrics.add(Metric.SHARDS_POISONED)
        log(
            _log,
            logging.ERROR,
            LogEvent.SHARD_POISONED,
            message=error.message,
            low=error.low,
            cause=str(error),
            advice="start the newer Clarion that accepted it; or cancel the message",
        )
        return True
    if claimed is None:
        return False
    try:
        await _plan_leased(line, audience, clock, claimed, metrics)
    except StoreUnavailableError:
        raise  # the loop waits for the store, and gives the lease back then
    except AudienceUnavailableError as error:
        log(
            _log,
            logging.WARNING,
            LogEvent.FACTS_UNAVAILABLE,
            cause=str(error),
            waits=claimed.shard.message,
            low=claimed.shard.low,
        )
        await _postpone(line, claimed, clock, AUDIENCE_AGAIN_S, str(error))
    except Exception as error:  # noqa: BLE001  # the edge of the process
        # A bug, or a message that can't be planned: it comes again, and others go first.
        metrics.add(Metric.HANDLER_FAILURES, "planning")
        log(
            _log,
            logging.ERROR,
            LogEvent.HANDLER_FAILED,
            error=error,
            message=claimed.shard.message,
            claims=claimed.claims,
        )
        wait = min(AGAIN_LONGEST_S, AGAIN_FIRST_S * 2 ** min(claimed.claims - 1, 16))
        await _postpone(line, claimed, clock, wait, f"{type(error).__name__}: {error}")
    return True


async def _postpone(
    line: PlanLine, claimed: ClaimedShard, clock: Clock, wait_s: float, why: str
) -> None:
    now = clock.now()
    await line.postpone(claimed, now + timedelta(seconds=wait_s), now, why=why)


async def _plan_leased(
    line: PlanLine, audience: Audience, clock: Clock, claimed: ClaimedShard, metrics: Metrics
) -> None:
    """Plan a shard, and keep its lease for as long as that takes."""
    keeping = asyncio.create_task(_keep_lease(line, clock, claimed))
    try:
        await _plan_shard(line, audience, clock, claimed, metrics)
    finally:
        keeping.cancel()
        (ended,) = await asyncio.gather(keeping, return_exceptions=True)
    if isinstance(ended, Exception):
        raise ended


async def _keep_lease(line: PlanLine, clock: Clock, claimed: ClaimedShard) -> None:
    """Renew until canceled, or until the lease is lost: the fence refuses the commit then."""
    held = True
    while held:
        await clock.sleep(RENEW_EVERY_S)
        try:
            held = await line.renew_shard(claimed, clock.now() + timedelta(seconds=PLAN_LEASE_S))
        except StoreUnavailableError:
            continue  # planning itself meets the same, and tells it


async def _plan_shard(
    line: PlanLine, audience: Audience, clock: Clock, claimed: ClaimedShard, metrics: Metrics
) -> None:
    plan = _Plan(
        claimed=claimed,
        credentials=await line.credentials(claimed.shard.app),
        now=clock.now(),
    )
    async for rows, xid in _pieces(line, audience, claimed, plan):
        if len(rows):
            plan.add(rows, xid)
    shard = claimed.shard
    if not await line.commit_shard(claimed, plan.batches, plan.skipped, clock.now()):
        log(_log, logging.WARNING, LogEvent.LEASE_LOST, message=shard.message, low=shard.low)
        return
    for batch in plan.batches:
        metrics.add(Metric.RECIPIENTS_PLANNED, batch.network.label, amount=len(batch.rows))
    log(
        _log,
        logging.DEBUG,
        LogEvent.SHARD_PLANNED,
        message=shard.message,
        low=shard.low,
        high=shard.high,
        batches=len(plan.batches),
        recipients=sum(len(batch.rows) for batch in plan.batches),
        skipped=sum(len(chunk.rows) for chunk in plan.skipped),
    )
