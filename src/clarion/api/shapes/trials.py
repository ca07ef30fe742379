"""Dry runs and replays, as JSON."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from clarion.api.shapes.segments import SegmentUsedView

MAX_SAMPLES = 20

Samples = Annotated[int, msgspec.Meta(ge=0, le=MAX_SAMPLES)]


class DryRunQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much to show."""

    samples: Samples = 5
    """People who would be sent to, with what they would read."""


class DecisionCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices of a network would be treated in one way."""

    action: str
    reason: str
    network: str | None
    """null: people without a device."""
    count: int


class HeldHour(msgspec.Struct, frozen=True, kw_only=True):
    """What is held until some time in one hour."""

    at: datetime
    """When the hour begins."""
    reason: str
    count: int


class DecisionsView(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about the recipients of a message, counted."""

    message: str
    recipients: int
    """Devices, and people without one, that were decided about so far."""
    by_action: dict[str, int]
    decisions: list[DecisionCount]
    """The most frequent first."""
    held: list[HeldHour]
    """What was held when it was decided, in order of time; it is not taken away once sent."""


class ExampleView(msgspec.Struct, frozen=True, kw_only=True):
    """One person for whom it was decided so, in words."""

    action: str
    reason: str
    user: int
    external_id: str | None
    explanation: str


class HourView(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of one network."""

    at: datetime
    network: str
    due: int
    """What the rules let go."""
    sent: int
    """What the budgets let go."""
    waiting: int
    """At the end of the hour, for the budget."""


class LocalTimeView(msgspec.Struct, frozen=True, kw_only=True):
    """Devices where the local time asked for is over, and what each `if_passed` does with them."""

    passed: int
    next_day_held: int
    drop_dropped: int
    send_now_sent: int
    send_now_dropped: int


class MessagePeople(msgspec.Struct, frozen=True, kw_only=True):
    """Another message, and of how many people."""

    message: str
    people: int


class CollisionsView(msgspec.Struct, frozen=True, kw_only=True):
    """What frequency caps do, and which messages are the reason."""

    people: int
    """Whom a cap stops, or lets wait."""
    people_by_scheduled: int
    """Of these, how many have another message that is scheduled and not sent yet."""
    scheduled: list[MessagePeople]
    give_way: list[MessagePeople]
    """Less important messages that would give way to this one."""


class PayloadView(msgspec.Struct, frozen=True, kw_only=True):
    """Payloads on one network, in octets."""

    limit: int
    longest: int
    too_long: int
    """Devices whose payload the network would refuse."""
    users: list[int]
    """Some of their people."""


class SampleView(msgspec.Struct, frozen=True, kw_only=True):
    """What one person would read."""

    user: int
    external_id: str | None
    device: int
    network: str
    language: str | None
    time_zone: str | None
    action: str
    at: datetime
    title: str | None
    body: str | None
    link: str | None
    octets: int | None
    """Of the payload; null where everybody gets the same."""
    explanation: str


class DryRunView(msgspec.Struct, frozen=True, kw_only=True):
    """What a message would come to."""

    planned_at: datetime
    people: int
    recipients: int
    """Devices, and people without one."""
    unknown: int
    """Named recipients that do not exist."""
    by_action: dict[str, int]
    decisions: list[DecisionCount]
    examples: list[ExampleView]
    curve: list[HourView]
    per_minute: dict[str, int]
    """What the networks' credentials may send; those that are absent have no budget."""
    throttle_per_minute: int | None
    """The app's or the message's, whichever is less."""
    last_hour: datetime | None
    """When the last of it would be sent, to the hour."""
    local_time: LocalTimeView | None
    time_zone_unknown: int
    """Devices that the rules ask the time for, and whose zone is not known."""
    caps: CollisionsView
    payloads: dict[str, PayloadView]
    missing: dict[str, int]
    """Variable -> recipients for whom it has no value."""
    failures: dict[str, int]
    """What a template says -> recipients for whom it fails."""
    refused: bool
    """The message would be sent to nobody: some miss what it prints, and it minds."""
    samples: list[SampleView]
    policy: dict[str, Any]
    """The rules, as `replay` takes changes of them."""


class ReplayBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Other rules for a message that was planned."""

    policy: dict[str, Any]
    """Merge patch (RFC 7396) of the rules: null clears, objects are merged."""
    samples: Samples = 5


class VerdictView(msgspec.Struct, frozen=True, kw_only=True):
    """What is done about a device."""

    action: str
    reason: str


class MoveView(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices would have been treated so instead of so."""

    before: VerdictView
    after: VerdictView
    count: int


class ReplaySample(msgspec.Struct, frozen=True, kw_only=True):
    """One device that would have been treated differently."""

    user: int
    external_id: str | None
    device: int
    before: VerdictView
    after: VerdictView
    explanation_before: str
    explanation_after: str


class ReplayView(msgspec.Struct, frozen=True, kw_only=True):
    """Who would have been treated differently."""

    message: str
    considered: int
    changed: int
    moves: list[MoveView]
    """The most frequent first. Both sides are alike where only the moment changes, or the sound."""
    samples: list[ReplaySample]
    policies: list[list[str]]
    """Versions of the rules that were asked then, and of those in their place."""
    segments: list[SegmentUsedView]
    """The segments by which people were chosen, as they were then."""
