"""People are counted once, however many devices they have and wherever their ids lie."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clarion.adapters.facts.duckdb import audience_queries
from clarion.adapters.facts.duckdb.store import FactsStore, open_store

NETWORK = 1
FAR = 1 << 40
USERS = (
    "insert into users by name select unnest($ids) as id, 1 as app, 0 as bucket, false as opted_out"
)
DEVICES = """
insert into device by name
select unnest($ids) as id, 1 as app, 0 as bucket, unnest($owners) as user_id,
       1 as network, unnest($dead) as dead, false as opted_out
"""
PEOPLE = st.dictionaries(
    st.integers(1, 40) | st.integers(FAR - 5, FAR), st.lists(st.booleans(), max_size=3), max_size=12
)
"""Of each id, which of the person's devices are dead."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FactsStore]:
    """An empty file."""
    store = open_store(tmp_path / "facts.duckdb", memory_mib=96, threads=1)
    yield store
    store.close()


def counted(store: FactsStore, people: Mapping[int, Sequence[bool]]) -> tuple[object, object]:
    """How many people there are, and how many of them can be reached."""
    devices = [(user, dead) for user, each in people.items() for dead in each]
    with store.writing() as cursor:
        cursor.execute("delete from users")
        cursor.execute("delete from device")
        if people:
            cursor.execute(USERS, {"ids": list(people)})
        if devices:
            owners, dead = zip(*devices, strict=True)
            ids = list(range(1, len(devices) + 1))
            cursor.execute(DEVICES, {"ids": ids, "owners": list(owners), "dead": list(dead)})
    found = audience_queries.count(store, app=1, segment=None, sendable=[NETWORK])
    return found["people"], found["reachable"]


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(people=PEOPLE)
def test_a_person_counts_once(store: FactsStore, people: dict[int, list[bool]]) -> None:
    """With any devices, none of them, or only dead ones; ids near each other and far apart."""
    reachable = sum(not all(each) for each in people.values())
    assert counted(store, people) == (len(people), reachable)


@pytest.mark.parametrize("far", [1 << 24, (1 << 24) + 1, FAR])
def test_ids_far_apart_are_counted(store: FactsStore, far: int) -> None:
    """Whether a bit an id would be too much or only just not."""
    assert counted(store, {1: [False, False], far: [True, False], far - 1: [True]}) == (3, 2)


def test_nobody_is_counted_as_none(store: FactsStore) -> None:
    """An empty audience has no least id."""
    assert counted(store, {}) == (0, 0)


def test_people_are_counted_where_memory_is_scarce(tmp_path: Path) -> None:
    """There is no room for a bit an id; so few people are counted all the same."""
    store = open_store(tmp_path / "facts.duckdb", memory_mib=8, threads=1)
    try:
        assert counted(store, {1: [False], 1 << 24: [True]}) == (2, 1)
    finally:
        store.close()
