"""One registration at a time, judged by the same rules as columns of them (`registration`).

Columns have a fixed price that a single registration would pay alone; a row costs what it says.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Final

from clarion.domain.attributes import NESTED, FieldProblem, canonical_times
from clarion.domain.conditions import Cell, Row
from clarion.domain.geography import canonical_language
from clarion.domain.network import Network
from clarion.domain.registration import (
    LANGUAGES,
    LOWERED,
    NETWORKS,
    OBJECTS,
    PERMISSIONS,
    POINTERS,
    RAISED,
)
from clarion.domain.registration_rules import (
    ENVIRONMENTS,
    Rule,
    clock_rule,
    presence_rules,
    rules_of_fields,
)

_NESTED: Final = re.compile(NESTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedRow:
    """A row in canonical form, and what is wrong with it."""

    row: Row
    """What is given of `registration.COLUMNS`, and `p256dh`, `auth` as given; `environment` is
    always there. Numbers stand for words only where nothing is wrong."""
    problems: Sequence[FieldProblem]


def check_row(raw: Row, *, zones: frozenset[str], now: datetime) -> CheckedRow:
    """Judge one row as `registration.check` judges columns.

    Args:
        raw: cells of `registration.RAW_COLUMNS`, of these types; what is absent counts as null.
        zones: the names of the time zones that exist (IANA).
        now: the present instant.
    """
    row = _canonical(raw)
    problems = [*_broken(row, zones, now), *_broken_objects(row)]
    return CheckedRow(row=row if problems else _finished(row), problems=problems)


def _canonical(raw: Row) -> dict[str, Cell]:
    """One spelling for each value, before it is judged."""
    row: dict[str, Cell] = {name: cell for name, cell in raw.items() if cell is not None}
    for name in LOWERED:
        if name in row:
            row[name] = str(row[name]).lower()
    for name in RAISED:
        if name in row:
            row[name] = str(row[name]).upper()
    for name in LANGUAGES:
        if name in row:
            row[name] = canonical_language(str(row[name]))
    if "token" in row and row.get("network") == Network.APNS.label:
        row["token"] = str(row["token"]).lower()
    return row


@cache
def _rules_by_column(zones: frozenset[str]) -> Mapping[str, Sequence[tuple[int, Rule]]]:
    """The rules of each column, numbered."""
    found: dict[str, list[tuple[int, Rule]]] = {}
    for number, rule in enumerate(rules_of_fields(zones)):
        found.setdefault(rule.column, []).append((number, rule))
    return MappingProxyType(found)


def _broken(row: Row, zones: frozenset[str], now: datetime) -> list[FieldProblem]:
    """In the order of the rules, as columns tell it."""
    rules = _rules_by_column(zones)
    asked = [numbered for column in row for numbered in rules.get(column, ())]
    found = [(number, rule) for number, rule in asked if rule.broken.row(row)]
    last = [clock_rule(now)] if "last_active_at" in row else []
    broken = [rule for _, rule in sorted(found, key=lambda numbered: numbered[0])]
    broken += [rule for rule in (*last, *presence_rules()) if rule.broken.row(row)]
    return [
        FieldProblem(
            path=POINTERS.get(rule.column, f"/{rule.column}"), code=rule.code, detail=rule.detail
        )
        for rule in broken
    ]


def _broken_objects(row: Row) -> Iterator[FieldProblem]:
    for name, check_text in OBJECTS.items():
        if name in row:
            yield from check_text(str(row[name]), POINTERS.get(name, f"/{name}"))


def _finished(row: dict[str, Cell]) -> Row:
    """Times in RFC 3339, and the API's words as the numbers that are stored."""
    for name in ("attributes", "user_attributes"):
        if name in row and _NESTED.search(text := str(row[name])):
            row[name] = canonical_times(text)
    word = row.get("environment")
    row["environment"] = 0
    if "network" in row:
        network = Network(NETWORKS[str(row["network"])])
        row["network"] = int(network)
        row["environment"] = ENVIRONMENTS.get((network, str(word)), 0)
    if "permission" in row:
        row["permission"] = PERMISSIONS[str(row["permission"])]
    return row
