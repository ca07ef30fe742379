"""Consent, permission, suppression and privacy, as JSON."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec

from clarion.api.shapes.imports import BadRowView
from clarion.api.shapes.people import Network, PersonView, RefusedRow
from clarion.api.shapes.preferences import PreferencesView
from clarion.api.shapes.text import NO_CONTROL, UUID, Id, Instant, Line, Name, Text, Token

How = Literal["sdk_prompt", "import", "api", "preference_page", "unsubscribe_link"]
PromptInput = Literal[
    "show_primer",
    "accept_primer",
    "decline_primer",
    "show_prompt",
    "grant",
    "grant_provisionally",
    "deny",
    "dismiss",
    "block",
    "reset",
]

VisitorInput = Literal[
    "show_primer", "accept_primer", "decline_primer", "show_prompt", "grant", "deny", "dismiss"
]
PrimerVersion = Annotated[str, msgspec.Meta(max_length=100, pattern=NO_CONTROL)]


class ConsentRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one person said about one category. `external_id` creates whoever is not known."""

    external_id: Name | None = None
    user: Id | None = None
    category: Name
    """Slug, or `*` for everything (the global switch)."""
    change: Literal["granted", "withdrawn", "provisional", "confirmed"]
    """`granted` is provisional where the category wants a double opt-in, until `confirmed`."""
    at: Instant | None = None
    """When the person said so; now when left out."""
    how: How = "api"
    text: Text = ""
    """The words that the person was shown."""
    language: Line = ""
    text_version: Line = ""
    evidence: Annotated[dict[Name, Line], msgspec.Meta(max_length=16)] = {}
    """`address` is an IP address, which is cut to its first 24 (IPv6: 48) bits."""


class ConsentBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many consents."""

    consents: Annotated[list[ConsentRow], msgspec.Meta(min_length=1, max_length=5_000)]


class RecordedView(msgspec.Struct, frozen=True):
    """What was written of one row."""

    number: int
    """Of the entry in the app's ledger; 0 where the row was refused, or was there already."""
    change: str | None
    """`granted`, `withdrawn` or `provisional`."""


class RecordedList(msgspec.Struct, frozen=True):
    """What became of the rows."""

    items: list[RecordedView]
    """Of a JSON body: each row, in order."""
    refused: list[RefusedRow]
    """Of a JSON body: what was not written, by index."""
    rows_read: int
    rows_in: int
    """Entries that were written."""
    rows_repeated: int
    """What the ledger said already, of the same instant."""
    rows_bad: int
    bad: list[BadRowView]
    """Of a file: the first 1,000 rows that were not written."""


class ConsentLineView(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of a person's ledger."""

    number: int
    category: str | None
    """Null: everything."""
    change: Literal["granted", "withdrawn", "provisional"]
    how: How
    at: datetime
    recorded_at: datetime
    text: str
    language: str
    text_version: str
    evidence: dict[str, str]
    hash: str


class ConsentHistory(msgspec.Struct, frozen=True):
    """All entries of one person, oldest first."""

    items: list[ConsentLineView]


class VerifiedView(msgspec.Struct, frozen=True, kw_only=True):
    """How far the app's ledger holds."""

    holds: bool
    entries: int
    head: str
    """Hash of the last entry that holds. Keep it elsewhere: entries cut off the end show only
    against a head that was kept."""
    broken_at: int | None
    because: str
    drifted: list[int]
    """Up to 100 people whose state is not what their entries come to."""


class PromptBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of asking for the system's permission."""

    what: PromptInput
    id: Annotated[str, msgspec.Meta(pattern=UUID)] | None = None
    """Made for this step alone: it is taken once however often it is told."""
    at: Instant | None = None
    version: PrimerVersion = ""
    """Which text the person was shown."""


class DevicePromptBody(PromptBody, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step, told by the device itself."""

    network: Network
    token: Token


class VisitorStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step of somebody who has no device."""

    id: Annotated[str, msgspec.Meta(pattern=UUID)]
    """Made for this step alone: it counts once however often it is told."""
    what: VisitorInput
    at: Instant | None = None
    version: PrimerVersion = ""


class VisitorSteps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a browser tells before it has an address, or because it will have none."""

    steps: Annotated[list[VisitorStep], msgspec.Meta(min_length=1, max_length=50)]


class PromptView(msgspec.Struct, frozen=True):
    """Where a device stands."""

    state: str
    permission: str
    permission_at: datetime | None


class FunnelQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which stretch of time; the last 30 days when left out."""

    since: Instant | None = None
    until: Instant | None = None


class FunnelStep(msgspec.Struct, frozen=True):
    """How often something happened, and on how many devices."""

    what: PromptInput
    times: int
    devices: int


class FunnelVersion(msgspec.Struct, frozen=True):
    """How often something happened to those who were shown one text."""

    version: str
    what: PromptInput
    times: int


class FunnelDay(msgspec.Struct, frozen=True):
    """How often each step happened on a day to those who were shown one text."""

    day: date
    """In UTC."""
    language: str
    """Of the device; empty where it has none, and of visitors who have no device."""
    version: str
    """The text; empty where it has no name."""
    steps: dict[str, int]
    """Step -> times; steps that did not happen are left out."""


class FunnelView(msgspec.Struct, frozen=True):
    """The funnel of the app."""

    since: datetime
    until: datetime
    steps: list[FunnelStep]
    """`times` with, `devices` without those who have no device."""
    versions: list[FunnelVersion]
    """The same times by the text that was shown; the 500 most frequent. What names none is left
    out."""
    days: list[FunnelDay]
    """The same times for each day, language and text, the earliest first: of the 10,000 most
    frequent."""
    days_cut: bool
    """There were more of these: ask for fewer days."""
    permissions: dict[str, int]
    """Permission -> how many living devices have it now."""


class SuppressionListBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a list is for."""

    description: Line = ""


class SuppressionListView(msgspec.Struct, frozen=True):
    """A list of names that nothing is sent to."""

    name: str
    description: str
    names: int
    erased: int
    """Names of erased people, of which a keyed hash is left; they are in no page of names."""
    created_at: datetime


class SuppressionLists(msgspec.Struct, frozen=True):
    """Lists of the app in order of their names."""

    items: list[SuppressionListView]
    next: str | None
    """Cursor of what follows; null at the end."""


class SuppressBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names to put on a list."""

    external_ids: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=50_000)]
    reason: Line = ""


class UnsuppressBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names to take off a list."""

    external_ids: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=50_000)]


class ChangedView(msgspec.Struct, frozen=True):
    """How many names were put on the list, or taken off."""

    changed: int


class SuppressedView(msgspec.Struct, frozen=True):
    """A name on a list."""

    external_id: str
    reason: str
    created_at: datetime


class SuppressedPage(msgspec.Struct, frozen=True):
    """Some names, and the one after which the next page begins."""

    items: list[SuppressedView]
    next: str | None


class NamesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which part of a list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100
    after: Name | None = None


class ErasureView(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure with its proof."""

    id: int
    state: Literal["open", "done"]
    """`open`: gone from the state; the facts follow as soon as their owner answers."""
    requested_at: datetime
    done_at: datetime | None
    subject: str
    """SHA-256 of the salt's octets and the external id (of `#` and the number of whoever had
    none): shows whom it was about to whoever knows the name."""
    salt: str
    removed: dict[str, int]
    kept: dict[str, int]
    """What stays on purpose: keyed hashes of the name on suppression lists."""
    proof: str


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """All that is held about one person."""

    exported_at: datetime
    person: PersonView
    preferences: PreferencesView
    consent: list[ConsentLineView]
    devices: list[dict[str, Any]]
    """Without the secrets that send to them."""
    state: dict[str, Any]
    facts: dict[str, Any]
    """All rows of each kind, the oldest first."""
