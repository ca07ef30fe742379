"""Attributes that are texts are read as such; of all others the type is told, as before."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.adapters.facts.duckdb import audience_queries
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.facts.duckdb.variant_texts import surely_text
from clarion.domain.ids import BUCKETS, AppId
from clarion.domain.segments.checking import SegmentAt, whole
from clarion.domain.segments.text import parse
from clarion.ports.audience import AudienceScan

PEOPLE = (
    "insert into users by name select id, 1 as app, 0 as bucket, false as opted_out, "
    "held::json::variant as attributes "
    "from (select unnest($held) as held, generate_subscripts($held, 1) as id)"
)
OTHERS = [5, -5.5, 0.25, 1e300, 2**64 - 1, True, False, [1, "b"], [], {}, {"time": "2026-01-01"}]
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
LOOK_ALIKES = ["5", "-1", "true", "false", "null", "inf", "[]", "{}", "", " a", '"', "[1, b]"]
TEXTS = ["Ada", 'q"uo\\te\u0001\n', "é", "日本", "NaN", "Infinity", "nullable", "~", "Z", "_"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FactsStore]:
    """An empty file."""
    store = open_store(tmp_path / "facts.duckdb", memory_mib=64, threads=1)
    yield store
    store.close()


def add(store: FactsStore, values: list[object]) -> None:
    """A person for each value of `tag.x`, numbered from 1."""
    held = [json.dumps({"x": value, "y": "beside"}) for value in values]
    with store.writing() as cursor:
        cursor.execute(PEOPLE, {"held": held})


def scanned(store: FactsStore, text: str | None = None) -> list[tuple[int, object]]:
    """Who is in a segment, with their `tag.x`."""
    segment: SegmentAt | None = None
    if text is not None:
        now = datetime(2026, 3, 1, tzinfo=UTC)
        segment = whole(parse(text).expression, segments={}, lists={}, now=now)
    asked = AudienceScan(app=AppId(1), low=0, high=BUCKETS, segment=segment, fields=("tag.x",))
    pieces = audience_queries.scan(store, asked)
    rows = pl.concat([pl.DataFrame(pl.from_arrow(piece)) for piece in pieces])
    return sorted(
        (user, shown.decode() if isinstance(shown, bytes) else shown and json.loads(shown))
        for user, shown in rows.select("user", "tag.x").iter_rows()
    )


@pytest.mark.parametrize(
    "values", [TEXTS, [*TEXTS, *LOOK_ALIKES], [*TEXTS, None], *([o] for o in OTHERS)]
)
def test_a_field_keeps_its_value_and_type(store: FactsStore, values: list[object]) -> None:
    """Whether all of its values are texts, some look like something else, or none is one."""
    add(store, values)
    assert [value for _, value in scanned(store)] == values


@pytest.mark.parametrize("other", OTHERS)
def test_one_value_that_is_no_text_keeps_its_type_among_texts(
    store: FactsStore, other: object
) -> None:
    """Its own text would be another value."""
    add(store, [*TEXTS, other])
    assert scanned(store)[-1][1] == other


@pytest.mark.parametrize("other", [5, True, {"type": "VARCHAR"}, ["a"]])
def test_a_value_that_comes_after_the_texts_were_filed_keeps_its_type(
    store: FactsStore, other: object
) -> None:
    """What the engine says of a file's columns holds no longer than they are all there is."""
    add(store, [f"text {number}" for number in range(3000)])
    with store.reading() as cursor:
        cursor.execute("checkpoint")
    assert scanned(store)[7] == (8, "text 7")
    with store.writing() as cursor:
        held = json.dumps({"x": other})
        cursor.execute(
            "update users set attributes = $held::json::variant where id = 8", {"held": held}
        )
    assert scanned(store)[7] == (8, other)
    with store.reading() as cursor:
        cursor.execute("checkpoint")
    assert scanned(store)[7] == (8, other)


@pytest.mark.parametrize("value", [5, True, {"type": "VARCHAR"}, ["a"], "5", "true"], ids=repr)
def test_a_column_of_one_kind_keeps_it_in_the_file(store: FactsStore, value: object) -> None:
    """Numbers, an object whose member is called as the engine calls a text, texts of numbers."""
    add(store, [value] * 3000)
    with store.reading() as cursor:
        cursor.execute("checkpoint")
    assert {json.dumps(found) for _, found in scanned(store)} == {json.dumps(value)}


def test_a_text_is_no_number(store: FactsStore) -> None:
    """Nor is a number, a boolean or a list the text that it prints as."""
    add(store, [*OTHERS, *LOOK_ALIKES, "Ada"])
    for wanted in [*LOOK_ALIKES, "Ada"]:
        quoted = json.dumps(wanted)
        assert [value for _, value in scanned(store, f"tag.x = {quoted}")] == [wanted]
        among = scanned(store, f'tag.x in ("nobody", {quoted})')
        assert [value for _, value in among] == [wanted]


def test_who_has_no_such_text_is_in_the_opposite(store: FactsStore) -> None:
    """Absent or of another type included."""
    add(store, [None, 5, "Ada", "Bob"])
    assert [user for user, _ in scanned(store, 'not tag.x = "Ada"')] == [1, 2, 4]


@given(st.one_of(st.booleans(), st.integers(), NUMBERS, st.lists(st.text())))
def test_only_texts_are_surely_texts(value: object) -> None:
    """Whatever a number, a boolean or a list prints as."""
    assert not surely_text(json.dumps(value))
    assert not surely_text(value)
