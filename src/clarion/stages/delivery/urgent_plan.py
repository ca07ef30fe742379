"""Planning a group of urgent messages: the same rule as for a campaign, over a handful of rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import polars as pl

from clarion.domain.content import Message
from clarion.domain.eligibility import decide
from clarion.domain.handoffs import BatchSent, BatchToSend, ChunkKind, Recipients
from clarion.domain.ids import AppId, BatchId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.suppression import OutcomeRows, suppressed, unknown
from clarion.ports.journal import KnownCredential, Looked
from clarion.ports.messages import NewMessage


@dataclass(kw_only=True, slots=True)
class UrgentPlan:
    """Batches of a group, not yet numbered, and who was left out."""

    drafts: list[BatchToSend] = field(default_factory=list)
    leased: list[bool] = field(default_factory=list)
    skipped: list[BatchSent] = field(default_factory=list)
    batches: list[BatchToSend] = field(default_factory=list)

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
    parts: dict[tuple[AppId, Lane, Network], list[tuple[Message, pl.DataFrame]]] = {}
    for new, ix in zip(news, indexes, strict=True):
        rows = looked.rows.filter(pl.col("ix") == ix)
        able = [network for app, network in looked.credentials if app == new.message.app]
        reason = decide(rows, targeted=new.target.networks, sendable=able)
        sending = reason == int(Reason.ACCEPTED)
        left_out = rows.filter(~sending)
        if len(left_out) or looked.unknown[ix]:
            facts = suppressed(left_out, reason.filter(~sending), now)
            names = looked.unknown[ix]
            facts = np.concatenate([facts, unknown(len(names), now)])
            plan.skipped.append(_skips(new.message, facts, names))
        for network in rows.filter(sending)["network"].unique().to_list():
            key = (new.message.app, new.message.lane, Network(network))
            part = rows.filter(sending & (rows["network"] == network))
            parts.setdefault(key, []).append((new.message, part))
    for (app, lane, network), pieces in parts.items():
        known = looked.credentials[app, network]
        plan.drafts.append(_draft(app, lane, network, known, pieces, looked.xid, now))
        plan.leased.append(known.active)
    return plan


def _draft(  # noqa: PLR0913  # one batch's columns
    app: AppId,
    lane: Lane,
    network: Network,
    known: KnownCredential,
    pieces: Sequence[tuple[Message, pl.DataFrame]],
    xid: int,
    now: datetime,
) -> BatchToSend:
    rows = pl.concat([part for _, part in pieces])
    index = np.repeat(np.arange(len(pieces), dtype=np.uint16), [len(part) for _, part in pieces])
    recipients = Recipients(
        device=rows["device"].to_numpy(),
        user=rows["user"].to_numpy(),
        registered_us=rows["registered_us"].to_numpy(),
        environment=rows["environment"].to_numpy(),
        tokens=rows["token"].to_list(),
        keys=rows["keys"].to_list() if network is Network.WEBPUSH else None,
        message=index,
    )
    return BatchToSend(
        id=BatchId(0),
        app=app,
        lane=lane,
        network=network,
        credential=known.id,
        messages=[message for message, _ in pieces],
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
