"""What is known of anonymous people, and what they decided, goes to who they turn out to be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import asyncpg

from clarion.adapters.state.consent import Effect
from clarion.adapters.state.consent_ledger import ALL_CATEGORIES, EPOCH, NewLine
from clarion.adapters.state.person_rows import merge_attributes
from clarion.adapters.state.statements import statements
from clarion.domain.attributes import Attributes, decode_attributes, encode_attributes
from clarion.domain.consent import Change, How
from clarion.domain.consent_intake import Standing
from clarion.domain.ids import AppId, UserId
from clarion.ports.registry import AttributesRefusedError

_MICROSECOND: Final = timedelta(microseconds=1)
_Standings = dict[UserId, dict[int, Standing]]
"""Person -> category -> the last word."""


async def bequeath(
    connection: asyncpg.Connection, app: AppId, into: Mapping[UserId, UserId], now: datetime
) -> Sequence[NewLine]:
    """Write for each known person what the anonymous ones leave, in the order of their numbers.

    What is known wins; an opt-out of either stays one. What an anonymous person decided becomes the
    known one's word where that one decided nothing about a category, and where it is a no that is
    later than what they decided. The number of statements is the same for one as for thousands.

    Args:
        connection: inside the caller's transaction, which has locked them all.
        app: whose people they are.
        into: the anonymous person -> who they are.
        now: the present instant.

    Returns:
        What the consent ledger has to be told of it.
    """
    sql = statements("people")
    strangers = await connection.fetch(sql["estates"], app, list(into), False)  # noqa: FBT003  a column
    if not strangers:
        return []
    known = sorted({into[row["id"]] for row in strangers})
    rows = await connection.fetch(sql["estates"], app, known, True)  # noqa: FBT003  as above
    heirs = {row["id"]: _heir(row) for row in rows}
    standing, slots = await _standing(connection, app, [*strangers, *rows])
    lines: list[NewLine] = []
    for row in strangers:
        heir = heirs.get(into[row["id"]])
        if heir is not None:
            lines += heir.take(row, now)
            lines += heir.decide(row["id"], standing, slots)
    await _write(connection, app, list(heirs.values()), now)
    return lines


async def _standing(
    connection: asyncpg.Connection, app: AppId, rows: Sequence[asyncpg.Record]
) -> tuple[_Standings, Mapping[int, int]]:
    """Who decided what, and the bit of each category."""
    decided = [row["id"] for row in rows if row["decided"]]
    if not decided:
        return {}, {}
    sql = statements("consent")
    standing: _Standings = {}
    for row in await connection.fetch(sql["standing"], app, decided):
        word = Standing(change=Change(row["change"]), at_us=row["at_us"])
        standing.setdefault(UserId(row["user_id"]), {})[row["category"]] = word
    categories = await connection.fetch(sql["categories"], app)
    return standing, {row["id"]: row["slot"] for row in categories}


@dataclass(kw_only=True, slots=True)
class _Heir:
    """A known person, who takes over what others leave, one after the other."""

    id: UserId
    external: str
    attributes: Attributes
    language: str | None
    time_zone: str | None
    country: str | None
    opted_out: bool
    granted: int
    denied: int
    daily: int
    weekly: int
    paused_until: datetime | None
    quiet_hours: str | None
    marked: bool = False
    """Whether dispatch has to hear of it."""

    def take(self, row: asyncpg.Record, now: datetime) -> Sequence[NewLine]:
        """What is known of somebody, and the settings that they made."""
        if row["attributes"] != b"{}":
            try:
                found = decode_attributes(row["attributes"])
                self.attributes = merge_attributes(found, self.attributes)
            except AttributesRefusedError:
                pass  # all together would pass the limits: what is known stays as it is
        self.language = self.language or row["language"]
        self.time_zone = self.time_zone or row["time_zone"]
        self.country = self.country or row["country"]
        chosen = self.granted | self.denied
        self.daily, self.weekly = (
            self.daily | (row["daily"] & ~(chosen | self.weekly)),
            self.weekly | (row["weekly"] & ~(chosen | self.daily)),
        )
        if row["paused_until"] is not None:
            self.paused_until = max(self.paused_until or row["paused_until"], row["paused_until"])
            self.marked = True
        if self.quiet_hours is None:
            self.quiet_hours = row["quiet_hours"]
        if self.opted_out or not row["opted_out"]:
            return []
        self.opted_out = self.marked = True
        word = Standing(change=Change.WITHDRAWN, at_us=(now - EPOCH) // _MICROSECOND)
        return [self._line(ALL_CATEGORIES, word, {})]

    def decide(
        self, stranger: UserId, standing: _Standings, slots: Mapping[int, int]
    ) -> Sequence[NewLine]:
        """What somebody decided about categories; the global switch is `take`'s."""
        mine = standing.setdefault(self.id, {})
        effect, lines = Effect(), []
        for category, word in standing.get(stranger, {}).items():
            if category == ALL_CATEGORIES:
                continue
            before = mine.get(category)
            if before is not None and (
                word.change is not Change.WITHDRAWN or word.at_us <= before.at_us
            ):
                continue
            mine[category] = word
            effect.take(word.change, slots[category])
            lines.append(self._line(category, word, {"merged_from": str(stranger)}))
        self.granted = (self.granted & ~effect.touched) | effect.yes
        self.denied = (self.denied & ~effect.touched) | effect.no
        self.daily &= ~effect.no
        self.weekly &= ~effect.no
        self.marked = self.marked or bool(lines)
        return lines

    def _line(self, category: int, word: Standing, evidence: Mapping[str, str]) -> NewLine:
        return NewLine(
            user=self.id,
            external=self.external,
            category=category,
            change=word.change,
            how=How.API,
            at_us=word.at_us,
            evidence=evidence,
        )


def _heir(row: asyncpg.Record) -> _Heir:
    return _Heir(
        id=UserId(row["id"]),
        external=row["external_id"] or "",
        attributes=decode_attributes(row["attributes"]),
        language=row["language"],
        time_zone=row["time_zone"],
        country=row["country"],
        opted_out=row["opted_out"],
        granted=row["granted"],
        denied=row["denied"],
        daily=row["daily"],
        weekly=row["weekly"],
        paused_until=row["paused_until"],
        quiet_hours=row["quiet_hours"],
    )


async def _write(
    connection: asyncpg.Connection, app: AppId, heirs: Sequence[_Heir], now: datetime
) -> None:
    await connection.execute(
        statements("people")["inherit"],
        app,
        now,
        [heir.id for heir in heirs],
        [encode_attributes(heir.attributes).encode() for heir in heirs],
        [heir.language for heir in heirs],
        [heir.time_zone for heir in heirs],
        [heir.country for heir in heirs],
        [heir.opted_out for heir in heirs],
        [heir.granted for heir in heirs],
        [heir.denied for heir in heirs],
        [heir.daily for heir in heirs],
        [heir.weekly for heir in heirs],
        [heir.paused_until for heir in heirs],
        [heir.quiet_hours for heir in heirs],
        [heir.marked for heir in heirs],
    )
