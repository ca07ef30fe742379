"""The API's process: serves the public API and sends urgent messages."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Final

import uvicorn

from clarion.adapters.countries import zones_of_countries
from clarion.adapters.state.frequency import PostgresFrequencyBook
from clarion.adapters.state.push_nodes import PostgresPushNodes
from clarion.adapters.state.templates import PostgresPartials, PostgresTemplates
from clarion.api.dependencies import ApiDependencies, ApiLimits
from clarion.api.server import create_app
from clarion.app.address import push_origin
from clarion.app.container import Container, allow_list, zone_names
from clarion.app.http_protocol import LeanHttp
from clarion.app.names_known import unknown_in
from clarion.app.readiness import works
from clarion.app.settings import Settings
from clarion.app.words import renderer, tools
from clarion.domain.network import Network
from clarion.stages.delivery.urgent import UrgentPath
from clarion.stages.intake.register import Rules
from clarion.stages.planning.dry_run import DryRunPorts
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

KEEP_ALIVE_S: Final = 75
"""Longer than a proxy does (nginx: 60 s), which would write into a connection that just ended."""
PUSH_SILENT: Final = timedelta(seconds=20)
"""Nodes of the push service that were silent for so long don't count as living: four beats."""

_log = logging.getLogger(__name__)


async def run_api(container: Container, owner: str, stop: asyncio.Event) -> None:
    """Serve the public API; send urgent messages."""
    settings = container.settings
    if unknown := await unknown_in(container.pool):
        log(_log, logging.ERROR, LogEvent.ERASED_NAMES_UNKNOWN, names=unknown)
    urgent = UrgentPath(journal=container.journal, delivery=container.delivery, owner=owner)
    app = create_app(await _api_dependencies(container, urgent, stop))
    config = uvicorn.Config(
        app,
        host=settings.server.host,
        port=settings.server.port,
        backlog=settings.server.backlog,
        loop="none",
        http=LeanHttp,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
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
        events=container.events,
        lists=container.lists,
        keys=container.keys,
        credentials=container.credentials,
        acceptor=urgent,
        urgent=urgent,
        messages=container.messages,
        facts=container.facts,
        audience=container.facts,
        counts=container.facts,
        decisions=container.facts,
        dry_runs=DryRunPorts(
            line=container.plan_line,
            audience=container.facts,
            frequency=PostgresFrequencyBook(container.pool),
            segments=container.segments,
            words=renderer(container),
            of_country=zones_of_countries(),
        ),
        quotas={Network.FCM: settings.fcm.per_minute},
        categories=container.categories,
        consents=container.consents,
        permissions=container.permissions,
        preferences=container.preferences,
        links=container.links,
        suppressions=container.suppressions,
        templates=PostgresTemplates(container.pool),
        partials=PostgresPartials(container.pool),
        words=tools(container),
        erasures=container.erasures,
        person_facts=container.facts,
        rulebook=container.rulebook,
        segments=container.segments,
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
        push_origin=push_origin(settings) if settings.push.processes else None,
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
        messages_days=settings.retention.messages_days,
        events_days=settings.retention.events_days,
        outcomes_days=min(
            settings.retention.facts_outcomes_days, settings.retention.facts_decisions_days
        ),
        events_every_s=api.events_every_s,
        events_for_s=api.events_for_s,
    )


def _readiness(container: Container) -> Callable[[], Awaitable[Mapping[str, bool]]]:
    async def ready() -> Mapping[str, bool]:
        asked = {"state": works(_ask_state(container)), "facts": works(_ask_facts(container))}
        if container.settings.push.processes:
            asked["push"] = works(_ask_push(container))
        return dict(zip(asked, await asyncio.gather(*asked.values()), strict=True))

    return ready


async def _ask_state(container: Container) -> None:
    await container.pool.fetchval("select 1")


async def _ask_facts(container: Container) -> None:
    await container.facts.version()


async def _ask_push(container: Container) -> None:
    """A node that can't listen on its port ends, and takes no number.

    Raises:
        LookupError: no node has said lately that it lives.
    """
    nodes = PostgresPushNodes(container.pool)
    if not await nodes.living(container.clock.now() - PUSH_SILENT):
        raise LookupError
