"""A facts file of earlier days is brought up to date as it is opened, or refused in words."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from clarion.adapters.facts.duckdb.shape import AUDIENCE
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.ports.store import FactsFileError


@pytest.fixture
def path(short_dir: Path) -> Path:
    """A file with an outcome, a person, and an audience that is up to date."""
    path = short_dir / "facts.duckdb"
    open_store(path, memory_mib=64, threads=1).close()
    with duckdb.connect(path) as file:
        file.execute("insert into outcome by name select 1 as app, 7 as device, 3 as note")
        file.execute("insert into users by name select 1 as app, 7 as id")
        file.execute("insert into list_member values (1, 2, 7)")
        file.execute("insert into watermark values ('registry', '3:9:')")
    return path


@contextmanager
def opened(path: Path) -> Iterator[FactsStore]:
    """The file as the owner opens it."""
    store = open_store(path, memory_mib=64, threads=1)
    try:
        yield store
    finally:
        store.close()


def change(path: Path, *statements: str) -> None:
    """What another version did to the file."""
    with duckdb.connect(path) as file:
        for statement in statements:
            file.execute(statement)


def number(path: Path, version: str) -> None:
    """What another version called its schema."""
    with duckdb.connect(path) as file:
        file.execute("update watermark set value = ? where name = 'schema'", [version])


def count(store: FactsStore, table: str) -> int:
    """Rows of a table."""
    with store.reading() as cursor:
        row = cursor.execute(f"select count(*) from {table}").fetchone()  # noqa: S608  # our own names
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("table", AUDIENCE)
def test_an_audience_with_other_columns_is_read_anew(path: Path, table: str) -> None:
    """Under whatever number: what can be read again is, and outcomes stay."""
    change(path, f"drop table {table}", f"create table {table} (id bigint, odd varchar)")
    with opened(path) as store:
        assert [count(store, name) for name in AUDIENCE] == [0, 0, 0, 0]
        assert store.watermark("registry") is None
        assert count(store, "outcome") == 1
        with store.reading() as cursor:
            cursor.execute("select suppressed, granted from users")


def test_an_audience_that_is_as_it_should_be_is_left_alone(path: Path) -> None:
    """Opening it again reads nothing anew."""
    with opened(path) as store:
        assert count(store, "users") == count(store, "list_member") == 1
        assert store.watermark("registry") == "3:9:"


def test_a_table_and_a_column_of_facts_that_lack_are_added(path: Path) -> None:
    """Their rows are unknown; all others stay what they are."""
    change(path, "drop table decision_count", "alter table engagement drop column device")
    with opened(path) as store:
        assert count(store, "decision_count") == 0
        with store.reading() as cursor:
            assert cursor.execute("select device from engagement").fetchall() == []
        assert count(store, "outcome") == 1


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("alter table event add column odd varchar", "event.odd"),
        ("alter table outcome alter column note type varchar", "outcome.note"),
    ],
)
def test_facts_with_other_columns_are_refused_in_words(
    path: Path, statement: str, name: str
) -> None:
    """Nothing is guessed at, and the file stays as it is."""
    change(path, "drop view outcome_row", statement)
    with pytest.raises(FactsFileError, match=rf"{name}\).*another version.*move the file away"):
        open_store(path, memory_mib=64, threads=1)
    with duckdb.connect(path) as file:
        assert file.execute("select count(*) from users").fetchone() == (1,)


@pytest.mark.parametrize(("version", "words"), [("1", "too old.*Move it away"), ("5", "newer")])
def test_another_number_says_what_to_do(path: Path, version: str, words: str) -> None:
    """Older ones differently from newer ones."""
    number(path, version)
    with pytest.raises(
        FactsFileError, match=f"has schema {version}, this Clarion knows 4: .*{words}"
    ):
        open_store(path, memory_mib=64, threads=1)


@pytest.mark.parametrize("version", ["2", "3"])
def test_a_number_that_is_known_is_brought_up_to_date(path: Path, version: str) -> None:
    """And is the newest afterwards."""
    number(path, version)
    with opened(path) as store:
        assert store.watermark("schema") == "4"
        assert count(store, "outcome_row") == 1
