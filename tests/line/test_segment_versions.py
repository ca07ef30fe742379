"""A decision tells by which version of which segments its person was chosen."""

from dataclasses import replace

import asyncpg
import orjson
import pytest
from tests.line.conftest import Store
from tests.line.test_caps import PEOPLE, everybody, plan_all, ports, rule
from tests.line.test_digests import Registry

from clarion.adapters.facts.duckdb.decision_reading import decided_of
from clarion.adapters.state.journal import PostgresJournal
from clarion.adapters.state.segments import PostgresSegments
from clarion.api.segmenting import used
from clarion.domain.decided import Decided
from clarion.domain.segments.text import parse
from clarion.ports.messages import Target
from clarion.ports.segments import SegmentDraft


async def put(store: Store, name: str, text: str) -> None:
    """Say what a segment is."""
    draft = SegmentDraft(name=name, expression=parse(text).expression)
    await PostgresSegments(store.pool).put(store.app, draft, store.now)


async def planned_decision(store: Store) -> Decided:
    """Of one person, as the facts tell it, for a message to the segment `vip`."""
    planner = ports(store)
    planner = replace(planner, audience=Registry(planner, store))
    made = replace(everybody(store, 1), target=Target(segment={"segment": "vip"}))
    await PostgresJournal(store.pool).accept(made, store.now)
    await planner.line.expand_due(store.now, limit=10)
    await plan_all(planner)
    row = await store.pool.fetchrow("select meta, rows from chunk where kind = 3 limit 1")
    return _told(store, row["meta"], row["rows"])


def _told(store: Store, meta: bytes, rows: bytes) -> Decided:
    piece = len(meta).to_bytes(4, "little") + meta + rows
    return decided_of(store.app, everybody(store, 1).message.id, piece)


@pytest.fixture
async def vips(store: Store) -> Store:
    """A segment that names another, both in their second version."""
    await store.add_people(PEOPLE)
    await rule(store, [])
    await put(store, "paying", "everyone")
    await put(store, "paying", "country exists or everyone")
    await put(store, "vip", "in segment(paying)")
    await put(store, "vip", "in segment(paying) and everyone")
    await put(store, "other", "everyone")
    return store


async def test_a_decision_names_all_segments_that_led_to_it(vips: Store) -> None:
    """Those that others name too, and no others."""
    assert (await planned_decision(vips)).segments == {"vip": 2, "paying": 2}


async def test_what_a_version_said_can_be_read_after_it_is_replaced(vips: Store) -> None:
    """And removed."""
    chosen_by = (await planned_decision(vips)).segments
    await put(vips, "vip", "not everyone")
    await vips.pool.execute("delete from segment where name = 'paying'")

    told = await used(PostgresSegments(vips.pool), vips.app, [*chosen_by.items(), ("old", 7)])

    assert [(one.name, one.version, one.text) for one in told] == [
        ("old", 7, None),
        ("paying", 2, "country exists or everyone"),
        ("vip", 2, "in segment(paying) and everyone"),
    ]


async def test_decisions_of_earlier_versions_name_none(vips: Store) -> None:
    """They are read all the same."""
    await planned_decision(vips)
    row = await vips.pool.fetchrow("select meta, rows from chunk where kind = 3 limit 1")
    meta = orjson.loads(row["meta"])
    del meta["segments"]
    assert _told(vips, orjson.dumps(meta), row["rows"]).segments == {}


@pytest.mark.parametrize(
    "change",
    [
        "update segment_version set version = 9",
        "delete from segment_version",
        "truncate segment_version",
    ],
)
async def test_versions_are_never_changed(vips: Store, change: str) -> None:
    """Not even by hand."""
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await vips.pool.execute(change)
