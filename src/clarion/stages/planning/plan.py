"""Hand-off 2 to 3: one shard of a message's audience becomes batches and recorded skips."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from typing import Final

from clarion.ports.audience import AudienceUnavailableError
from clarion.ports.plan_line import ClaimedShard, OvertakenError, PlanLine, ShardUnreadableError
from clarion.ports.rendering import PreparedContent
from clarion.ports.store import StoreUnavailableError
from clarion.ports.system import Clock
from clarion.stages.planning.foreseeing import check_words
from clarion.stages.planning.gathered import DigestWords
from clarion.stages.planning.ports import PlanningPorts
from clarion.stages.planning.shard import ShardPlan, people_of, plan_shard, usage_of
from clarion.stages.planning.writing import WordsMissingError
from clarion.telemetry.logs import log
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import LogEvent, Metric

PLAN_LEASE_S = 60.0
RENEW_EVERY_S = 15.0
AUDIENCE_AGAIN_S = 1.0
AGAIN_FIRST_S = 5.0
AGAIN_LONGEST_S = 300.0
OVERTAKEN_TRIES: Final = 8
"""How often a shard is decided anew at once when others plan for the same people meanwhile."""
OVERTAKEN_AGAIN_S = 0.2

_log = logging.getLogger(__name__)


async def plan_next(ports: PlanningPorts, owner: str, *, named: bool | None = None) -> bool:
    """Plan one shard, if one is ready; `named` chooses the kind, as in the port.

    A crash at any point leaves the shard leased and nothing recorded; the next owner plans it
    again from the start and makes the same keys.
    """
    line, clock, metrics = ports.line, ports.clock, ports.metrics
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
        await _plan_leased(ports, claimed)
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
    except OvertakenError as error:
        log(
            _log,
            logging.WARNING,
            LogEvent.SHARD_OVERTAKEN,
            message=claimed.shard.message,
            low=claimed.shard.low,
            tries=OVERTAKEN_TRIES,
        )
        await _postpone(line, claimed, clock, OVERTAKEN_AGAIN_S, str(error))
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


async def _plan_leased(ports: PlanningPorts, claimed: ClaimedShard) -> None:
    """Plan a shard, and keep its lease for as long as that takes."""
    keeping = asyncio.create_task(_keep_lease(ports.line, ports.clock, claimed))
    try:
        await _plan_shard(ports, claimed)
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


async def _plan_shard(ports: PlanningPorts, claimed: ClaimedShard) -> None:
    """Decide and commit, unless the message is not for people who miss one of its words."""
    try:
        await _decide(ports, claimed)
    except WordsMissingError as error:
        if not await ports.line.refuse(claimed, ports.clock.now(), why=str(error)):
            await _decide(ports, replace(claimed, begun=True))
            return
        log(
            _log,
            logging.WARNING,
            LogEvent.WORDS_MISSING,
            message=claimed.shard.message,
            recipients=error.recipients,
            cause=str(error),
        )


async def _decide(ports: PlanningPorts, claimed: ClaimedShard) -> None:
    """Decide and commit; again, at once, when other messages to the same people were faster."""
    credentials = await ports.line.credentials(claimed.shard.app)
    words = await words_of(ports, claimed)
    if words is not None and words.refuses_missing and not claimed.begun:
        await check_words(ports, claimed, words, credentials)
    people = await people_of(ports, claimed, words)
    if isinstance(words, DigestWords):
        people.rows = words.only(people.rows)
    for left in reversed(range(OVERTAKEN_TRIES)):
        now = ports.clock.now()
        usage = await usage_of(ports, claimed, now)
        plan = plan_shard(claimed, people, usage, credentials, now, words)
        try:
            mine = await ports.line.commit_shard(
                claimed, plan.batches, plan.skipped, ports.clock.now(), plan.rulings
            )
        except OvertakenError:
            ports.metrics.add(Metric.SHARDS_OVERTAKEN)
            if not left:
                raise
            continue
        _tell(ports.metrics, claimed, plan, mine=mine)
        return


async def words_of(ports: PlanningPorts, claimed: ClaimedShard) -> PreparedContent | None:
    """What the shard's people read; None: the message as it was accepted."""
    if not claimed.digest:
        return ports.words.prepare(claimed.message)
    shard = claimed.shard
    items = await ports.digests.items(shard.message, (shard.low, shard.high))
    return DigestWords(message=claimed.message, items=items)


def _tell(metrics: Metrics, claimed: ClaimedShard, plan: ShardPlan, *, mine: bool) -> None:
    shard = claimed.shard
    if not mine:
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
