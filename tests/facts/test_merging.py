"""Parts of tables stay apart until they are merged on purpose."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clarion.adapters.facts.duckdb.merging import leave_parts, merge_parts
from clarion.adapters.facts.duckdb.store import FactsStore, open_store


@pytest.fixture
def store(short_dir: Path) -> Iterator[FactsStore]:
    """A new facts file."""
    store = open_store(short_dir / "facts.duckdb", memory_mib=64, threads=1)
    yield store
    store.close()


def told(store: FactsStore) -> tuple[int, int]:
    """Parts of the table, and its rows."""
    with store.reading() as cursor:
        parts = "select count(distinct row_group_id) from pragma_storage_info('provider_id')"
        found = [
            cursor.execute(sql).fetchall()[0] for sql in (parts, "select count(*) from provider_id")
        ]
    return int(found[0][0]), int(found[1][0])


def test_a_checkpoint_merges_nothing_until_it_is_asked_to(store: FactsStore) -> None:
    """Rows of many small transactions come together in one part, and none is lost."""
    leave_parts(store)
    for start in range(0, 200_000, 50_000):
        with store.writing() as cursor:
            cursor.execute(
                "insert into provider_id by name select range as device from range(?, ?)",
                [start, start + 50_000],
            )
        with store.reading() as cursor:
            cursor.execute("checkpoint")
    before = told(store)
    merge_parts(store)

    assert before == (4, 200_000)
    assert told(store) == (2, 200_000)
