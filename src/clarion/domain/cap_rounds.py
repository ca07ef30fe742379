"""Asking for places under the caps, person by person in the order of their instants, at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from clarion.domain.cap_room import earliest, make_room
from clarion.domain.frequency import Asked, Cap, CapAction, Ledger, loads
from clarion.domain.handoffs import Int64s, UInt8s
from clarion.domain.row_of import RowOf, placed
from clarion.domain.zones import ZoneTable

Mask = npt.NDArray[np.bool_]


class CapVerdict(IntEnum):
    """What the caps say of one row."""

    PERMITTED = 0
    DEFERRED = 1
    DIGESTED = 2
    DROPPED = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class CapAsk:
    """How a message asks."""

    caps: tuple[Cap, ...]
    category: int
    """Slot of the message's category."""
    priority: int
    takes_places: bool
    """Whether held, less important entries give way."""
    gives_way_after_us: int
    """Entries later than this are held, and nobody has begun to send them."""
    deadline_us: int
    """From here on nothing is sent: no place is taken for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CapAnswers:
    """What the caps say of n rows."""

    verdict: UInt8s
    load: Int64s
    """(caps, n): what each cap counted, after others gave way."""
    until_us: Int64s
    """The first instant that all deferring caps permit, where DEFERRED; else the row's own."""


@dataclass(kw_only=True, slots=True)
class Book:
    """The ledger as it stands while one message is decided upon."""

    ledger: Ledger
    evicted: list[Int64s] = field(default_factory=list)
    """Places in the caller's columns of the entries that gave way."""

    def ask(self, ask: CapAsk, asked: Asked, zones: ZoneTable) -> CapAnswers:
        """Ask for a place for each row; rows of one person are asked in the order of instants.

        Afterwards the book holds only people who will have to ask again.
        """
        n = len(asked.user)
        verdict = np.zeros(n, np.uint8)
        load = np.zeros((len(ask.caps), n), np.int64)
        waiting = np.ones(n, np.bool_)
        asked = replace(asked, people=RowOf(asked.user))
        for rows in _turns(asked):
            turn = asked if len(rows) == n else _rows(asked, rows)
            load[:, rows] = self._loads(ask, turn, zones)
            verdict[rows] = _verdicts(ask.caps, load[:, rows])
            waiting[rows] = False
            waiting[rows[verdict[rows] == CapVerdict.DEFERRED]] = True
            self._settle(ask, _rows(asked, rows[verdict[rows] == 0]), asked.user[waiting])
        until = asked.at_us.copy()
        deferred = np.flatnonzero(verdict == CapVerdict.DEFERRED)
        if len(deferred):
            deferring = tuple(cap for cap in ask.caps if cap.action is CapAction.DEFER)
            until[deferred] = earliest(deferring, self.ledger, _rows(asked, deferred), zones)
        return CapAnswers(verdict=verdict, load=load, until_us=until)

    def _loads(self, ask: CapAsk, turn: Asked, zones: ZoneTable) -> Int64s:
        load = loads(ask.caps, self.ledger, turn, zones)
        full = (load >= _limits(ask.caps)).any(axis=0) & (turn.at_us < ask.deadline_us)
        if not ask.takes_places or not full.any():
            return load
        held = self.ledger.at_us > ask.gives_way_after_us
        if not held.any():
            return load
        pliant = self.ledger.user[held & (self.ledger.priority < ask.priority)]
        stuck = placed(turn.user[full], turn.user) >= 0  # a person's rows fare alike
        crowded = np.flatnonzero(stuck & (placed(pliant, turn.user) >= 0))
        theirs = self.ledger.of(turn.user[crowded])
        gives_way = (
            (theirs.at_us > ask.gives_way_after_us)
            & (theirs.priority < ask.priority)
            & (theirs.places() >= 0)  # this message does not push itself aside
        )
        if not gives_way.any():
            return load
        room = make_room(ask.caps, theirs, _rows(turn, crowded), zones, gives_way)
        if len(room.evicted):
            self.evicted.append(room.evicted)
            self.ledger = self.ledger.take(~np.isin(self.ledger.places(), room.evicted))
            load[:, crowded] = loads(ask.caps, self.ledger, _rows(turn, crowded), zones)
        return load

    def _settle(self, ask: CapAsk, settled: Asked, waiting: Int64s) -> None:
        """Write down the places taken by people who will ask for more; forget the others."""
        self.ledger = self.ledger.of(waiting)
        mine = (placed(waiting, settled.user) >= 0) & (settled.at_us < ask.deadline_us)
        if mine.any():
            self.ledger = self.ledger.plus(
                disturbances(_rows(settled, np.flatnonzero(mine)), priority=ask.priority)
            )


def disturbances(sent: Asked, *, priority: int) -> Ledger:
    """The ledger's entries of rows that are (or will be) sent: one a person and instant."""
    user, at_us, network = sent.user, sent.at_us, sent.network
    if (user[1:] < user[:-1]).any():
        order = np.argsort(user)  # a fifth of the cost of a sort by both
        user, at_us, network = user[order], at_us[order], network[order]
    same = user[1:] == user[:-1]
    if (same & (at_us[1:] != at_us[:-1])).any():  # somebody's devices at several instants
        order = np.lexsort((at_us, user))
        user, at_us, network = user[order], at_us[order], network[order]
    fresh = np.ones(len(user), np.bool_)
    fresh[1:] = (user[1:] != user[:-1]) | (at_us[1:] != at_us[:-1])
    begin = np.flatnonzero(fresh)
    bits = np.left_shift(np.uint8(1), network)
    return Ledger(
        user=user[begin],
        at_us=at_us[begin],
        networks=np.bitwise_or.reduceat(bits, begin) if len(begin) else bits,
        category=np.full(len(begin), sent.category, np.uint8),
        priority=np.full(len(begin), priority, np.uint8),
    )


def _limits(caps: Sequence[Cap]) -> Int64s:
    return np.array([cap.count for cap in caps], np.int64)[:, None]


def _verdicts(caps: Sequence[Cap], load: Int64s) -> UInt8s:
    return verdicts(caps, load >= _limits(caps))


def verdicts(caps: Sequence[Cap], full: Mask) -> UInt8s:
    """What caps that are full (caps, n) say of each row: drop before digest before defer."""
    severity = {
        CapAction.DEFER: CapVerdict.DEFERRED,
        CapAction.DIGEST: CapVerdict.DIGESTED,
        CapAction.DROP: CapVerdict.DROPPED,
    }
    result = np.zeros(full.shape[1], np.uint8)
    for cap, rows in zip(caps, full, strict=True):
        result = np.maximum(result, rows * np.uint8(severity[cap.action]))
    return result


def _rows(asked: Asked, rows: Int64s) -> Asked:
    return Asked(
        user=asked.user[rows],
        at_us=asked.at_us[rows],
        network=asked.network[rows],
        zone=asked.zone[rows],
        category=asked.category,
    )


def _turns(asked: Asked) -> Iterator[Int64s]:
    """Rows in turns: in each, a person has one instant; their earlier ones have had their turn."""
    everybody = np.arange(len(asked.user), dtype=np.int64)
    lead = asked.row_of.lead
    torn = asked.at_us != asked.at_us[lead]
    if not torn.any():
        yield everybody
        return
    several = placed(asked.user[torn], asked.user) >= 0
    rows = np.flatnonzero(several)
    rows = rows[np.lexsort((asked.at_us[rows], asked.user[rows]))]
    user, at_us = asked.user[rows], asked.at_us[rows]
    fresh = np.ones(len(rows), np.bool_)
    fresh[1:] = user[1:] != user[:-1]
    step = fresh.copy()
    step[1:] |= at_us[1:] != at_us[:-1]
    count = np.cumsum(step)
    begin = np.flatnonzero(fresh)
    turn: Int64s = count - np.repeat(count[begin], np.diff(np.append(begin, len(rows))))
    yield np.concatenate((np.flatnonzero(~several), rows[turn == 0]))
    for number in range(1, int(turn.max()) + 1):
        yield rows[turn == number]
