"""A planner's process: expands messages, plans shards, keeps house.

Shards of named recipients and shards for everybody are planned side by side: the latter may wait
for the facts, and nobody's one-time password waits behind them.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from clarion.adapters.countries import zones_of_countries
from clarion.adapters.state.digests import PostgresDigestDesk
from clarion.adapters.state.frequency import PostgresFrequencyBook
from clarion.adapters.state.upkeep import PostgresUpkeep
from clarion.app.container import Container
from clarion.app.push_feedback import feedback_ports
from clarion.app.retention import Retention
from clarion.app.words import renderer
from clarion.ports.facts import FactsUnavailableError
from clarion.ports.store import StoreUnavailableError
from clarion.stages.feedback.receipts import record_receipts
from clarion.stages.intake.erasure import finish_all
from clarion.stages.planning.expand import expand_due
from clarion.stages.planning.plan import plan_next
from clarion.stages.planning.ports import PlanningPorts
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent, Metric

_log = logging.getLogger(__name__)

SWEEP_EVERY_S = 5.0
RETAIN_EVERY_S = 30.0
RECEIPTS_EVERY_S = 0.5
IDLE_FIRST_S = 0.01
IDLE_LONGEST_S = 0.1
STORE_PAUSE_S = 0.5
UNTANGLED_AT_ONCE = 100
SORTED_AT_ONCE = 5000
DIGESTS_AT_ONCE = 100


async def run_planner(container: Container, owner: str, stop: asyncio.Event) -> None:
    """Expand messages that are due and plan their shards; give back dead processes' work."""
    due, clock, upkeep = asyncio.Event(), container.clock, PostgresUpkeep(container.pool)
    ports = _ports(container)
    retention = Retention(upkeep, container.facts, container.settings.retention, container.metrics)

    async def retain() -> None:
        await retention.drop_some(clock.now())
        try:
            await finish_all(container.erasures, container.facts, clock)
        except FactsUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.FACTS_UNAVAILABLE, cause=str(error))

    async def sweep() -> None:
        await _sweep(container, upkeep)
        await ports.frequency.sort_in(clock.now(), at_once=SORTED_AT_ONCE)
        await ports.digests.open_due(clock.now(), at_once=DIGESTS_AT_ONCE)

    feedback = feedback_ports(
        container.settings, container.master_key, container.pool, container.events, clock
    )

    async def receipts() -> None:
        more = True
        while more:
            told = await record_receipts(feedback)
            container.metrics.add(Metric.PUSH_RECEIPTS, "recorded", amount=told.recorded)
            container.metrics.add(Metric.PUSH_RECEIPTS, "unknown", amount=told.unknown)
            more = told.more

    async with asyncio.TaskGroup() as group:
        kept = [
            group.create_task(_every(RECEIPTS_EVERY_S, container, receipts)),
            group.create_task(_every(SWEEP_EVERY_S, container, sweep)),
            group.create_task(_every(RETAIN_EVERY_S, container, retain)),
        ]
        named = group.create_task(_plan_named(container, ports, f"{owner}/named", stop, due))
        await _plan_everybody(container, ports, f"{owner}/all", stop, due)
        await named
        for task in kept:
            task.cancel()


def _ports(container: Container) -> PlanningPorts:
    return PlanningPorts(
        line=container.plan_line,
        audience=container.facts,
        frequency=PostgresFrequencyBook(container.pool),
        segments=container.segments,
        words=renderer(container),
        digests=PostgresDigestDesk(container.pool, container.chance),
        clock=container.clock,
        metrics=container.metrics,
        of_country=zones_of_countries(),
    )


async def _plan_named(
    container: Container, ports: PlanningPorts, owner: str, stop: asyncio.Event, due: asyncio.Event
) -> None:
    line, clock = ports.line, container.clock

    async def turn() -> bool:
        busy = await expand_due(line, clock.now()) > 0
        if busy:
            due.set()
        more = await plan_next(ports, owner, named=True)
        return busy or more

    await _work(container, owner, stop, turn, clock.sleep)


async def _plan_everybody(
    container: Container, ports: PlanningPorts, owner: str, stop: asyncio.Event, due: asyncio.Event
) -> None:
    readmitted = False

    async def turn() -> bool:
        nonlocal readmitted
        due.clear()
        if not readmitted:
            await ports.line.readmit()
            readmitted = True
        return await plan_next(ports, owner, named=False)

    async def rest(seconds: float) -> None:
        await _wait(due, seconds)

    await _work(container, owner, stop, turn, rest)


async def _work(
    container: Container,
    owner: str,
    stop: asyncio.Event,
    turn: Callable[[], Awaitable[bool]],
    rest: Callable[[float], Awaitable[None]],
) -> None:
    """Take turns; rest longer and longer while there is nothing to do."""
    idle, in_doubt = IDLE_FIRST_S, False
    while not stop.is_set():
        try:
            if in_doubt:
                await container.housekeeping.abandon(owner)
                in_doubt = False
            busy = await turn()
        except StoreUnavailableError as error:
            # A shard may be leased to us, with or without our knowledge.
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            in_doubt = True
            await container.clock.sleep(STORE_PAUSE_S)
            continue
        if busy:
            idle = IDLE_FIRST_S
            continue
        await rest(idle)
        idle = min(2 * idle, IDLE_LONGEST_S)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def _every(seconds: float, container: Container, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        await container.clock.sleep(seconds)
        try:
            await work()
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))


async def _sweep(container: Container, upkeep: PostgresUpkeep) -> None:
    """Take back what silent processes hold, and say how much waits."""
    now, metrics = container.clock.now(), container.metrics
    expired = await container.housekeeping.sweep(now)
    if expired:
        metrics.add(Metric.LEASES_EXPIRED, amount=expired)
        log(_log, logging.WARNING, LogEvent.LEASE_EXPIRED, pieces=expired)
    await upkeep.untangle(now, at_once=UNTANGLED_AT_ONCE)
    for lane in await container.housekeeping.backlog(now):
        metrics.level(Metric.QUEUE_READY, lane.ready, lane.lane.name.lower())
        metrics.level(Metric.QUEUE_OLDEST_SECONDS, lane.oldest_s, lane.lane.name.lower())
    for network, count in (await container.housekeeping.quarantined()).items():
        metrics.level(Metric.CREDENTIALS_QUARANTINED, count, network.label)
    metrics.level(Metric.SHARDS_HELD, await upkeep.held_shards())
