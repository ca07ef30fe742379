"""One event at a time, judged by the same rules as columns of them (`event`).

Columns have a fixed price that a single event would pay alone; a row costs what it says.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from clarion.domain.attributes import NESTED, FieldProblem, canonical_times, check_attributes
from clarion.domain.conditions import Cell, Row
from clarion.domain.event import DAY_US, UUID_FORM, EventRules, rules_of, stamp_us
from clarion.domain.naming import POINTERS
from clarion.domain.network import Network

_IS_UUID: Final = re.compile(UUID_FORM, re.ASCII).fullmatch
_NESTED: Final = re.compile(NESTED)
_NETWORKS: Final = {network.label: int(network) for network in Network}
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedEvent:
    """An event in canonical form, and what is wrong with it."""

    row: Row
    """What is given of `event.COLUMNS`; `at_us` and `day` are there where nothing is wrong."""
    problems: Sequence[FieldProblem]


def check_event(raw: Row, rules: EventRules) -> CheckedEvent:
    """Judge one event as `event.check` judges columns.

    Args:
        raw: cells of `event.RAW_COLUMNS`, of these types; what is absent counts as null. The `id`
            is there: see `event.fresh_ids`.
        rules: the present instant, and how long ids are remembered.
    """
    row = _canonical(raw, rules.now)
    problems = [
        FieldProblem(
            path=POINTERS.get(rule.column, f"/{rule.column}"), code=rule.code, detail=rule.detail
        )
        for rule in rules_of(rules)
        if rule.broken.row(row)
    ]
    problems += _broken_properties(row)
    return CheckedEvent(row=row if problems else _finished(row, rules.now), problems=problems)


def _canonical(raw: Row, now: datetime) -> dict[str, Cell]:
    """One spelling for each value, and the instant that an id of version 7 names."""
    row: dict[str, Cell] = {name: cell for name, cell in raw.items() if cell is not None}
    for name in ("id", "message", "network"):
        if name in row:
            row[name] = str(row[name]).lower()
    if "token" in row and row.get("network") == Network.APNS.label:
        row["token"] = str(row["token"]).lower()
    event_id = str(row.get("id", ""))
    if _IS_UUID(event_id) and event_id[14] == "7":
        row["made_us"] = stamp_us(event_id)
    at = row.get("at")
    if isinstance(at, datetime):
        row["at_us"] = (at - _EPOCH) // _MICROSECOND
    else:
        row["at_us"] = row.get("made_us", _us(now))
    return row


def _broken_properties(row: Row) -> Iterator[FieldProblem]:
    text = row.get("properties")
    if text is not None:
        yield from check_attributes(str(text), "/properties")


def _finished(row: dict[str, Cell], now: datetime) -> Row:
    at_us = int(str(row["at_us"]))
    row["day"] = int(str(row.get("made_us", at_us))) // DAY_US
    # The day above is that of what was given: a repeat, judged later, has the same.
    row["at_us"] = min(at_us, _us(now))
    if "network" in row:
        row["network"] = _NETWORKS[str(row["network"])]
    if "properties" in row and _NESTED.search(text := str(row["properties"])):
        row["properties"] = canonical_times(text)
    return row


def _us(instant: datetime) -> int:
    return int(instant.timestamp() * 1_000_000)
