"""What is remembered between the shards of a message never answers for another question."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from clarion.adapters.facts.duckdb import audience_queries, segment_kept, segment_sql
from clarion.adapters.facts.duckdb.audience_columns import AUDIENCE_TURN
from clarion.adapters.facts.duckdb.audience_filling import filled
from clarion.adapters.facts.duckdb.segment_sql import Span
from clarion.adapters.facts.duckdb.store import (
    PARSED_LONGEST,
    FactsStore,
    open_store,
    set_watermark,
)
from clarion.domain.ids import AppId
from clarion.domain.segments.checking import SegmentAt, whole
from clarion.domain.segments.text import parse
from clarion.ports.audience import AUDIENCE_SCHEMA, AudienceScan

FILED = ["text"] * 30_000
"""So many that the engine keeps them in a column of their own, and says so."""
NOW = datetime(2026, 3, 1, tzinfo=UTC)
PEOPLE = (
    "insert into users by name select id, 1 as app, id % 4 as bucket, false as opted_out, "
    "held::json::variant as attributes "
    "from (select unnest($held) as held, generate_subscripts($held, 1) as id)"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FactsStore]:
    """An empty file."""
    store = open_store(tmp_path / "facts.duckdb", memory_mib=64, threads=1)
    yield store
    store.close()


def add(store: FactsStore, values: Sequence[object], turn: str) -> None:
    """A person for each value of `tag.x`, numbered from 1, in the file with its statistics."""
    with store.writing() as cursor:
        cursor.execute(PEOPLE, {"held": [json.dumps({"x": value}) for value in values]})
        set_watermark(cursor, AUDIENCE_TURN, turn)
    with store.reading() as cursor:
        cursor.execute("checkpoint")


def segment(text: str, now: datetime = NOW, **lists: int) -> SegmentAt:
    """A segment as of an instant."""
    return whole(parse(text).expression, segments={}, lists=lists, now=now)


def scanned(
    store: FactsStore, text: str | None = None, *, low: int = 0, high: int = 4
) -> dict[int, object]:
    """Who is in a segment and a range of buckets, with their `tag.x`."""
    asked = None if text is None else segment(text)
    wanted = AudienceScan(app=AppId(1), low=low, high=high, segment=asked, fields=("tag.x",))
    pieces = audience_queries.scan(store, wanted)
    rows = [row for piece in pieces for row in pl.DataFrame(pl.from_arrow(piece)).to_dicts()]
    return {
        row["user"]: json.loads(shown) if isinstance(shown := row["tag.x"], str) else shown
        for row in rows
    }


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tag.x = 1", "tag.x = true"),
        ("tag.x = 0", "tag.x = false"),
        ("tag.x = 1", 'tag.x = "1"'),
        ("tag.x in (1, 2)", "tag.x in (true, 2)"),
    ],
)
def test_constants_that_are_equal_but_of_two_types_are_two_questions(
    store: FactsStore, one: str, other: str
) -> None:
    """Python calls `1` and `true` equal."""
    add(store, [0, 1, True, False, "1", "0"], "1")
    alone = {text: _afresh(store, text) for text in (one, other)}
    assert [set(scanned(store, text)) for text in (one, other, one)] == [
        alone[one],
        alone[other],
        alone[one],
    ]
    assert not alone[one] & alone[other] - {3}
    assert alone[one] != alone[other]


def _afresh(store: FactsStore, text: str) -> set[int]:
    found = segment_sql.condition(segment(text))
    with store.reading() as cursor:
        sql = f"select u.id from users u where {found.sql}"  # noqa: S608  # constants are bound
        return {user for (user,) in cursor.execute(sql, found.parameters).fetchall()}


def test_a_segment_of_another_instant_list_or_range_is_another_question() -> None:
    """All of them are in the condition or its parameters."""
    text = "created < 2d or in list(vip) or any device (os = x)"
    asked = [
        (segment(text, vip=5), None),
        (segment(text, vip=6), None),
        (segment(text, NOW + timedelta(microseconds=1), vip=5), None),
        (segment(text, vip=5), Span(low=0, high=1)),
    ]
    plain = [segment_sql.condition(one, span) for one, span in asked]
    wanted = [(one.sql, dict(one.parameters)) for one in plain]
    for _ in range(2):
        kept = [segment_kept.condition(one, span) for one, span in asked]
        assert [(one.sql, dict(one.parameters)) for one in kept] == wanted
    assert len(set(map(str, wanted))) == len(asked)


def test_a_segment_is_rendered_once_for_all_shards_of_a_message() -> None:
    """Each shard reads the segment anew; their buckets are bound later."""
    first = segment_kept.condition(segment('tag.x = "a" and created < 3d'), Span(low=0, high=1))
    again = segment_kept.condition(segment('tag.x = "a" and created < 3d'), Span(low=1, high=2))
    assert again is first


def test_a_long_segment_is_not_kept() -> None:
    """What is kept has a bound in size as in number."""
    values = ", ".join(f'"{"y" * 250}{number}"' for number in range(100))
    first, again = (segment_kept.condition(segment(f"tag.x in ({values})")) for _ in range(2))
    assert again == first
    assert again is not first


def test_each_shard_has_its_own_people(store: FactsStore) -> None:
    """The statement is the same one, the range is not."""
    add(store, ["a", "b", "c", "d"], "1")
    found = [scanned(store, "not tag.x = z", low=low, high=low + 1) for low in range(4)]
    assert found == [{4: b"d"}, {1: b"a"}, {2: b"b"}, {3: b"c"}]


def test_a_long_statement_is_parsed_each_time(store: FactsStore) -> None:
    """A short one is parsed once."""
    long = f"select '{'x' * PARSED_LONGEST}'"
    assert store.parsed("select 5") is store.parsed("select 5")
    assert store.parsed(long) is not store.parsed(long)


def test_the_engine_is_asked_for_its_statistics_once_a_version(store: FactsStore) -> None:
    """What they say is kept with the version, and replaced by that of the next."""
    add(store, FILED, "1")
    assert scanned(store)[7] == b"text"
    assert store.texts == ("1", frozenset({"tag.x"}))
    with store.writing() as cursor:
        set_watermark(cursor, AUDIENCE_TURN, "2")
    assert scanned(store)[7] == b"text"
    assert store.texts == ("2", frozenset({"tag.x"}))


@pytest.mark.parametrize("other", [5, True, {"type": "VARCHAR"}, ["a"]], ids=repr)
def test_an_attribute_that_was_nothing_but_texts_in_the_last_version_may_be_more(
    store: FactsStore, other: object
) -> None:
    """A change of the audience comes with another version."""
    add(store, FILED, "1")
    assert scanned(store)[8] == b"text"
    with store.writing() as cursor:
        held = json.dumps({"x": other})
        cursor.execute(
            "update users set attributes = $held::json::variant where id = 8", {"held": held}
        )
        set_watermark(cursor, AUDIENCE_TURN, "2")
    assert scanned(store, low=0, high=1)[8] == other


def test_a_scan_under_way_keeps_its_version_while_the_next_begins(store: FactsStore) -> None:
    """What is remembered for one is not used for the other."""
    add(store, FILED, "1")
    early = audience_queries.scan(
        store, AudienceScan(app=AppId(1), low=0, high=4, fields=("tag.x",))
    )
    first = next(early)
    with store.writing() as cursor:
        cursor.execute("update users set attributes = '{\"x\": 5}'::json::variant where id = 8")
        set_watermark(cursor, AUDIENCE_TURN, "2")
    assert scanned(store)[8] == 5
    rest = [first, *early]
    told = {value for piece in rest for value in piece["tag.x"].to_pylist()}
    assert told == {b"text"}


def test_without_a_version_nothing_is_remembered(store: FactsStore) -> None:
    """Nothing would tell when it ends."""
    add(store, FILED, "1")
    with store.writing() as cursor:
        cursor.execute("delete from watermark where name = ?", [AUDIENCE_TURN])
    assert scanned(store)[7] == b"text"
    assert store.texts == ("", frozenset())


def test_pieces_with_other_columns_are_filled_each_in_its_own_way() -> None:
    """A column that one leaves out is told by the next, and the other way round."""
    said = {"country": ["FR"], "language": ["fr"], "dead": [True], "granted": [5]}
    for left_out in [*said, *said]:
        told = {name: value for name, value in said.items() if name != left_out}
        piece = pl.DataFrame({"user": [7], **told}).cast(
            {name: AUDIENCE_SCHEMA[name] for name in ("user", *told)}
        )
        found = filled(piece)
        assert found.schema == pl.Schema(AUDIENCE_SCHEMA)
        assert {name: found[name].to_list() for name in told} == told
        assert not found[left_out].to_list()[0]
