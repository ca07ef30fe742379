"""What a dry run adds up: counts, hours, collisions, words and their sizes, and people to show."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.domain.content import Message
from clarion.domain.decision_row import Action, Decisions, Inputs, record
from clarion.domain.explanation import explain
from clarion.domain.handoffs import Int64s, merge_column
from clarion.domain.ids import MessageId
from clarion.domain.intervals import NEVER
from clarion.domain.merge import filled
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.policy import Policy
from clarion.domain.send_time import AtLocal, IfPassed, instant_us, send_times
from clarion.domain.zones import DAY_US, HOUR_US, UNKNOWN_ZONE, ZoneTable
from clarion.ports.frequency import Usage
from clarion.ports.rendering import Moment, PreparedContent, RenderedContent

Mask = npt.NDArray[np.bool_]

NOT_ASKED: Final = (
    Reason.USER_OPTED_OUT,
    Reason.SUPPRESSION_LIST,
    Reason.USER_HAS_NO_DEVICE,
    Reason.DEVICE_DEAD,
    Reason.DEVICE_OPTED_OUT,
    Reason.PERMISSION_DENIED,
    Reason.NETWORK_EXCLUDED,
    Reason.CREDENTIAL_MISSING,
    Reason.CONSENT_MISSING,
    Reason.CATEGORY_OPTED_OUT,
    Reason.PAUSED_BY_PERSON,
    Reason.DIGESTED,
    Reason.TIME_ZONE_UNKNOWN,
)
"""Whom the rules leave out before they ask what time it is where they are."""
_CAPPED: Final = (Reason.FREQUENCY_CAPPED, Reason.HELD_FOR_CAP)
_OFFENDERS: Final = 10
"""People named whose payload is too long."""
_AHEAD_US: Final = 400 * DAY_US


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How devices of a network would be treated."""

    action: Action
    reason: Reason
    network: Network | None
    """None for people without a device."""


@dataclass(kw_only=True, slots=True)
class Passed:
    """Devices where the local time asked for is over, and what each choice would do with them."""

    over: int = 0
    within_grace: int = 0
    """`send_now` would send to these at once, and drop the others; `next_day` holds all, `drop`
    drops all."""


@dataclass(kw_only=True, slots=True)
class Collisions:
    """What caps do, and which other messages are the reason."""

    people: int = 0
    """Whom a cap stops, or lets wait."""
    people_by_scheduled: int = 0
    """Of these, how many have a message that is scheduled and not sent yet."""
    scheduled: Counter[MessageId] = field(default_factory=Counter)
    """Those messages, with how many people."""
    give_way: Counter[MessageId] = field(default_factory=Counter)
    """Less important messages that would give way, with how many people."""


@dataclass(kw_only=True, slots=True)
class Sizes:
    """Payloads on one network."""

    limit: int = 0
    longest: int = 0
    over: int = 0
    offenders: list[int] = field(default_factory=list)
    """Ids of some of the people whose payload is too long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """One person with what they would read."""

    user: int
    device: int
    network: Network
    language: str | None
    zone: str | None
    action: Action
    send_us: int
    octets: int | None
    title: str | None
    body: str | None
    link: str | None
    told: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One person who would not be sent to, with the decision in words."""

    user: int
    told: str


@dataclass(kw_only=True, slots=True)
class Forecast:
    """What a message would come to; people are added a piece at a time."""

    policy: Policy
    message: Message
    words: PreparedContent | None
    at: datetime
    wanted: int
    people: int = 0
    unknown: int = 0
    """Named recipients that do not exist."""
    zone_unknown: int = 0
    """Devices that the rules ask the time for, and whose zone is not known."""
    counts: Counter[Outcome] = field(default_factory=Counter)
    hours: Counter[tuple[int, Network]] = field(default_factory=Counter)
    """(hours from the start, network) -> devices that are due then."""
    passed: Passed | None = None
    collisions: Collisions = field(default_factory=Collisions)
    sizes: dict[Network, Sizes] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)
    """Variable -> devices whose people have none."""
    failures: Counter[str] = field(default_factory=Counter)
    examples: dict[tuple[Action, Reason], Example] = field(default_factory=dict)
    shown: list[Shown] = field(default_factory=list)

    @classmethod
    def of(
        cls,
        policy: Policy,
        message: Message,
        words: PreparedContent | None,
        at: datetime,
        wanted: int,
    ) -> "Forecast":
        """Of nobody yet."""
        passed = Passed() if isinstance(policy.when, AtLocal) else None
        return cls(policy=policy, message=message, words=words, at=at, wanted=wanted, passed=passed)

    @property
    def refused(self) -> bool:
        """Whether the message would be sent to nobody, because some miss what it prints."""
        return self.words is not None and self.words.refuses_missing and bool(self.missing)

    def samples(self) -> Sequence[Shown]:
        """As many of those who were kept as were wanted, from all over the audience."""
        chosen = np.unique(np.linspace(0, len(self.shown) - 1, self.wanted).astype(np.int64))
        return [self.shown[at] for at in chosen.tolist()] if self.shown else []

    def add(self, rows: pl.DataFrame, read: Inputs, said: Decisions, usage: Usage | None) -> None:
        """Add all devices of some people, with what was decided about them."""
        self.people += len(np.unique(read.user))
        self._times(read, said)
        if usage is not None:
            self._collide(read, said, usage)
        going = np.flatnonzero((said.action == Action.SEND) | (said.action == Action.HOLD))
        rendered, octets = self._write(rows, going, read, said)
        going = going[(said.action[going] != Action.SKIP)]
        self._count(read, said, going)
        self._show(read, said)
        self._keep(rows, (going, rendered, octets), read, said)

    def _times(self, read: Inputs, said: Decisions) -> None:
        asked = ~np.isin(said.reason, NOT_ASKED)
        unknown = read.zone == UNKNOWN_ZONE
        lost = said.reason == Reason.TIME_ZONE_UNKNOWN
        self.zone_unknown += int(np.count_nonzero(unknown & (asked | lost)))
        when = self.policy.when
        if self.passed is None or not isinstance(when, AtLocal):
            return
        now_us = instant_us(self.at)
        names = (*read.zone_names, self.policy.app_zone)
        zones = ZoneTable.build(names, now_us - 40 * DAY_US, now_us + _AHEAD_US)
        zone = read.zone[asked].astype(np.int64)
        zone[zone == UNKNOWN_ZONE] = len(names) - 1
        over, late = (
            send_times(replace(when, if_passed=choice), zones, zone, now_us).passed
            for choice in (IfPassed.DROP, IfPassed.SEND_NOW)
        )
        self.passed.over += int(np.count_nonzero(over))
        self.passed.within_grace += int(np.count_nonzero(over & ~late))

    def _collide(self, read: Inputs, said: Decisions, usage: Usage) -> None:
        stopped = np.unique(read.user[np.isin(said.reason, _CAPPED)])
        found, now_us = self.collisions, instant_us(self.at)
        found.people += len(stopped)
        ledger = usage.ledger
        later = np.flatnonzero(ledger.at_us > now_us)
        later = later[np.isin(ledger.user[later], stopped)]
        found.people_by_scheduled += len(np.unique(ledger.user[later]))
        found.scheduled += _by_message(usage, later)
        found.give_way += _by_message(usage, said.evicted)

    def _write(
        self, rows: pl.DataFrame, going: Int64s, read: Inputs, said: Decisions
    ) -> tuple[pl.DataFrame | None, Int64s | None]:
        """Render for whoever is sent to; whom the words fail is left out, in `said` too."""
        if self.words is None or not len(going):
            return None, None
        chosen = rows if len(going) == len(rows) else rows[going]
        moment = Moment(now=self.at, zone=read.zone[going], zones=read.zone_names)
        rendered = self.words.render(chosen, moment)
        self.missing.update(rendered.missing_by)
        self.failures.update(rendered.failures)
        minds = rendered.missing
        for mask, why in (
            (minds, Reason.VARIABLE_MISSING),
            (rendered.failed & ~minds, Reason.TEMPLATE_FAILED),
        ):
            out = going[mask]
            said.action[out], said.reason[out] = Action.SKIP, why
            said.silent[out], said.open_until_us[out] = False, NEVER
        octets = self._measure(rendered)
        fine = ~(rendered.missing | rendered.failed)
        return rendered.rows.filter(fine), octets[fine]

    def _measure(self, rendered: RenderedContent) -> Int64s:
        assert self.words is not None  # noqa: S101  asked by the caller
        user = rendered.rows["user"].to_numpy()
        octets = np.zeros(len(user), np.int64)
        for network, seen in self.words.sizes(rendered, self.at).items():
            sizes = self.sizes.setdefault(network, Sizes())
            sizes.limit = max(sizes.limit, seen.limit)
            sizes.longest = max(sizes.longest, seen.longest)
            sizes.over += seen.over
            if seen.over and len(sizes.offenders) < _OFFENDERS:
                long = np.unique(user[seen.octets > seen.limit])
                sizes.offenders += long[: _OFFENDERS - len(sizes.offenders)].tolist()
            octets += seen.octets
        return octets

    def _count(self, read: Inputs, said: Decisions, going: Int64s) -> None:
        key = said.action.astype(np.int64) << 24 | said.reason.astype(np.int64) << 8 | read.network
        for one, count in zip(*np.unique(key, return_counts=True), strict=True):
            code = int(one) & 0xFF
            kind = Outcome(
                action=Action(int(one) >> 24),
                reason=Reason(int(one) >> 8 & 0xFFFF),
                network=Network(code) if code else None,
            )
            self.counts[kind] += int(count)
        hour = (said.send_us[going] - instant_us(self.at)) // HOUR_US
        key = hour << 8 | read.network[going]
        for one, count in zip(*np.unique(key, return_counts=True), strict=True):
            self.hours[int(one) >> 8, Network(int(one) & 0xFF)] += int(count)

    def _show(self, read: Inputs, said: Decisions) -> None:
        """One example of each way not to be sent to."""
        key = said.action.astype(np.int64) << 16 | said.reason
        kinds, first = np.unique(key, return_index=True)
        fresh = [
            int(row)
            for kind, row in zip(kinds.tolist(), first.tolist(), strict=True)
            if (Action(kind >> 16), Reason(kind & 0xFFFF)) not in self.examples
        ]
        for row, told in self._told(read, said, np.array(fresh, np.int64)):
            kind = Action(int(said.action[row])), Reason(int(said.reason[row]))
            self.examples[kind] = Example(user=int(read.user[row]), told=told)

    def _told(self, read: Inputs, said: Decisions, rows: Int64s) -> list[tuple[int, str]]:
        if not len(rows):
            return []
        told = record(read, said, instant_us(self.at), only=rows)
        return [
            (row, explain(one, self.policy, read.zone_names, read.persons))
            for row, one in zip(rows.tolist(), told, strict=True)
        ]

    def _keep(
        self,
        rows: pl.DataFrame,
        going: tuple[Int64s, pl.DataFrame | None, Int64s | None],
        read: Inputs,
        said: Decisions,
    ) -> None:
        """Some of those who are sent to, each with what they read."""
        place, rendered, octets = going
        if not len(place) or not self.wanted:
            return
        chosen = np.unique(np.linspace(0, len(place) - 1, self.wanted).astype(np.int64))
        texts = rows[place[chosen]] if rendered is None else rendered[chosen]
        told = dict(self._told(read, said, place[chosen]))
        for at, row, facts in zip(
            chosen.tolist(), place[chosen].tolist(), texts.iter_rows(named=True), strict=True
        ):
            content, values = self._content(facts)
            zone = int(read.zone[row])
            self.shown.append(
                Shown(
                    user=int(read.user[row]),
                    device=int(read.device[row]),
                    network=Network(int(read.network[row])),
                    language=facts["language"],
                    zone=None if zone == UNKNOWN_ZONE else read.zone_names[zone],
                    action=Action(int(said.action[row])),
                    send_us=int(said.send_us[row]),
                    octets=None if octets is None else int(octets[at]),
                    title=_filled(content.content.title, values),
                    body=_filled(content.content.body, values),
                    link=_filled(content.content.link, values),
                    told=told[row],
                )
            )

    def _content(self, facts: dict[str, object]) -> tuple[Message, list[str]]:
        if self.words is None:
            return self.message, []
        variant = int(str(facts["message"]))
        values: list[str] = []
        while (name := merge_column(len(values))) in facts:
            values.append(str(facts[name]))
        return self.words.variants[variant], values


def _filled(text: str | None, values: Sequence[str]) -> str | None:
    return None if text is None else filled(text, values)


def _by_message(usage: Usage, entries: Int64s) -> Counter[MessageId]:
    """How many people have entries of each message."""
    of, user = usage.of[entries], usage.ledger.user[entries]
    found: Counter[MessageId] = Counter()
    for index in np.unique(of[of >= 0]).tolist():
        found[MessageId(usage.messages[index])] = len(np.unique(user[of == index]))
    return found
