"""From records to what the API shows of messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from clarion.api.deciding import decision_view
from clarion.api.shapes.messages import (
    AttemptView,
    DigestView,
    LaneName,
    MessageSummary,
    MessageView,
    OutcomeView,
    ProgressView,
    SignalView,
    StateName,
    SuppressedByView,
    TracedDevice,
    TraceView,
)
from clarion.api.shapes.segments import SegmentUsedView
from clarion.domain.campaign import MessageState
from clarion.domain.decided import Decided
from clarion.domain.device import DeviceState
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.ports.digests import DigestParts
from clarion.ports.facts import AttemptFact, MessageCounts, SignalFact
from clarion.ports.messages import MessageRecord
from clarion.ports.registry import DeviceRecord, PersonRecord
from clarion.ports.suppression import SuppressedBy

STATE_NAMES: Final[Mapping[MessageState, StateName]] = {
    MessageState.SCHEDULED: "scheduled",
    MessageState.SENDING: "sending",
    MessageState.PAUSED: "paused",
    MessageState.CANCELING: "canceling",
    MessageState.FINISHED: "finished",
    MessageState.CANCELED: "canceled",
}
LANE_NAMES: Final[Mapping[Lane, LaneName]] = {
    Lane.CALL: "call",
    Lane.TRANSACTIONAL: "transactional",
    Lane.CAMPAIGN: "campaign",
    Lane.BULK: "bulk",
}
NO_DEVICE: Final = "none"


class _Titled(msgspec.Struct, frozen=True):
    title: str | None = None


def progress(record: MessageRecord, counts: MessageCounts) -> ProgressView:
    """How far a message is."""
    return ProgressView(
        state=STATE_NAMES[record.state],
        recipients=record.recipients,
        done=sum(row.count for row in counts.outcomes),
        retried=sum(counts.retried.values()),
        trouble=record.trouble,
    )


def view(record: MessageRecord, counts: MessageCounts) -> MessageView:
    """A message with its outcomes, counted by reason, by outcome, and by network."""
    by_outcome: dict[str, int] = {}
    by_network: dict[str, dict[str, int]] = {}
    for row in counts.outcomes:
        outcome = row.outcome.name.lower()
        by_outcome[outcome] = by_outcome.get(outcome, 0) + row.count
        part = by_network.setdefault(_label(row.network) or NO_DEVICE, {})
        part[outcome] = part.get(outcome, 0) + row.count
    return MessageView(
        id=record.id,
        state=STATE_NAMES[record.state],
        lane=LANE_NAMES[record.lane],
        send_at=record.send_at,
        expires_at=record.expires_at,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
        canceled_at=record.canceled_at,
        paused_at=record.paused_at,
        request=msgspec.json.decode(record.request, type=dict),
        progress=progress(record, counts),
        trouble=record.trouble,
        outcomes=[
            OutcomeView(_label(row.network), row.outcome.name.lower(), row.reason.label, row.count)
            for row in counts.outcomes
        ],
        by_outcome=by_outcome,
        by_network=by_network,
        retried_by_network={_label(n) or NO_DEVICE: count for n, count in counts.retried.items()},
        answered_after_s={
            f"p{percentile}": round((at - record.created_at).total_seconds(), 3)
            for percentile, at in counts.answered_at.items()
        },
        first_outcome_at=counts.first_at,
        last_outcome_at=counts.last_at,
    )


def summary(record: MessageRecord) -> MessageSummary:
    """A message in a list."""
    return MessageSummary(
        id=record.id,
        state=STATE_NAMES[record.state],
        lane=LANE_NAMES[record.lane],
        title=msgspec.json.decode(record.request, type=_Titled).title,
        send_at=record.send_at,
        created_at=record.created_at,
        finished_at=record.finished_at,
        recipients=record.recipients,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What is known of one person's part in a message."""

    decided: Sequence[Decided]
    attempts: Sequence[AttemptFact]
    signals: Sequence[SignalFact]
    devices: Sequence[DeviceRecord]
    digests: DigestParts
    segments: list[SegmentUsedView]
    suppressed_by: Sequence[SuppressedBy]
    too_old: bool


def trace(record: MessageRecord, person: PersonRecord, part: Part) -> TraceView:
    """One person's part in a message."""
    gathered = part.digests
    return TraceView(
        message=record.id,
        user=person.id,
        external_id=person.external_id,
        state=STATE_NAMES[record.state],
        decisions=[decision_view(one) for one in part.decided],
        attempts=[_attempt(fact) for fact in part.attempts],
        signals=[
            SignalView(at=signal.at, device=signal.device, what=signal.what)
            for signal in part.signals
        ],
        devices=[_device(device) for device in part.devices],
        too_old=part.too_old,
        segments=part.segments,
        suppressed_by=[
            SuppressedByView(list=one.name, since=one.since) for one in part.suppressed_by
        ],
        digest=None
        if gathered.due_at is None
        else DigestView(message=gathered.digest, due_at=gathered.due_at),
        digest_items=list(gathered.items),
    )


def _attempt(fact: AttemptFact) -> AttemptView:
    return AttemptView(
        at=fact.at,
        device=fact.device,
        network=_label(fact.network),
        attempt=fact.attempt,
        outcome=None if fact.outcome is None else fact.outcome.name.lower(),
        reason=fact.reason.label,
        status=fact.status,
        note=fact.note,
        provider_id=fact.provider_id,
    )


def _device(device: DeviceRecord) -> TracedDevice:
    return TracedDevice(
        id=device.id,
        network=device.network.label,
        state="active" if device.state is DeviceState.ACTIVE else "dead",
        opted_out=device.opted_out,
        platform=device.platform,
        model=device.model,
        app_version=device.app_version,
    )


def _label(network: Network | None) -> str | None:
    return None if network is None else network.label
