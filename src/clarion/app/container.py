"""The composition root: every port gets its adapter here, and nowhere else."""

import zoneinfo
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from urllib.parse import urlsplit

from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.state.categories import PostgresCategories
from clarion.adapters.state.consent import PostgresConsents
from clarion.adapters.state.credentials import PostgresCredentials, PostgresSharedTokens
from clarion.adapters.state.erasure import PostgresErasures
from clarion.adapters.state.events import PostgresEvents
from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.keys import PostgresKeys
from clarion.adapters.state.lists import PostgresLists
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.permissions import PostgresPermissions
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.policies import PostgresRulebook
from clarion.adapters.state.pool import Pool
from clarion.adapters.state.preferences import PostgresPreferenceLinks, PostgresPreferences
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.state.sealing import Seal
from clarion.adapters.state.segments import PostgresSegments
from clarion.adapters.state.send_line import PostgresSendLine
from clarion.adapters.state.suppression import PostgresSuppressions
from clarion.adapters.system import SystemChance, SystemClock
from clarion.app.address import push_origin
from clarion.app.foundation import Paths, open_foundation
from clarion.app.push_feedback import asked_of
from clarion.app.settings import Settings
from clarion.domain.credential_health import FaultPolicy
from clarion.domain.ids import CredentialId
from clarion.domain.network import Network
from clarion.ports.provider import Credential, Provider
from clarion.ports.system import Clock
from clarion.providers.apns.client import ApnsHosts, ApnsProvider
from clarion.providers.fcm.client import FcmHosts, FcmProvider
from clarion.providers.webpush.client import ReceiptsOf, WebPushProvider, WebPushSettings
from clarion.stages.delivery.health import CredentialHealth
from clarion.stages.delivery.overlay import Overlay
from clarion.stages.delivery.pacing import Pacer
from clarion.stages.delivery.sender import DeliveryPorts
from clarion.telemetry.metrics import Metrics
from clarion.wire.endpoint import AllowList

CREDENTIAL_FRESH = timedelta(seconds=2)
"""A replaced credential is used at the latest this long after the change."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Container:
    """Everything a role may need, ready to use."""

    settings: Settings
    paths: Paths
    pool: Pool
    clock: SystemClock
    chance: SystemChance
    apps: PostgresApps
    people: PostgresPeople
    devices: PostgresDevices
    events: PostgresEvents
    lists: PostgresLists
    keys: PostgresKeys
    credentials: PostgresCredentials
    messages: PostgresMessages
    journal: PostgresJournal
    plan_line: PostgresPlanLine
    rulebook: PostgresRulebook
    segments: PostgresSegments
    housekeeping: PostgresHousekeeping
    facts: FactsClient
    categories: PostgresCategories
    consents: PostgresConsents
    permissions: PostgresPermissions
    preferences: PostgresPreferences
    links: PostgresPreferenceLinks
    suppressions: PostgresSuppressions
    erasures: PostgresErasures
    transport: NetTransport
    providers: Mapping[Network, Provider]
    delivery: DeliveryPorts
    metrics: Metrics
    master_key: bytes


@asynccontextmanager
async def open_container(settings: Settings, *, connections: int) -> AsyncIterator[Container]:
    """Open what one process needs.

    Args:
        settings: with `database.url` set (the supervisor sets it for the embedded server).
        connections: how many connections to the state store the process may hold.

    Raises:
        SettingsError: no state store is named.
        StoreUnavailableError: the state store can't be reached.
        MasterKeyError: the key that seals credentials can't be read.
    """
    async with AsyncExitStack() as stack:
        below = await stack.enter_async_context(open_foundation(settings, connections=connections))
        pool, clock, chance, paths = below.pool, below.clock, below.chance, below.paths
        seal = Seal(below.master_key, chance.token)
        transport = NetTransport(_transport_settings(settings), clock, chance)
        stack.push_async_callback(transport.close)
        tokens = PostgresSharedTokens(pool, seal)
        receipts = asked_of(settings, below.master_key)
        providers = _providers(settings, transport, tokens, clock, chance, receipts)
        for provider in providers.values():
            stack.push_async_callback(provider.close)
        facts = FactsClient(paths.facts_socket, clock)
        stack.push_async_callback(facts.close)
        credentials = PostgresCredentials(pool, seal)
        rulebook = PostgresRulebook(pool)
        send_line = PostgresSendLine(pool, {Network.FCM: settings.fcm.per_minute})
        yield Container(
            settings=settings,
            paths=paths,
            pool=pool,
            clock=clock,
            chance=chance,
            apps=PostgresApps(pool),
            people=PostgresPeople(pool, settings.api.devices_per_user),
            devices=PostgresDevices(pool, settings.api.devices_per_user),
            events=PostgresEvents(pool),
            lists=PostgresLists(pool),
            keys=PostgresKeys(pool, chance),
            credentials=credentials,
            messages=PostgresMessages(pool),
            journal=PostgresJournal(pool),
            plan_line=PostgresPlanLine(pool),
            rulebook=rulebook,
            segments=PostgresSegments(pool),
            housekeeping=PostgresHousekeeping(pool),
            facts=facts,
            categories=PostgresCategories(pool),
            consents=PostgresConsents(pool),
            permissions=PostgresPermissions(pool),
            preferences=PostgresPreferences(pool),
            links=PostgresPreferenceLinks(pool, seal),
            suppressions=PostgresSuppressions(pool),
            erasures=PostgresErasures(pool, chance),
            transport=transport,
            providers=providers,
            delivery=DeliveryPorts(
                line=send_line,
                providers=providers,
                credential=remembering(credentials.load, clock),
                clock=clock,
                chance=chance,
                health=CredentialHealth(policy=_fault_policy(settings)),
                overlay=Overlay(send_line),
                rulebook=rulebook,
                pacer=Pacer(line=send_line, clock=clock),
                metrics=below.metrics,
            ),
            metrics=below.metrics,
            master_key=below.master_key,
        )


def remembering(
    load: Callable[[CredentialId], Awaitable[Credential | None]], clock: Clock
) -> Callable[[CredentialId], Awaitable[Credential | None]]:
    """Credentials as they were at most two seconds ago: the hot path does not ask each time."""
    known: dict[CredentialId, tuple[datetime, Credential | None]] = {}

    async def credential(wanted: CredentialId) -> Credential | None:
        now = clock.now()
        held = known.get(wanted)
        if held is None or not timedelta(0) <= now - held[0] < CREDENTIAL_FRESH:
            held = known[wanted] = (now, await load(wanted))
        return held[1]

    return credential


def allow_list(settings: Settings) -> AllowList:
    """Hosts that the egress guard lets pass: those that are listed, and our own push service.

    With `push.port` 0 only the supervisor knows where that listens; who is asked with these
    settings (`clarion doctor`) sends nothing to it.
    """
    runs = settings.push.processes and (settings.push.url or settings.push.port)
    own = (urlsplit(push_origin(settings)).netloc,) if runs else ()
    return AllowList.parse((*settings.egress.allow_hosts, *own))


@cache
def zone_names() -> frozenset[str]:
    """The IANA time zones that exist here."""
    return frozenset(zoneinfo.available_timezones())


def _transport_settings(settings: Settings) -> TransportSettings:
    egress = settings.egress
    return TransportSettings(
        ca_file=egress.ca_file,
        proxy=None if egress.proxy_url is None else egress.proxy_url.reveal(),
        allow=allow_list(settings),
        max_connections=egress.connections,
        connect_s=egress.connect_s,
        request_s=egress.request_s,
    )


def _providers(
    settings: Settings,
    transport: NetTransport,
    tokens: PostgresSharedTokens,
    clock: SystemClock,
    chance: SystemChance,
    receipts: ReceiptsOf | None,
) -> Mapping[Network, Provider]:
    """The registry of networks: one line each."""
    return {
        Network.APNS: ApnsProvider(
            transport=transport,
            tokens=tokens,
            clock=clock,
            chance=chance,
            hosts=ApnsHosts(
                production=settings.apns.production_url, sandbox=settings.apns.sandbox_url
            ),
        ),
        Network.FCM: FcmProvider(
            transport=transport,
            tokens=tokens,
            clock=clock,
            hosts=FcmHosts(base=settings.fcm.base_url, token=settings.fcm.token_url),
        ),
        Network.WEBPUSH: WebPushProvider(
            transport,
            clock,
            chance,
            WebPushSettings(
                allow=allow_list(settings),
                subject=settings.webpush.subject,
                sender_key_lifetime_s=settings.webpush.sender_key_lifetime_s,
                receipts=receipts,
            ),
        ),
    }


def _fault_policy(settings: Settings) -> FaultPolicy:
    faults = settings.faults
    return FaultPolicy(
        share=faults.share,
        at_least=faults.at_least,
        window_s=faults.window_s,
        window_answers=faults.window_answers,
    )
