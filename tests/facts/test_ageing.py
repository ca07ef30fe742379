"""Facts are kept as long as the settings say, each kind for itself."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from clarion.adapters.facts.duckdb.ageing import Ageing
from clarion.adapters.facts.duckdb.decision_queries import counted, pieces
from clarion.adapters.facts.duckdb.halves import halves
from clarion.adapters.facts.duckdb.person_queries import erase
from clarion.adapters.facts.duckdb.settings import FactsKept
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.adapters.state.frequency import KEPT
from clarion.adapters.system import SystemClock
from clarion.app.setting_retention import LONGEST_CAP_DAYS, Retention
from clarion.app.settings import SettingsError, load
from clarion.domain.decided import packed
from clarion.domain.decision_row import DECISION_ROW
from clarion.domain.frequency import MAX_ROLLING_US
from clarion.domain.send_time import instant_us

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def id_of(at: datetime, last: int) -> str:
    """A message's id that was made at some instant (UUID version 7)."""
    number = (int(at.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | last
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@pytest.fixture
def store(short_dir: Path) -> Iterator[FactsStore]:
    """A file with facts of 0, 10, 20, ... 90 days ago, one message each."""
    store = open_store(short_dir / "facts.duckdb", memory_mib=64, threads=1)
    for number in range(10):
        add(store, number, NOW - 10 * number * DAY)
    yield store
    store.close()


def add(store: FactsStore, number: int, at: datetime, *, noted: bool = True) -> None:
    """Everything that may be recorded of a message to one person."""
    high, low = halves(id_of(at, number))
    us, chunk = instant_us(at), 1000 - number
    rows = np.zeros(1, DECISION_ROW)
    rows["user"] = 7
    with store.writing() as cursor:
        of = {"high": high, "low": low, "us": us, "note": chunk << 16 | 1}
        cursor.execute(
            "insert into outcome by name select 1 as app, $high as message_high, "
            "$low as message_low, 7 as user_id, 8 as device, $us as at_us, 1 as outcome, "
            "$note as note, 0 as attempt",
            of,
        )
        cursor.execute(
            "insert into outcome_run by name select 1 as app, $high as message_high, "
            "$low as message_low, $us as at_us, 1 as outcome, 0 as note, 1 as size, "
            "9 as first_device, 9 as first_user, 9 as last_user, [0] as devices, [0] as users",
            {name: of[name] for name in ("high", "low", "us")},
        )
        cursor.execute("insert into note values (?, 'said')", [of["note"]])
        cursor.execute("insert into provider_id values (?, ?, 8, 0, 'p')", [high, low])
        cursor.execute(
            "insert into decision_chunk values (?, 1, 7, 7, 7, 7, '{}', ?, ?)",
            [chunk, packed(rows), us if noted else None],
        )
        cursor.execute("insert into decision_run values (?, 1, ?, ?, 0, 1)", [chunk, high, low])
        cursor.execute("insert into decision_count values (1, ?, ?, 1, 0, 1, -1, 1)", [high, low])
        cursor.execute(
            "insert into event by name select 1 as app, 7 as user_id, 'e' as name, ? as at_us", [us]
        )
        cursor.execute(
            "insert into engagement by name select 1 as app, 7 as user_id, ? as at_us", [us]
        )


async def age(store: FactsStore, kept: FactsKept) -> dict[str, int]:
    """What is deleted now."""
    threads = Threads()
    try:
        ageing = Ageing(store=store, threads=threads, kept=kept, clock=SystemClock())
        return dict(await ageing.drop(NOW))
    finally:
        threads.close()


def left(store: FactsStore) -> dict[str, int]:
    """Rows of each table."""
    found = {}
    with store.reading() as cursor:
        for table in (
            "outcome",
            "outcome_run",
            "note",
            "provider_id",
            "decision_chunk",
            "decision_run",
            "decision_count",
            "event",
            "engagement",
        ):
            row = cursor.execute(f"select count(*) from {table}").fetchone()  # noqa: S608  # above
            assert row is not None
            found[table] = int(row[0])
    return found


OUTCOMES = ("outcome", "outcome_run", "note", "provider_id")
DECISIONS = ("decision_chunk", "decision_run", "decision_count")
EVENTS = ("event", "engagement")


@pytest.mark.parametrize(
    ("kept", "tables"),
    [
        (FactsKept(outcomes=45 * DAY), OUTCOMES),
        (FactsKept(decisions=45 * DAY), DECISIONS),
        (FactsKept(events=45 * DAY), EVENTS),
    ],
)
async def test_each_kind_is_kept_as_long_as_it_says(
    store: FactsStore, kept: FactsKept, tables: tuple[str, ...]
) -> None:
    """The others stay whole, and a second look finds nothing."""
    before = left(store)
    dropped = await age(store, kept)

    assert left(store) == before | dict.fromkeys(tables, 5)
    assert sum(dropped.values()) == 5 * len(tables)
    assert sum((await age(store, kept)).values()) == 0


async def test_what_is_exactly_as_old_is_kept(store: FactsStore) -> None:
    """To the microsecond."""
    await age(store, FactsKept(outcomes=40 * DAY))
    assert left(store)["outcome"] == 5


async def test_decisions_whose_age_was_not_noted_go_by_their_message(store: FactsStore) -> None:
    """They came before it was: the id tells when the message was made."""
    add(store, 50, NOW - 60 * DAY, noted=False)
    add(store, 51, NOW - 5 * DAY, noted=False)
    await age(store, FactsKept(decisions=45 * DAY))
    assert left(store)["decision_chunk"] == 6
    kept = id_of(NOW - 5 * DAY, 51)
    assert len(list(pieces(store, app=1, message=kept))) == 1
    assert counted(store, app=1, message=kept)


async def test_what_is_much_goes_in_many_transactions(
    store: FactsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And rows that come in meanwhile are all there afterwards."""
    monkeypatch.setattr("clarion.adapters.facts.duckdb.ageing.PAUSE_S", 0.001)
    old = instant_us(NOW - 90 * DAY)
    with store.writing() as cursor:
        cursor.execute(
            "insert into event by name select 1 as app, 7 as user_id, 'e' as name, ? as at_us "
            "from range(120000)",
            [old],
        )

    async def feed() -> None:
        for _ in range(20):
            with store.writing() as cursor:
                cursor.execute(
                    "insert into event by name select 2 as app, ? as at_us", [instant_us(NOW)]
                )
            await asyncio.sleep(0)

    dropped, _ = await asyncio.gather(age(store, FactsKept(events=45 * DAY)), feed())

    assert dropped["facts_events"] == 120_000 + 5
    assert left(store)["event"] == 5 + 20


async def test_who_is_erased_and_what_is_old_are_both_gone(store: FactsStore) -> None:
    """One does not trip over what the other has deleted."""
    await age(store, FactsKept(outcomes=45 * DAY, decisions=45 * DAY, events=45 * DAY))
    removed = erase(store, app=1, users=[7])
    assert removed["decision"] == 5
    await age(store, FactsKept(outcomes=45 * DAY, decisions=45 * DAY, events=45 * DAY))
    found = left(store)
    assert found["event"] == found["engagement"] == found["decision_chunk"] == 0
    assert found["outcome"] == 5, "reports count them"


@pytest.mark.parametrize("name", ["facts_outcomes_days", "facts_decisions_days"])
def test_facts_are_kept_as_long_as_caps_look_back(name: str) -> None:
    """A shorter setting is refused in a sentence."""
    with pytest.raises(
        SettingsError, match=rf"retention\.{name} is 30, and a cap may look back 31"
    ):
        load({f"CLARION_RETENTION_{name.upper()}": "30"})
    assert getattr(load({f"CLARION_RETENTION_{name.upper()}": "31"}).retention, name) == 31


def test_events_are_kept_as_long_as_they_are_accepted() -> None:
    """Else one would be gone as it comes."""
    with pytest.raises(SettingsError, match="events are accepted for 60 days"):
        load({"CLARION_RETENTION_EVENTS_DAYS": "60", "CLARION_RETENTION_FACTS_EVENTS_DAYS": "59"})


def test_the_ledger_of_caps_is_kept_longer_than_any_cap_looks_back() -> None:
    """A rolling window, and a calendar month in any zone."""
    longest = timedelta(microseconds=MAX_ROLLING_US)
    assert longest == timedelta(days=LONGEST_CAP_DAYS) < KEPT
    assert Retention().facts_outcomes_days >= LONGEST_CAP_DAYS
