"""What delivery tells the operator: numbers per chunk, and the events that want a person."""

import logging

import numpy as np

from clarion.domain.handoffs import BatchSent
from clarion.domain.network import Network
from clarion.domain.outcome import Outcome, Verdict
from clarion.ports.line import ChunkAck, ChunkCommit, ClaimedBatch
from clarion.telemetry.logs import log
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import LogEvent, Metric

_log = logging.getLogger(__name__)

_OUTCOME = {int(outcome): outcome.name.lower() for outcome in Outcome}
_VERDICT = {int(verdict): verdict.name.lower() for verdict in Verdict}


def tell_claimed(metrics: Metrics, claimed: ClaimedBatch) -> None:
    """A batch was leased."""
    metrics.add(Metric.BATCHES_LEASED, claimed.batch.lane.name.lower())


def tell_poison(metrics: Metrics, claimed: ClaimedBatch) -> None:
    """A batch takes its senders down and is being taken apart."""
    metrics.add(Metric.BATCHES_POISONED)
    log(
        _log,
        logging.ERROR,
        LogEvent.BATCH_POISONED,
        batch=claimed.batch.id,
        claims=claimed.claims,
        left=len(claimed.batch.recipients) - claimed.batch.cursor,
    )


def tell_failed(metrics: Metrics, claimed: ClaimedBatch, error: Exception) -> None:
    """A batch met a bug: told once, here."""
    metrics.add(Metric.HANDLER_FAILURES, "delivery")
    log(_log, logging.ERROR, LogEvent.HANDLER_FAILED, error=error, batch=claimed.batch.id)


def tell_leasing_failed(metrics: Metrics, owner: str, error: Exception) -> None:
    """A slot met a bug outside any batch; it tries again."""
    metrics.add(Metric.HANDLER_FAILURES, "delivery")
    log(_log, logging.ERROR, LogEvent.HANDLER_FAILED, error=error, owner=owner)


def _count(metrics: Metrics, network: str, sent: BatchSent) -> None:
    """Outcomes and attempts; where rows are alike, they were answered, and the first says how."""
    rows = sent.rows
    if sent.alike:
        ended, said = _OUTCOME[int(rows[0]["outcome"])], _VERDICT[int(rows[0]["verdict"])]
        metrics.add(Metric.OUTCOMES, network, ended, amount=len(rows))
        metrics.add(Metric.ATTEMPTS, network, said, amount=len(rows))
        return
    for outcome, count in enumerate(np.bincount(rows["outcome"])):
        if count and outcome:
            metrics.add(Metric.OUTCOMES, network, _OUTCOME[outcome], amount=int(count))
    tried = rows["verdict"][rows["status"] > 0]
    for verdict, count in enumerate(np.bincount(tried)):
        if count:
            metrics.add(Metric.ATTEMPTS, network, _VERDICT[verdict], amount=int(count))


def tell_recorded(metrics: Metrics, chunk: ChunkCommit, ack: ChunkAck, seconds: float) -> None:
    """A chunk was recorded, or its lease turned out to be lost."""
    batch = chunk.batch
    if not ack.recorded:
        log(_log, logging.WARNING, LogEvent.LEASE_LOST, batch=batch.id, fence=batch.fence)
        return
    network = Network(batch.network).label
    metrics.observe(Metric.SEND_SECONDS, seconds, batch.lane.name.lower())
    _count(metrics, network, chunk.sent)
    if chunk.burial is not None:
        metrics.add(Metric.TOKENS_REAPED, network, amount=len(chunk.burial.device))
    if chunk.quarantine is not None:
        log(
            _log,
            logging.ERROR,
            LogEvent.CREDENTIAL_QUARANTINED,
            app=batch.app,
            network=network,
            credential=batch.credential,
            reason=chunk.quarantine,
            advice="no token was touched; put the right credential, or reinstate this one",
        )
