"""The API on real engines: PostgreSQL for the state, providers that are never asked to send."""

import asyncio
import zoneinfo
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

import httpx
import polars as pl
import pytest

from clarion.adapters.content.graphemes import clusters
from clarion.adapters.content.liquid import LiquidEngine
from clarion.adapters.net.transport import NetTransport, TransportSettings
from clarion.adapters.state.categories import PostgresCategories
from clarion.adapters.state.consent import PostgresConsents
from clarion.adapters.state.credentials import PostgresCredentials, PostgresSharedTokens
from clarion.adapters.state.erasure import PostgresErasures
from clarion.adapters.state.events import PostgresEvents
from clarion.adapters.state.frequency import PostgresFrequencyBook
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.keys import PostgresKeys
from clarion.adapters.state.lists import PostgresLists
from clarion.adapters.state.messages import PostgresMessages
from clarion.adapters.state.permissions import PostgresPermissions
from clarion.adapters.state.plan_line import PostgresPlanLine
from clarion.adapters.state.policies import PostgresRulebook
from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.preferences import PostgresPreferenceLinks, PostgresPreferences
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.state.registry_people import PostgresPeople
from clarion.adapters.state.sealing import Seal
from clarion.adapters.state.segments import PostgresSegments
from clarion.adapters.state.suppression import PostgresSuppressions
from clarion.adapters.state.templates import PostgresPartials, PostgresTemplates
from clarion.adapters.system import SystemChance, SystemClock
from clarion.api import ApiDependencies, ApiLimits, create_app
from clarion.domain.decided import Decided
from clarion.domain.ids import AppId, UserId
from clarion.domain.network import Network
from clarion.domain.segments.checking import SegmentAt
from clarion.ports.audience import AUDIENCE_SCHEMA, AudiencePiece, AudienceScan, Reach
from clarion.ports.decisions import DecidedCount
from clarion.ports.erasure import FactsPage
from clarion.ports.facts import Facts
from clarion.ports.keys import Scope
from clarion.ports.provider import Provider
from clarion.providers.apns.client import ApnsProvider
from clarion.providers.fcm.client import FcmProvider
from clarion.providers.webpush.client import WebPushProvider
from clarion.stages.authoring.preparing import Links, Renderer, Tools
from clarion.stages.intake.register import Rules
from clarion.stages.planning.dry_run import DryRunPorts
from clarion.telemetry.metrics import Metrics
from clarion.wire.endpoint import NOBODY

CLOCK = SystemClock()
ZONES = frozenset(zoneinfo.available_timezones())


@dataclass(frozen=True, kw_only=True)
class World:
    """The API, its dependencies, and keys of two apps."""

    deps: ApiDependencies
    app: AppId
    other: AppId
    keys: Mapping[str, str]
    """`admin`, `send`, `device` of the app; `other` is the other app's admin."""

    def client(self, key: str | None = "admin", **changes: object) -> httpx.AsyncClient:
        """A client with that key; `changes` are made to the dependencies."""
        app = create_app(replace(self.deps, **cast("Any", changes)) if changes else self.deps)
        headers = {} if key is None else {"authorization": f"Bearer {self.keys[key]}"}
        transport = httpx.ASGITransport(app=cast("Any", app), raise_app_exceptions=False)
        return httpx.AsyncClient(
            transport=transport, base_url="http://clarion.test", headers=headers
        )


async def _ready() -> Mapping[str, bool]:
    return {"store": True}


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    """Two apps with their keys on a fresh database."""
    pool = await open_pool(database_url, master_keys=[bytes(32)])
    chance = SystemChance()
    seal = Seal(bytes(32), chance.token)
    transport = NetTransport(TransportSettings(), CLOCK, chance)
    tokens = PostgresSharedTokens(pool, seal)
    apps, keys, now = PostgresApps(pool), PostgresKeys(pool, chance), CLOCK.now()
    first = await apps.create("default", now=now)
    second = await apps.create("other", now=now)
    texts = {
        scope.value: (await keys.create(first.id, scope, "test", expires_at=None, now=now)).text
        for scope in Scope
    }
    texts["other"] = (
        await keys.create(second.id, Scope.ADMIN, "test", expires_at=None, now=now)
    ).text
    old = await keys.create(
        first.id, Scope.ADMIN, "old", expires_at=now - timedelta(days=1), now=now
    )
    texts["expired"] = old.text
    providers: Mapping[Network, Provider] = {
        Network.APNS: ApnsProvider(transport=transport, tokens=tokens, clock=CLOCK, chance=chance),
        Network.FCM: FcmProvider(transport=transport, tokens=tokens, clock=CLOCK),
        Network.WEBPUSH: WebPushProvider(transport, CLOCK, chance),
    }
    deps = ApiDependencies(
        clock=CLOCK,
        chance=chance,
        apps=apps,
        people=PostgresPeople(pool),
        devices=PostgresDevices(pool),
        events=PostgresEvents(pool),
        lists=PostgresLists(pool),
        keys=keys,
        credentials=PostgresCredentials(pool, seal),
        acceptor=PostgresJournal(pool),
        messages=PostgresMessages(pool),
        facts=_facts(),
        audience=EmptyColumns(),
        counts=EmptyColumns(),
        decisions=EmptyColumns(),
        dry_runs=DryRunPorts(
            line=PostgresPlanLine(pool),
            audience=EmptyColumns(),
            frequency=PostgresFrequencyBook(pool),
            segments=PostgresSegments(pool),
            words=Renderer(Tools(engine=LiquidEngine(), clusters=clusters, providers=providers)),
        ),
        categories=PostgresCategories(pool),
        consents=PostgresConsents(pool),
        permissions=PostgresPermissions(pool),
        preferences=PostgresPreferences(pool),
        links=PostgresPreferenceLinks(pool, seal),
        suppressions=PostgresSuppressions(pool),
        templates=PostgresTemplates(pool),
        partials=PostgresPartials(pool),
        words=Tools(
            engine=LiquidEngine(),
            clusters=clusters,
            providers=providers,
            links=Links(base="https://push.example", keys={1: bytes(range(32))}),
        ),
        erasures=PostgresErasures(pool, chance),
        person_facts=EmptyFacts(),
        rulebook=PostgresRulebook(pool),
        segments=PostgresSegments(pool),
        providers=providers,
        metrics=Metrics(),
        cursor_key=bytes(32),
        rules=Rules(zones=ZONES, allow=NOBODY),
        limits=ApiLimits(body_time_s=150),
        operator_app=first.id,
        ready=_ready,
        stopping=asyncio.Event(),
    )
    yield World(deps=deps, app=first.id, other=second.id, keys=texts)
    await transport.close()
    await pool.close()


class EmptyFacts:
    """Facts in which nothing was ever recorded, as `ports.erasure.PersonFacts`."""

    async def about(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> AsyncIterator[FactsPage]:
        """Nothing is held."""
        del app, users, at_least_xid
        yield FactsPage(kind="outcome", rows=[])

    async def erase(
        self, app: AppId, users: Sequence[UserId], *, at_least_xid: int
    ) -> Mapping[str, int]:
        """Nothing was there."""
        del app, users, at_least_xid
        return {"outcome": 0}


class EmptyColumns:
    """Columns with nobody in them, of whom nothing was decided: `ports.audience`, `.decisions`."""

    async def scan(self, scan: AudienceScan) -> AsyncIterator[AudiencePiece]:
        """One piece without rows."""
        names = {**AUDIENCE_SCHEMA, **dict.fromkeys(scan.fields, pl.String())}
        yield AudiencePiece(xid=0, rows=pl.DataFrame(schema=names))

    async def version(self) -> int:
        """Before everything."""
        return 0

    async def counted(self, *_: object, **of: object) -> Sequence[DecidedCount]:
        """Nothing."""
        del of
        return []

    async def decided(self, *_: object, **of: object) -> AsyncIterator[Decided]:
        """Nothing."""
        del of
        nothing: list[Decided] = []
        for one in nothing:
            yield one

    async def count(self, app: AppId, segment: SegmentAt | None, **of: object) -> Reach:
        """Nobody is there."""
        del app, segment, of
        return Reach(people=0, people_reachable=0, rows=[], xid=0)


def _facts() -> Facts:
    """No test here reads facts; the ones that do are with the engine that keeps them."""
    return cast("Facts", None)


@pytest.fixture
async def admin(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the app's admin key."""
    async with world.client() as client:
        yield client
