"""Decisions stay packed in the facts: found, counted and erased by whom they are about."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.facts.test_feeds import store
from tests.facts.test_person_facts import told

from clarion.adapters.facts.duckdb.decision_feed import append_decisions
from clarion.adapters.facts.duckdb.decision_queries import counted, pieces
from clarion.adapters.facts.duckdb.decision_reading import decided_of
from clarion.adapters.facts.duckdb.person_queries import erase
from clarion.adapters.facts.duckdb.store import FactsStore
from clarion.adapters.state.rulings import decided_values
from clarion.domain.decided import Decided
from clarion.domain.decision_row import DECISION_ROW, Action
from clarion.domain.ids import AppId, MessageId
from clarion.domain.outcome import Reason

__all__ = ["store"]

APP = AppId(1)
FIRST, SECOND = (MessageId(f"00000000-0000-7000-8000-00000000000{n}") for n in (1, 2))
PEOPLE = 200
HOUR_US = 3_600_000_000


def decided(messages: Sequence[MessageId], users: Sequence[int]) -> Decided:
    """Two devices of every person about each message; the second device is held."""
    rows = np.zeros(2 * len(users) * len(messages), DECISION_ROW)
    rows["user"] = np.tile(np.repeat(users, 2), len(messages))
    rows["device"] = rows["user"] * 10 + np.arange(len(rows)) % 2
    rows["network"] = 1
    rows["action"] = np.where(rows["device"] % 10 == 0, Action.SEND, Action.HOLD)
    rows["reason"][rows["action"] == Action.HOLD] = Reason.HELD_FOR_QUIET_HOURS
    rows["send_us"] = 5 * HOUR_US + 7
    runs = [2 * len(users)] * len(messages)
    return Decided(
        app=APP, messages=messages, runs=runs, rows=rows, policy={"x": 1}, zones=("UTC",)
    )


def append(store: FactsStore, *chunks: Decided) -> None:
    """As the feed does it with chunks of the state store."""
    records = []
    for number, chunk in enumerate(chunks):
        _, app, messages, rows, meta = decided_values("", chunk)
        record = {"id": number + 1, "app_id": app, "message_ids": messages}
        records.append({**record, "rows": rows, "meta": meta, "created_us": 0})
    with store.writing() as cursor:
        append_decisions(cursor, records)


def read(store: FactsStore, message: MessageId, user: int = 0) -> list[Decided]:
    """What the owner answers, as its client reads it."""
    found = pieces(store, app=APP, message=message, user=user)
    return [decided_of(APP, message, piece) for piece in found]


def devices(found: Sequence[Decided]) -> list[int]:
    """Of whom decisions tell."""
    return sorted(device for piece in found for device in piece.rows["device"].tolist())


@pytest.fixture
def filled(store: FactsStore) -> FactsStore:
    """A campaign's chunks, one a half of the people, and a group of two urgent messages."""
    append(
        store,
        decided([FIRST], range(1, PEOPLE)),
        decided([FIRST], range(PEOPLE, 2 * PEOPLE)),
        decided([FIRST, SECOND], [3, 5000]),
    )
    return store


def test_decisions_are_found_by_message_and_by_person(filled: FactsStore) -> None:
    """Those of another message in the same chunk are not told."""
    assert len(devices(read(filled, FIRST))) == 2 * (2 * PEOPLE - 1) + 4
    assert devices(read(filled, FIRST, 7)) == [70, 71]
    assert devices(read(filled, FIRST, 3)) == [30, 30, 31, 31]
    assert devices(read(filled, SECOND)) == [30, 31, 50_000, 50_001]
    assert devices(read(filled, SECOND, 7)) == []
    assert read(filled, SECOND, 3)[0].policy == {"x": 1}
    assert read(filled, SECOND, 3)[0].zones == ("UTC",)


def test_decisions_are_counted_without_a_look_at_them(filled: FactsStore) -> None:
    """By action, reason and network, what is held by its hour too."""
    held = (int(Action.HOLD), int(Reason.HELD_FOR_QUIET_HOURS), 1, 5 * HOUR_US)
    n = 2 * PEOPLE + 1
    assert counted(filled, app=APP, message=FIRST) == [
        (int(Action.SEND), 0, 1, None, n),
        (*held, n),
    ]
    assert counted(filled, app=APP, message=SECOND) == [
        (int(Action.SEND), 0, 1, None, 2),
        (*held, 2),
    ]


def test_an_erased_person_is_in_no_chunk_any_more(filled: FactsStore) -> None:
    """Others keep their rows, in the same places of the same messages; the counts stay."""
    assert len(told(filled, app=APP, users=[3])["decision"]) == 6
    before = counted(filled, app=APP, message=SECOND)

    assert erase(filled, app=APP, users=[3])["decision"] == 6
    assert not told(filled, app=APP, users=[3])["decision"]
    assert devices(read(filled, FIRST, 3)) == devices(read(filled, SECOND, 3)) == []
    assert devices(read(filled, SECOND)) == [50_000, 50_001]
    assert devices(read(filled, FIRST, 5000)) == [50_000, 50_001]
    assert len(devices(read(filled, FIRST))) == 2 * (2 * PEOPLE - 1)
    assert erase(filled, app=APP, users=[3])["decision"] == 0

    assert erase(filled, app=APP, users=[5000])["decision"] == 4
    assert read(filled, SECOND) == []
    assert counted(filled, app=APP, message=SECOND) == before
