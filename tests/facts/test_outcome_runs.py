"""Runs of outcomes in the facts: counted, traced and erased as if each were a row."""

from collections.abc import Mapping

import numpy as np
import orjson
import pytest
from tests.facts.test_feeds import store, threads
from tests.facts.test_person_facts import told

from clarion.adapters.facts.duckdb.outcome_feed import OutcomeFeed
from clarion.adapters.facts.duckdb.person_queries import erase
from clarion.adapters.facts.duckdb.queries import counts, doubled, rate, sizes, trace
from clarion.adapters.facts.duckdb.snapshot import Snapshot
from clarion.adapters.facts.duckdb.store import FactsStore
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.domain.handoffs import OUTCOME_ROW
from clarion.domain.outcome_runs import is_run, packed, unpacked

__all__ = ["store", "threads"]

MESSAGE, OTHER = (f"00000000-0000-7000-8000-00000000000{n}" for n in (1, 2))
PEOPLE = 100
AT_US = 1_763_000_000_000_000


def chunk(
    number: int, rows: np.ndarray[tuple[int], np.dtype[np.void]], *, as_rows: bool = False
) -> Mapping[str, object]:
    """A recorded chunk, as the state store has it."""
    return {
        "id": number,
        "app_id": 1,
        "kind": 1,
        "message_ids": [OTHER, MESSAGE],
        "rows": rows.tobytes() if as_rows else packed(rows),
        "notes": ["words"],
        "provider_ids": orjson.dumps({"3": f"id-{number}"}).decode(),
    }


def accepted(first_user: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Two devices of everybody accepted the second message."""
    rows = np.zeros(2 * PEOPLE, OUTCOME_ROW)
    rows["user"] = first_user + np.arange(2 * PEOPLE) // 2
    rows["device"] = 10 * rows["user"] + np.arange(2 * PEOPLE) % 2
    rows["at_us"], rows["status"], rows["outcome"], rows["network"] = AT_US, 200, 1, 1
    rows["message"] = 1
    return rows


@pytest.fixture(params=[True, False], ids=["rows", "runs"])
def filled(store: FactsStore, threads: Threads, request: pytest.FixtureRequest) -> FactsStore:
    """Two chunks of the same message; and whoever is in the first was tried before."""
    feed = OutcomeFeed(store=store, threads=threads)
    first, second = accepted(1), accepted(1 + PEOPLE)
    tried = first.copy()
    tried["outcome"], tried["verdict"], tried["note"], tried["status"] = 0, 3, 1, 503
    first["attempt"], first["at_us"] = 1, AT_US + 2_000_000
    chunks = [
        chunk(number, rows, as_rows=request.param)
        for number, rows in enumerate((tried, first, second), 1)
    ]
    feed._append(chunks, Snapshot(9))
    return store


def test_reports_count_runs_as_rows(filled: FactsStore) -> None:
    """Outcomes, instants, second tries and rates are the same in both forms."""
    told = counts(filled, app=1, message=MESSAGE)
    assert told["outcomes"] == [(1, 1, 0, 4 * PEOPLE)]
    assert told["retried"] == [(1, 2 * PEOPLE)]
    assert (told["first_us"], told["last_us"]) == (AT_US, AT_US + 2_000_000)
    assert rate(filled, app=1, message=MESSAGE) == [
        (AT_US // 1_000_000, 2 * PEOPLE),
        (AT_US // 1_000_000 + 2, 2 * PEOPLE),
    ]
    assert counts(filled, app=1, message=OTHER)["outcomes"] == []
    assert doubled(filled, app=1, message=MESSAGE) == []
    assert sizes(filled)["outcome"] == 6 * PEOPLE


def test_a_trace_finds_a_person_in_a_run(filled: FactsStore) -> None:
    """With the network's words and id of each attempt."""
    found = trace(filled, app=1, message=MESSAGE, user=2)
    assert [row[:2] + row[3:5] for row in found] == [
        (20, 1, 0, 0), (21, 1, 0, 0), (20, 1, 1, 1), (21, 1, 1, 1),
    ]  # fmt: skip
    words = [(row[7], row[8]) for row in found]
    assert str(words) == str([("words", None), ("words", "id-1"), (None, None), (None, "id-2")])


def test_an_erased_person_leaves_a_run_and_is_still_counted(filled: FactsStore) -> None:
    """Their rows are of nobody then; everybody else's stay as they are."""
    assert len(told(filled, app=1, users=[2])["outcome"]) == 4
    removed = erase(filled, app=1, users=[2])
    assert (removed["outcome"], removed["provider_id"]) == (4, 2)
    assert told(filled, app=1, users=[2])["outcome"] == []
    assert trace(filled, app=1, message=MESSAGE, user=2) == []
    assert [row[0] for row in trace(filled, app=1, message=MESSAGE, user=3)] == [30, 31, 30, 31]
    assert counts(filled, app=1, message=MESSAGE)["outcomes"] == [(1, 1, 0, 4 * PEOPLE)]
    assert sizes(filled)["outcome"] == 6 * PEOPLE
    with filled.reading() as cursor:
        nobody = cursor.execute("select count(*) from outcome_row where device = 0").fetchone()
    assert nobody == (4,)
    assert not any(erase(filled, app=1, users=[2]).values())


def test_a_chunk_of_one_kind_is_a_run() -> None:
    """The form that the other tests compare with rows."""
    octets = packed(accepted(1))
    assert is_run(octets)
    assert (unpacked(octets) == accepted(1)).all()
