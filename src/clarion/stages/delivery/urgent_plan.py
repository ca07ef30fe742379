"""Planning a group of urgent messages: the same rule as for a campaign, over a handful of rows."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np

from clarion.domain.content import Message
from clarion.domain.decided import Decided
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import (
    BatchSent,
    BatchToSend,
    ChunkKind,
    Int64s,
    Recipients,
    UInt16s,
)
from clarion.domain.ids import AppId, BatchId, CredentialId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.suppression import OutcomeRows, left_out, unknown
from clarion.ports.journal import JournalEntry, KnownCredential, Looked, NamedRows
from clarion.ports.messages import NewMessage
from clarion.stages.delivery.urgent_rules import rule_group


@dataclass(kw_only=True, slots=True)
class UrgentPlan:
    """Batches of a group, not yet numbered, and who was left out."""

    drafts: list[BatchToSend] = field(default_factory=list)
    leased: list[bool] = field(default_factory=list)
    skipped: list[BatchSent] = field(default_factory=list)
    batches: list[BatchToSend] = field(default_factory=list)
    decided: Sequence[Decided] = ()
    sent: Mapping[AppId, Ledger] = field(default_factory=dict)

    def number(self, ids: Sequence[BatchId]) -> None:
        """Give the batches their ids."""
        self.batches = [
            replace(draft, id=number) for draft, number in zip(self.drafts, ids, strict=True)
        ]


def plan_group(
    news: Sequence[NewMessage], indexes: Sequence[int], looked: Looked, now: datetime
) -> UrgentPlan:
    """Decide about the rows of a group.

    Args:
        news: the messages to plan.
        indexes: what each is called in `looked` (column `ix`).
        looked: what the store knows.
        now: the instant of the decision.
    """
    plan = UrgentPlan()
    rows = looked.rows
    rulings = rule_group(news, indexes, looked, now)
    plan.decided = rulings.decided
    plan.sent = rulings.sent
    mine = rulings.mine
    reason = rulings.reason
    _leave_out(plan, news, indexes, looked, np.where(mine, reason, np.uint16(0)), now)
    sending = np.flatnonzero(mine & (reason == int(Reason.ACCEPTED)))
    if not len(sending):
        return plan
    by_ix = dict(zip(indexes, news, strict=True))
    parts: dict[tuple[AppId, Lane, Network], list[int]] = {}
    for row in sending.tolist():  # a group names some dozens of people at the most
        message = by_ix[int(rows.ix[row])].message
        key = (message.app, message.lane, Network(int(rows.network[row])))
        parts.setdefault(key, []).append(row)
    for (app, _, network), chosen in parts.items():
        known = looked.credentials[app, network]
        plan.drafts.append(_draft(by_ix, known, rows, np.array(chosen), looked.xid, now))
        plan.leased.append(known.active)
    return plan


def without_credentials(
    entry: JournalEntry, gone: Collection[CredentialId], now: datetime
) -> JournalEntry:
    """The entry without batches over these credentials: as if they had been gone at the look.

    Their recipients are recorded as without a credential, a message at a time.
    """
    skipped = list(entry.skipped)
    for batch in entry.batches:
        if batch.credential in gone:
            skipped.extend(_credential_missing(batch, now))
    kept = [n for n, batch in enumerate(entry.batches) if batch.credential not in gone]
    return replace(
        entry,
        batches=[entry.batches[n] for n in kept],
        leased=[entry.leased[n] for n in kept],
        skipped=skipped,
    )


def _credential_missing(batch: BatchToSend, now: datetime) -> Iterator[BatchSent]:
    recipients = batch.recipients
    index = recipients.message
    for at, message in enumerate(batch.messages):
        mine = np.ones(len(recipients), np.bool_) if index is None else index == at
        count = int(np.count_nonzero(mine))
        facts = left_out(
            recipients.device[mine],
            recipients.user[mine],
            np.full(count, batch.network, np.uint8),
            np.full(count, Reason.CREDENTIAL_MISSING, np.uint16),
            now,
        )
        yield _skips(message, facts, ())


def _leave_out(  # the group, and what was decided about it
    plan: UrgentPlan,
    news: Sequence[NewMessage],
    indexes: Sequence[int],
    looked: Looked,
    reason: UInt16s,
    now: datetime,
) -> None:
    """Record who is not sent to, and the names that are not there."""
    if not reason.any() and not any(looked.unknown):
        return
    rows = looked.rows
    for new, ix in zip(news, indexes, strict=True):
        left = (rows.ix == ix) & (reason != 0)
        names = looked.unknown[ix]
        if left.any() or names:
            facts = left_out(
                rows.device[left], rows.user[left], rows.network[left], reason[left], now
            )
            facts = np.concatenate([facts, unknown(names, now)])
            told = [one.name for one in names]
            plan.skipped.append(_skips(new.message, facts, told))


def _draft(  # one batch's columns
    by_ix: Mapping[int, NewMessage],
    known: KnownCredential,
    rows: NamedRows,
    chosen: Int64s,
    xid: int,
    now: datetime,
) -> BatchToSend:
    used, index = np.unique(rows.ix[chosen], return_inverse=True)
    messages = [by_ix[int(ix)].message for ix in used]
    network = Network(int(rows.network[chosen[0]]))
    at = chosen.tolist()
    recipients = Recipients(
        device=rows.device[chosen],
        user=rows.user[chosen],
        registered_us=rows.registered_us[chosen],
        environment=rows.environment[chosen],
        tokens=[rows.tokens[row] or b"" for row in at],
        keys=[rows.keys[row] or b"" for row in at] if network is Network.WEBPUSH else None,
        message=index.astype(np.uint16),
    )
    return BatchToSend(
        id=BatchId(0),
        app=messages[0].app,
        lane=messages[0].lane,
        network=network,
        credential=known.id,
        messages=messages,
        recipients=recipients,
        cursor=0,
        attempt=0,
        first_attempt_at=now,
        fence=1,
        planned_xid=xid,
    )


def _skips(message: Message, facts: OutcomeRows, notes: Sequence[str]) -> BatchSent:
    return BatchSent(
        app=message.app, kind=ChunkKind.PLANNED, messages=[message.id], rows=facts, notes=notes
    )
