"""What each kind of process does, from start to drain."""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from hashlib import sha256

import uvicorn

from clarion.adapters.facts.duckdb import OwnerSettings, run_owner
from clarion.api.dependencies import ApiDependencies, ApiLimits
from clarion.api.server import create_app
from clarion.app.container import Container, allow_list, open_container, zone_names
from clarion.app.settings import Settings
from clarion.domain.lanes import CHUNK_RECIPIENTS, Lane
from clarion.ports.audience import AudienceUnavailableError
from clarion.ports.messages import StoreUnavailableError
from clarion.stages.delivery.sender import Slot, serve_slot
from clarion.stages.delivery.urgent import UrgentPath
from clarion.stages.intake.register import Rules
from clarion.stages.planning.expand import expand_due
from clarion.stages.planning.plan import plan_next
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent, Metric

_log = logging.getLogger(__name__)

CONNECTIONS = {"api": 12, "planner": 3, "sender": 4, "facts": 2}
"""Connections to the state store per process of a role."""

BULK_SLOTS = 2
"""Slots for any lane; each holds at most one chunk that is not recorded, and the two together
the 500 recipients that a crash may repeat."""

SWEEP_EVERY_S = 5.0
BACKGROUND_NICENESS = 5
"""Bulk work yields the processor to the process that answers people."""


async def run_role(settings: Settings, role: str, owner: str, stop: asyncio.Event) -> None:
    """Run one role until told to stop, then drain.

    Raises:
        KeyError: there is no such role.
    """
    run: Callable[[Container, str, asyncio.Event], Awaitable[None]] = ROLES[role]
    if role != "api":
        os.nice(BACKGROUND_NICENESS)
    async with open_container(settings, connections=CONNECTIONS[role]) as container:
        log(_log, logging.INFO, LogEvent.ROLE_STARTED, role=role, owner=owner, pid=os.getpid())
        await run(container, owner, stop)
    log(_log, logging.INFO, LogEvent.ROLE_STOPPED, role=role, owner=owner)


async def run_api(container: Container, owner: str, stop: asyncio.Event) -> None:
    """Serve the public API; send urgent messages."""
    settings = container.settings
    urgent = UrgentPath(journal=container.journal, delivery=container.delivery, owner=owner)
    app = create_app(await _api_dependencies(container, urgent, stop))
    config = uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        backlog=settings.server.backlog,
        loop="none",
        http="httptools",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=list(settings.server.trusted_proxies),
        timeout_graceful_shutdown=int(settings.server.drain_s),
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[_listener(settings)]))
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    server.should_exit = True
    await serving
    await urgent.drain()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process has one place for signals."""

    def install_signal_handlers(self) -> None:
        """Nothing."""


def _listener(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.server.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if settings.server.processes > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((settings.server.host, settings.server.port))
    return listener


async def _api_dependencies(
    container: Container, urgent: UrgentPath, stop: asyncio.Event
) -> ApiDependencies:
    settings = container.settings
    operator = await container.apps.find(settings.api.operator_app)
    return ApiDependencies(
        clock=container.clock,
        chance=container.chance,
        apps=container.apps,
        people=container.people,
        devices=container.devices,
        keys=container.keys,
        credentials=container.credentials,
        acceptor=urgent,
        messages=container.messages,
        facts=container.facts,
        providers=container.providers,
        metrics=container.metrics,
        cursor_key=sha256(b"cursor" + container.master_key).digest(),
        rules=Rules(zones=zone_names(), allow=allow_list(settings)),
        limits=_limits(settings),
        operator_app=None if operator is None else operator.id,
        identity_secrets={
            app: secret.reveal().encode() for app, secret in settings.identity.secrets.items()
        },
        allowed_origins=frozenset(settings.api.allowed_origins),
        ready=_readiness(container),
        stopping=stop,
    )


def _limits(settings: Settings) -> ApiLimits:
    api = settings.api
    return replace(
        ApiLimits(),
        max_body=api.max_body,
        max_batch_body=api.max_batch_body,
        max_import_body=api.max_import_body,
        body_time_s=api.body_time_s,
        rate_per_s=api.rate_per_s,
        rate_burst=api.rate_burst,
        max_rows=api.max_rows,
        max_recipients=api.max_recipients,
        events_every_s=api.events_every_s,
        events_for_s=api.events_for_s,
    )


def _readiness(container: Container) -> Callable[[], Awaitable[Mapping[str, bool]]]:
    async def ready() -> Mapping[str, bool]:
        return {
            "state": await _works(_ask_state(container)),
            "facts": await _works(_ask_facts(container)),
        }

    return ready


async def _ask_state(container: Container) -> None:
    await container.pool.fetchval("select 1")


async def _ask_facts(container: Container) -> None:
    await container.facts.version()


async def _works(question: Awaitable[None]) -> bool:
    try:
        async with asyncio.timeout(2):
            await question
    except Exception:  # noqa: BLE001  # whatever it is, the part does not work
        return False
    return True


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
        except (StoreUnavailableError, AudienceUnavailableError) as error:
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


async def run_sender(container: Container, owner: str, stop: asyncio.Event) -> None:
    """Send batches of every lane; one slot is only for urgent ones."""
    urgent = Slot(
        owner=f"{owner}/urgent",
        lanes=(Lane.CALL, Lane.TRANSACTIONAL),
        chunk=CHUNK_RECIPIENTS[Lane.TRANSACTIONAL],
    )
    chunk = CHUNK_RECIPIENTS[Lane.CAMPAIGN] // BULK_SLOTS
    bulk = [
        Slot(owner=f"{owner}/{number}", lanes=tuple(Lane), chunk=chunk)
        for number in range(BULK_SLOTS)
    ]
    slots = [urgent, *bulk]
    await asyncio.gather(*(serve_slot(container.delivery, slot, stop) for slot in slots))


async def run_facts(container: Container, owner: str, stop: asyncio.Event) -> None:
    """Own the facts file."""
    del owner
    facts = container.settings.facts
    settings = OwnerSettings(
        path=container.paths.facts,
        socket=container.paths.facts_socket,
        memory_mib=facts.memory_mib,
        threads=facts.threads or min(2, os.cpu_count() or 1),
        drain_every_s=facts.drain_every_s,
    )
    await run_owner(container.pool, settings, container.clock, stop)


ROLES: Mapping[str, Callable[[Container, str, asyncio.Event], Awaitable[None]]] = {
    "api": run_api,
    "planner": run_planner,
    "sender": run_sender,
    "facts": run_facts,
}
