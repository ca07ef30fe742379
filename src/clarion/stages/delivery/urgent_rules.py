"""The whole order of rules for a group of urgent messages: each policy is asked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.app_rules import AppRules, Moment
from clarion.domain.consent import bit
from clarion.domain.decided import Decided
from clarion.domain.decision import decide
from clarion.domain.decision_row import (
    NO_WINDOWS,
    PERMISSION_SHIFT,
    Action,
    Decisions,
    Flag,
    Inputs,
    record,
)
from clarion.domain.frequency import Ledger
from clarion.domain.handoffs import Int64s, UInt16s
from clarion.domain.ids import AppId
from clarion.domain.network import Network
from clarion.domain.policy import Policy, to_json
from clarion.domain.send_time import instant_us
from clarion.domain.zones import UNKNOWN_ZONE, ZoneSource
from clarion.ports.journal import Looked
from clarion.ports.messages import NewMessage

Mask = npt.NDArray[np.bool_]

_NETWORKS: Final = max(Network) + 1
"""Columns, by the number of a network; none has the number 0."""


@dataclass(kw_only=True, slots=True)
class GroupRulings:
    """What is done about the rows of a group."""

    mine: Mask
    """The rows that were decided about."""
    reason: UInt16s
    decided: list[Decided] = field(default_factory=list)
    sent: dict[AppId, Ledger] = field(default_factory=dict)


class Policies:
    """The policy of each message of a group; messages that ask for the same share one."""

    def __init__(self, rules: Mapping[AppId, AppRules]) -> None:
        self._rules = rules
        self._known: dict[tuple[AppId, str, Moment, int | None], Policy] = {}

    def of(self, new: NewMessage) -> Policy:
        """What is asked about the message."""
        message = new.message
        expires_us = None if message.expires_at is None else instant_us(message.expires_at)
        key = (message.app, message.category, new.moment, expires_us)
        found = self._known.get(key)
        if found is None:
            app = self._rules[message.app]
            found = app.policy(message.category, new.moment, expires_us=expires_us)
            self._known[key] = found
        return found


def waits(new: NewMessage, policy: Policy) -> bool:
    """Whether planning decides: rules may hold the message, or its words differ by person."""
    category = policy.category
    return bool(
        new.moment.local is not None
        or new.moment.throttle_per_minute is not None
        or category.hushed
        or category.gathers
        or policy.binding_caps
        or new.message.wording is not None
    )


def rule_group(
    news: Sequence[NewMessage], indexes: Sequence[int], looked: Looked, now: datetime
) -> GroupRulings:
    """Decide about the rows of a group, those of one policy together.

    Args:
        news: the messages to plan.
        indexes: what each is called in `looked` (column `ix`).
        looked: what the store knows.
        now: the instant of the decision.
    """
    rows = looked.rows
    found = GroupRulings(mine=np.zeros(len(rows), np.bool_), reason=np.zeros(len(rows), np.uint16))
    policies = Policies(looked.rules)
    kinds: dict[tuple[AppId, int], list[int]] = {}
    for place, new in enumerate(news):  # one policy, one object: `policies` keeps them all alive
        kinds.setdefault((new.message.app, id(policies.of(new))), []).append(place)
    for places in kinds.values():
        part = [news[at] for at in places]
        _rule(found, part, [indexes[at] for at in places], looked, policies.of(part[0]), now)
    return found


def _rule(
    found: GroupRulings,
    news: Sequence[NewMessage],
    indexes: Sequence[int],
    looked: Looked,
    policy: Policy,
    now: datetime,
) -> None:
    """Decide about messages of one policy; each person's part in each message is its own."""
    app = news[0].message.app
    named = np.zeros(len(looked.unknown), np.bool_)
    named[indexes] = True
    chosen = np.flatnonzero(named[looked.rows.ix])
    if not len(chosen):
        return
    read = _inputs(news, indexes, looked, policy, chosen)
    now_us = instant_us(now)
    said = decide(read, policy, now_us=now_us, usage=Ledger.empty())
    found.mine[chosen] = True
    found.reason[chosen] = said.reason
    index = looked.rows.ix[chosen]
    if looked.rules[app].counts:
        _count(found, app, _sent(read, said, policy, index))
    order = np.argsort(index, kind="stable")
    runs = np.bincount(index, minlength=len(looked.unknown))
    there = [at for at, ix in enumerate(indexes) if runs[ix]]
    there.sort(key=lambda at: indexes[at])
    found.decided.append(
        Decided(
            app=app,
            messages=[news[at].message.id for at in there],
            runs=[int(runs[indexes[at]]) for at in there],
            rows=record(read, said, now_us)[order],
            policy=to_json(policy),
        )
    )


def _sent(read: Inputs, said: Decisions, policy: Policy, index: Int64s) -> Ledger:
    """What caps count: two messages to one person at one instant are two."""
    rows = np.flatnonzero(said.action == Action.SEND)
    _, first, person = np.unique(
        np.stack([index[rows], read.user[rows]]), axis=1, return_index=True, return_inverse=True
    )
    networks = np.zeros(len(first), np.uint8)
    np.bitwise_or.at(networks, person.reshape(-1), np.uint8(1) << read.network[rows])
    chosen = rows[first]
    n = len(chosen)
    return Ledger(
        user=read.user[chosen],
        at_us=said.send_us[chosen],
        networks=networks,
        category=np.full(n, policy.category.slot, np.uint8),
        priority=np.full(n, policy.weight, np.uint8),
    )


def _count(found: GroupRulings, app: AppId, sent: Ledger) -> None:
    before = found.sent.get(app)
    found.sent[app] = sent if before is None else before.plus(sent)


def _inputs(
    news: Sequence[NewMessage],
    indexes: Sequence[int],
    looked: Looked,
    policy: Policy,
    chosen: Int64s,
) -> Inputs:
    """The inputs of some dozens of rows: a data frame would cost more than the decision."""
    rows, slot = looked.rows, policy.category.slot
    wanted = np.ones((len(looked.unknown), _NETWORKS), np.bool_)
    wanted[:, 0] = False
    for new, ix in zip(news, indexes, strict=True):
        if new.target.networks:
            wanted[ix] = False
            wanted[ix, [int(network) for network in new.target.networks]] = True
    able = np.zeros(_NETWORKS, np.bool_)
    app = news[0].message.app
    able[[int(network) for owner, network in looked.credentials if owner == app]] = True
    network = rows.network[chosen]
    bits: Mapping[Flag, Mask] = {
        Flag.USER_OPTED_OUT: rows.user_opted_out[chosen],
        Flag.SUPPRESSED: rows.suppressed[chosen],
        Flag.DEAD: rows.dead[chosen],
        Flag.DEVICE_OPTED_OUT: rows.device_opted_out[chosen],
        Flag.WANTED: wanted[rows.ix[chosen], network],
        Flag.ABLE: able[network],
        Flag.GRANTED: bit(rows.granted[chosen], slot),
        Flag.DENIED: bit(rows.denied[chosen], slot),
    }
    flags = rows.permission[chosen].astype(np.uint32) << np.uint32(PERMISSION_SHIFT)
    for flag, mask in bits.items():
        flags |= mask.astype(np.uint32) * np.uint32(flag)
    n = len(chosen)
    return Inputs(
        user=rows.user[chosen],
        device=rows.device[chosen],
        network=network,
        flags=flags,
        paused_until_us=rows.paused_until_us[chosen],
        zone=np.full(n, UNKNOWN_ZONE, np.uint16),  # no rule that is asked here looks at a clock
        zone_source=np.full(n, ZoneSource.UNKNOWN, np.uint8),
        quiet=np.full(n, NO_WINDOWS, np.uint16),
        zone_names=(),
        persons=(),
    )
