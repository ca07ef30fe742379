"""Messages, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from clarion.api.shapes.content import WordedBody
from clarion.api.shapes.people import Network
from clarion.api.shapes.segments import SegmentUsedView
from clarion.api.shapes.text import (
    DAY,
    PRINTABLE,
    TIME_OF_DAY_TO_SECONDS,
    Id,
    Instant,
    Name,
)

CollapseId = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=PRINTABLE)]
Ttl = Annotated[int, msgspec.Meta(ge=0, le=28 * 86_400)]
"""Seconds; FCM keeps a message for at most four weeks."""
LaneName = Literal["call", "transactional", "campaign", "bulk"]
StateName = Literal["scheduled", "sending", "paused", "canceling", "finished", "canceled"]
Members = dict[str, Any]
Recipients = Annotated[list[Name], msgspec.Meta(max_length=10_000)]


class AliasRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person by one of the app's own names."""

    label: Name
    value: Name


class ToBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whom a message is for: `all`, or some users, aliases and devices."""

    users: Recipients = []
    """External ids."""
    aliases: Annotated[list[AliasRef], msgspec.Meta(max_length=10_000)] = []
    devices: Annotated[list[Id], msgspec.Meta(max_length=10_000)] = []
    all: bool = False
    segment: str | Members | None = None
    """The name of a segment, or an expression: as text, or in its JSON form."""
    lists: Annotated[list[Name], msgspec.Meta(max_length=100)] = []
    """Members of any of these."""
    topics: Annotated[list[Name], msgspec.Meta(max_length=100)] = []
    """Subscribers of any of these."""
    exclude: str | Members | None = None
    """Nobody who is in this, given as `segment` is."""
    networks: Annotated[list[Network], msgspec.Meta(max_length=16)] = []
    """Only over these; empty: over every network of the person."""

    @property
    def named(self) -> int:
        """How many recipients are named."""
        return len(self.users) + len(self.aliases) + len(self.devices)

    @property
    def chosen(self) -> bool:
        """Whether recipients are found by what is known of them."""
        return bool(self.segment is not None or self.lists or self.topics)


class LocalTimeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When the clock of each person shows a time."""

    time: Annotated[str, msgspec.Meta(pattern=TIME_OF_DAY_TO_SECONDS)]
    date: Annotated[str, msgspec.Meta(pattern=DAY)] | None = None
    """Left out: the day that it is where the person is."""
    if_passed: Literal["next_day", "drop", "send_now"] = "next_day"
    """What becomes of it where that time is over: it waits for the next day, is not sent, or is
    sent at once while no more than `grace_s` have gone by."""
    grace_s: Annotated[int, msgspec.Meta(ge=0, le=7 * 86_400)] = 0


class MessageBody(WordedBody, frozen=True, kw_only=True, omit_defaults=True):
    """A message to send."""

    to: ToBody
    push_type: Literal[
        "alert",
        "background",
        "voip",
        "complication",
        "fileprovider",
        "mdm",
        "liveactivity",
        "location",
        "pushtotalk",
        "widgets",
        "controls",
    ] = "alert"
    priority: Literal["low", "normal", "high"] = "high"
    ttl: Ttl | None = None
    """Seconds that a network may keep trying; left out: the network's default."""
    expires_at: Instant | None = None
    """After this instant nothing is sent and nothing is shown."""
    send_at: Instant | None = None
    """Left out: now."""
    local_time: LocalTimeBody | None = None
    """Not before each person's clock shows this."""
    category: Name | None = None
    """Slug of the category whose consent, caps and quiet hours bind it; left out: `calls` in the
    lane `call`, the app's default elsewhere."""
    importance: Annotated[int, msgspec.Meta(ge=0, le=254)] | None = None
    """Of two messages under one cap, the one of the higher importance is sent; left out: the
    category's."""
    quiet_hours: Literal["respect", "hold", "drop", "silent"] = "respect"
    """What quiet hours of the app and the category do to it; a person's own windows always hold."""
    throttle_per_minute: Annotated[int, msgspec.Meta(ge=1, le=100_000_000)] | None = None
    """No more recipients than this in a minute."""
    collapse_id: CollapseId | None = None
    """Messages with the same id replace each other on the device."""
    lane: LaneName | None = None
    """Left out: transactional for at most 10 named recipients sent now, else campaign."""


class AcceptedView(msgspec.Struct, frozen=True):
    """A message that was accepted: it is durable."""

    id: str
    state: StateName
    lane: LaneName
    send_at: datetime
    created_at: datetime


class OutcomeView(msgspec.Struct, frozen=True):
    """How many recipients ended this way: devices, and people without one, each of them once."""

    network: str | None
    """null: users without a device."""
    outcome: str
    reason: str
    count: int


class ProgressView(msgspec.Struct, frozen=True):
    """How far a message is."""

    state: StateName
    recipients: int
    """Devices, and people without one, that were planned so far, suppressed ones included."""
    done: int
    """Recipients with a final outcome."""
    retried: int
    trouble: str | None = None
    """Why it waits for somebody, where it does."""


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message as it stands."""

    id: str
    state: StateName
    lane: LaneName
    send_at: datetime
    expires_at: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    canceled_at: datetime | None
    paused_at: datetime | None
    request: dict[str, Any]
    """As it was accepted."""
    progress: ProgressView
    trouble: str | None
    """Why planning or sending of it waits for somebody, where it does."""
    outcomes: list[OutcomeView]
    by_outcome: dict[str, int]
    """Outcome -> recipients, which are devices: it says nothing of how many people that is."""
    by_network: dict[str, dict[str, int]]
    """Network -> outcome -> recipients."""
    retried_by_network: dict[str, int]
    """Network -> recipients that needed more than one attempt."""
    answered_after_s: dict[str, float]
    """`p50`, `p90`, `p95`, `p99`: seconds from the message's creation until so many of those that
    were sent to had their network's last answer."""
    first_outcome_at: datetime | None
    last_outcome_at: datetime | None


class MessageSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A message in a list."""

    id: str
    state: StateName
    lane: LaneName
    title: str | None
    send_at: datetime
    created_at: datetime
    finished_at: datetime | None
    recipients: int
    """Devices, and people without one."""


class MessagePage(msgspec.Struct, frozen=True):
    """Some messages, newest first, and the cursor of the next page."""

    items: list[MessageSummary]
    next: str | None


class SteeredView(msgspec.Struct, frozen=True):
    """The state after a command."""

    id: str
    state: StateName


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt, or the decision not to send."""

    at: datetime
    device: int | None
    network: str | None
    attempt: int
    outcome: str | None
    """null: not final, it was tried again."""
    reason: str
    status: int
    """The network's status code; 0 when there was no answer."""
    note: str | None
    """The network's own words."""
    provider_id: str | None


class SignalView(msgspec.Struct, frozen=True, kw_only=True):
    """What came back after the network had taken the message."""

    at: datetime
    device: int | None
    what: str
    """`received` (the device confirmed it), `undelivered` (it never will), `displayed`, `opened`,
    `clicked` or `dismissed`."""


class TracedDevice(msgspec.Struct, frozen=True, kw_only=True):
    """A device of the person, as it is now."""

    id: int
    network: str
    state: Literal["active", "dead"]
    opted_out: bool
    platform: str | None
    model: str | None
    app_version: str | None


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about one device before anything was sent, and why."""

    at: datetime
    device: int | None
    network: str | None
    action: Literal["send", "hold", "skip", "digest"]
    reason: str
    send_at: datetime
    """When it was sent, or is to be; of a digest, when that is due."""
    policy: str
    """The version of the rules that decided."""
    time_zone: str | None
    language: str | None
    """Of the variant; null where the message has only one."""
    counters: list[int]
    """What each cap had counted."""
    text: str
    """What happened and what would have to change, in a paragraph."""


class SuppressedByView(msgspec.Struct, frozen=True, kw_only=True):
    """A suppression list that has the person's name."""

    list: str
    since: datetime


class DigestView(msgspec.Struct, frozen=True, kw_only=True):
    """The digest that the person's part is in."""

    message: str | None
    """The digest's own message; null: it waits until `due_at`."""
    due_at: datetime


class TraceView(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was recorded of one person's part in a message."""

    message: str
    user: int
    external_id: str | None
    state: StateName
    decisions: list[DecisionView]
    attempts: list[AttemptView]
    signals: list[SignalView]
    devices: list[TracedDevice]
    too_old: bool
    """The message ended longer ago than outcomes or decisions are kept: what is missing here may
    have been there."""
    segments: list[SegmentUsedView]
    """The segments by which the person was chosen, as they were then."""
    suppressed_by: list[SuppressedByView]
    """Where a reason is `suppression_list`: the lists that had the person's name then and have it
    still. Empty: they were taken off since."""
    digest: DigestView | None
    """null: the part is not gathered."""
    digest_items: list[str]
    """Of a digest: the messages whose parts it has for the person."""
