"""DuckDB and the rule for one person name the same rows, whatever the people and the segment."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.oracles.segments import Device, Person, matches, version
from tests.properties.segment_population import APP, fill, numbered
from tests.properties.segment_strategies import LISTS, NOW, VERSIONS, expressions, people

from clarion.adapters.facts.duckdb import audience_queries
from clarion.adapters.facts.duckdb.audience_filling import filled
from clarion.adapters.facts.duckdb.segment_fields import instant
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.domain.category import Category, DefaultState, Kind
from clarion.domain.decision import decide
from clarion.domain.decision_row import inputs
from clarion.domain.frequency import Ledger
from clarion.domain.ids import AppId
from clarion.domain.network import Network
from clarion.domain.outcome import Reason
from clarion.domain.policy import Policy
from clarion.domain.segments.checking import SegmentAt
from clarion.domain.segments.expression import Expression, Not
from clarion.domain.segments.json_form import read_json
from clarion.domain.segments.json_writing import to_json
from clarion.domain.segments.text import parse
from clarion.domain.segments.text_form import to_text
from clarion.domain.segments.versions import version_key
from clarion.ports.audience import AUDIENCE_SCHEMA, AudienceScan

populations = st.lists(people, max_size=8).map(numbered)
SHARED = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FactsStore]:
    """A facts file that all examples share; each writes its own people."""
    path: Path = tmp_path_factory.mktemp("segments") / "facts.duckdb"
    found = open_store(path, memory_mib=256, threads=1)
    yield found
    found.close()


def rows_of(crowd: list[Person], segment: SegmentAt) -> set[tuple[int, int]]:
    """The rows that the rule for one names."""
    return {
        (person.id, 0 if device is None else device.id)
        for person in crowd
        for device in (list[Device | None](person.devices) or [None])
        if matches(segment, person, device)
    }


def scanned(store: FactsStore, segment: SegmentAt, high: int = 1024) -> pl.DataFrame:
    """The rows that DuckDB names."""
    asked = AudienceScan(app=AppId(APP), low=0, high=high, segment=segment)
    pieces = list(audience_queries.scan(store, asked))
    if not pieces:
        return pl.DataFrame(schema=AUDIENCE_SCHEMA)
    return pl.concat([filled(pl.DataFrame(pl.from_arrow(piece))) for piece in pieces])


@SHARED
@given(crowd=populations, expression=expressions)
def test_both_name_the_same_rows(
    store: FactsStore, crowd: list[Person], expression: Expression
) -> None:
    """Absent values, wrong types, boundary instants, empty lists and all of Unicode included."""
    segment = SegmentAt(expression=expression, lists=LISTS, now=NOW)
    with store.writing() as cursor:
        fill(cursor, crowd)
    found = scanned(store, segment)
    assert set(found.select("user", "device").rows()) == rows_of(crowd, segment)


@SHARED
@given(crowd=populations, expression=expressions)
def test_not_names_exactly_the_others(
    store: FactsStore, crowd: list[Person], expression: Expression
) -> None:
    """Each row is in a segment or in its opposite, never in both or in none."""
    with store.writing() as cursor:
        fill(cursor, crowd)
    inside, outside = (
        scanned(store, SegmentAt(expression=one, lists=LISTS, now=NOW)).height
        for one in (expression, Not(expression))
    )
    assert inside + outside == sum(max(1, len(person.devices)) for person in crowd)


KNOWN = (
    Reason.USER_OPTED_OUT,
    Reason.SUPPRESSION_LIST,
    Reason.USER_HAS_NO_DEVICE,
    Reason.DEVICE_DEAD,
    Reason.DEVICE_OPTED_OUT,
    Reason.PERMISSION_DENIED,
    Reason.CREDENTIAL_MISSING,
    Reason.CATEGORY_OPTED_OUT,
    Reason.CONSENT_MISSING,
    Reason.PAUSED_BY_PERSON,
)
"""What a count tells; what comes after it in the order of the rules is a matter of the message."""


@st.composite
def categories(draw: st.DrawFn) -> Category:
    """A category of any kind that can be."""
    kind = draw(st.sampled_from(Kind))
    marketing = kind is Kind.MARKETING
    states = [s for s in DefaultState if not marketing or s is not DefaultState.IN]
    return Category(
        slug="news",
        kind=kind,
        slot=draw(st.sampled_from([0, 3, 62])),
        can_opt_out=marketing or draw(st.booleans()),
        default_state=draw(st.sampled_from(states)),
        urgent=draw(st.booleans()),
    )


SLOTS = st.sets(st.sampled_from([0, 3, 62])).map(lambda slots: sum(1 << slot for slot in slots))
SAID = st.tuples(SLOTS, SLOTS, st.sampled_from([0, -1, 1]), st.booleans())
"""Granted, denied, when a pause ends (never, before, after), on a suppression list."""


@SHARED
@given(
    crowd=populations,
    expression=expressions,
    said=st.lists(SAID, min_size=8, max_size=8),
    sendable=st.sets(st.sampled_from(Network)),
    category=st.none() | categories(),
)
def test_the_count_says_of_each_row_what_the_decision_says(
    store: FactsStore,
    crowd: list[Person],
    expression: Expression,
    said: list[tuple[int, int, int, bool]],
    sendable: set[Network],
    category: Category | None,
) -> None:
    """Reasons in SQL have the order of `decide`, and people are counted once."""
    segment = SegmentAt(expression=expression, lists=LISTS, now=NOW)
    now_us = instant(NOW)
    with store.writing() as cursor:
        fill(cursor, crowd)
        for person, (granted, denied, paused, suppressed) in zip(crowd, said, strict=False):
            until = now_us + paused if paused else 0
            cursor.execute(
                "update users set granted = ?, denied = ?, paused_until_us = ?, suppressed = ? "
                "where id = ?",
                [granted, denied, until, suppressed, person.id],
            )
    rows = scanned(store, segment)
    anyone = Category(slug="any", kind=Kind.CALL, slot=1, can_opt_out=False, urgent=True)
    policy = Policy(category=category or replace(anyone, default_state=DefaultState.IN))
    read = inputs(rows, policy, targeted=(), able=sendable, of_country={})
    reasons = decide(read, policy, now_us=now_us, usage=Ledger.empty()).reason
    reasons[~np.isin(reasons, KNOWN)] = Reason.ACCEPTED
    wanted = Counter(zip(rows["network"].to_list(), reasons.tolist(), strict=True))
    reachable = set(rows["user"].to_numpy()[reasons == np.uint16(Reason.ACCEPTED)].tolist())

    count = audience_queries.count(
        store,
        app=APP,
        segment=segment,
        sendable=[int(network) for network in sendable],
        category=category,
        now_us=now_us,
    )

    assert count == {
        "people": rows["user"].n_unique(),
        "reachable": len(reachable),
        "rows": [(*pair, n) for pair, n in sorted(wanted.items())],
    }


@settings(deadline=None)
@given(expression=expressions)
def test_both_spellings_give_the_expression_back(expression: Expression) -> None:
    """What is printed is read as it was meant."""
    assert parse(to_text(expression)).expression == expression
    assert read_json(json.loads(json.dumps(to_json(expression)))).expression == expression


@given(
    one=st.sampled_from(VERSIONS)
    | st.from_regex(
        r"[vV]?[0-9]{1,3}(\.[0-9]{1,11}){0,4}(-[0-9a-z.-]{0,5})?(\+x)?", fullmatch=True
    ),
    other=st.from_regex(
        r"[0-9]{1,2}(\.[0-9]{1,2}){0,3}(-[0-9a-b]{1,2}(\.[0-9a-]{1,3})?)?", fullmatch=True
    ),
)
def test_version_keys_sort_as_versions_do(one: str, other: str) -> None:
    """Numbers as numbers, a pre-release before its version."""
    mine, theirs = version(one), version(other)
    key, other_key = version_key(one), version_key(other)
    assert (mine is None) == (key is None)
    if mine is not None and theirs is not None and key is not None and other_key is not None:
        assert (mine < theirs, mine == theirs) == (key < other_key, key == other_key)


@SHARED
@given(text=st.sampled_from(VERSIONS) | st.text("0123456789.-+ vVab", max_size=14))
def test_duckdb_makes_the_same_version_key(store: FactsStore, text: str) -> None:
    """The column and the constants that it is compared with agree."""
    with store.reading() as cursor:
        assert cursor.execute("select version_key($1)", [text]).fetchone() == (version_key(text),)
