"""A planner's process: expands messages, plans shards, keeps house."""

import asyncio
import logging

from clarion.app.container import Container
from clarion.ports.messages import StoreUnavailableError
from clarion.stages.planning.expand import expand_due
from clarion.stages.planning.plan import plan_next
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent, Metric

_log = logging.getLogger(__name__)

SWEEP_EVERY_S = 5.0


async def run_planner(container: Container, owner: str, stop: asyncio.Event) -> None:
    """Expand messages that are due and plan their shards; give back dead processes' work."""
    line, clock = container.plan_line, container.clock
    swept, idle, in_doubt = clock.monotonic(), 0.01, False
    while not stop.is_set():
        try:
            if in_doubt:
                await container.housekeeping.abandon(owner)
                in_doubt = False
            busy = await expand_due(line, clock.now()) > 0
            busy |= await plan_next(line, container.facts, clock, owner, container.metrics)
            if clock.monotonic() - swept > SWEEP_EVERY_S:
                swept = clock.monotonic()
                await _keep_house(container)
        except StoreUnavailableError as error:
            # A shard may be leased to us, with or without our knowledge.
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            in_doubt = True
            await clock.sleep(0.5)
            continue
        if busy:
            idle = 0.01
            continue
        await clock.sleep(idle)
        idle = min(2 * idle, 0.1)


async def _keep_house(container: Container) -> None:
    """Take back what silent processes hold, forget what is past, and say how much waits."""
    now, metrics = container.clock.now(), container.metrics
    expired = await container.housekeeping.sweep(now)
    if expired:
        metrics.add(Metric.LEASES_EXPIRED, amount=expired)
        log(_log, logging.WARNING, LogEvent.LEASE_EXPIRED, pieces=expired)
    await container.journal.forget_keys(now)
    for lane in await container.housekeeping.backlog(now):
        metrics.level(Metric.QUEUE_READY, lane.ready, lane.lane.name.lower())
        metrics.level(Metric.QUEUE_OLDEST_SECONDS, lane.oldest_s, lane.lane.name.lower())
    for network, count in (await container.housekeeping.quarantined()).items():
        metrics.level(Metric.CREDENTIALS_QUARANTINED, count, network.label)
