"""What the API needs from the rest of the house, handed in by the composition root."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from clarion.domain.ids import AppId
from clarion.domain.network import Network
from clarion.ports.apps import Apps
from clarion.ports.audience import Audience, AudienceCounts
from clarion.ports.categories import Categories
from clarion.ports.consent import Consents, Permissions
from clarion.ports.credentials import Credentials
from clarion.ports.decisions import RecordedDecisions
from clarion.ports.erasure import Erasures, PersonFacts
from clarion.ports.events import Events
from clarion.ports.facts import Facts
from clarion.ports.keys import Keys
from clarion.ports.lists import Lists
from clarion.ports.messages import Acceptor, Messages, UrgentQueue
from clarion.ports.policies import Rulebook
from clarion.ports.preferences import PreferenceBook, PreferenceLinks
from clarion.ports.provider import Provider
from clarion.ports.registry import Devices, People
from clarion.ports.segments import Segments
from clarion.ports.suppression import Suppressions
from clarion.ports.system import Chance, Clock
from clarion.ports.templates import Partials, Templates
from clarion.stages.authoring.preparing import Tools
from clarion.stages.intake.register import Rules
from clarion.stages.planning.dry_run import DryRunPorts
from clarion.telemetry.metrics import Metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiLimits:
    """How much of anything the API takes. Sizes in octets, times in seconds."""

    max_body: int = 1024 * 1024
    max_batch_body: int = 16 * 1024 * 1024
    max_import_body: int = 4 * 1024 * 1024 * 1024
    body_time_s: float = 20.0
    """From the first look at a body to its end; imports: between two pieces."""
    store_silence_s: float = 20.0
    """So long requests wait for a store that finishes nothing; bulk work waits longer."""
    rate_per_s: float = 5_000.0
    """Requests per second and key, per process."""
    rate_burst: int = 10_000
    max_rows: int = 5_000
    """Rows of one batch request."""
    max_recipients: int = 10_000
    """Named recipients of one message."""
    messages_days: int = 30
    """How long messages are kept after they ended."""
    events_days: int = 30
    """How long the ids of events are remembered; older events are refused."""
    outcomes_days: int = 400
    """How long the facts keep outcomes and decisions: the shorter of the two."""
    events_every_s: float = 0.5
    """How often the progress of a message is looked at for server-sent events."""
    events_for_s: float = 3_600.0
    """After this long a stream of events ends; clients reconnect by themselves."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiDependencies:
    """Ports, clock, chance and the few settings that the API obeys."""

    clock: Clock
    chance: Chance
    apps: Apps
    people: People
    devices: Devices
    events: Events
    lists: Lists
    keys: Keys
    credentials: Credentials
    acceptor: Acceptor
    urgent: UrgentQueue | None = None
    """Where urgent messages wait; None: they are accepted like all others."""
    messages: Messages
    facts: Facts
    audience: Audience
    counts: AudienceCounts
    decisions: RecordedDecisions
    dry_runs: DryRunPorts
    quotas: Mapping[Network, int] = field(default_factory=dict)
    """Messages a minute that a network takes where the credential does not say; absent: any."""
    rulebook: Rulebook
    segments: Segments
    categories: Categories
    consents: Consents
    permissions: Permissions
    preferences: PreferenceBook
    links: PreferenceLinks
    suppressions: Suppressions
    templates: Templates
    partials: Partials
    words: Tools
    """What renders templates, here for checks and previews."""
    erasures: Erasures
    person_facts: PersonFacts
    providers: Mapping[Network, Provider]
    metrics: Metrics
    cursor_key: bytes = field(repr=False)
    """At least 32 octets, the same in every process: cursors are sealed with it."""
    rules: Rules
    """What registrations are judged by: time zones, trusted push services."""
    limits: ApiLimits = field(default_factory=ApiLimits)
    operator_app: AppId | None = None
    """Admin keys of this app may make and list apps."""
    identity_secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """App name -> HS256 secret. An app that is named here demands a signed identity token where a
    `device` key says who the person is."""
    allowed_origins: frozenset[str] = frozenset({"*"})
    """Origins whose pages may call the endpoints of `device` keys (CORS)."""
    push_origin: str | None = None
    """Of our own push service, where it runs: pages read its streams."""
    ready: Callable[[], Awaitable[Mapping[str, bool]]]
    """What `/readyz` reports: name of a part -> whether it works."""
    stopping: asyncio.Event
    """Set when the process drains: streams of events end."""
