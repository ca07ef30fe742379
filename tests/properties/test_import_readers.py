"""Files of registrations are read alike by the quick way and by the one that goes cell by cell."""

import csv
import io
import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.attributes import PLAIN_OBJECT, PLAIN_OCTETS, check_attributes
from clarion.stages.intake.readers import CsvReader
from clarion.stages.intake.rows import RawBatch

HEADER = [
    "external_id",
    "token",
    "opted_out",
    "latitude",
    "last_active_at",
    "attributes.plan",
    "attributes.age:number",
    "attributes.on:boolean",
    "aliases.crm",
]
CELLS = st.sampled_from(
    ["", "a", "ü", " x ", "1", "-1.5", "1e400", "true", "no", "2026-01-02T03:04:05Z", "\\", "{}"]
)
ROWS = st.lists(st.lists(CELLS, min_size=8, max_size=10), min_size=1, max_size=6)


def text(rows: list[list[str]], *, quoted: bool, end: str) -> bytes:
    """A CSV file."""
    file = io.StringIO()
    kind = csv.unix_dialect if quoted else csv.excel
    csv.writer(file, kind, lineterminator=end).writerows([HEADER, *rows])
    return file.getvalue().encode()


def told(batch: RawBatch) -> tuple[object, ...]:
    """A batch as plain values."""
    return batch.rows.to_dict(as_series=False), list(batch.lines), list(batch.bad), batch.read


@given(rows=ROWS, end=st.sampled_from(["\n", "\r\n"]))
def test_quotes_around_fields_change_nothing(rows: list[list[str]], end: str) -> None:
    """Rows, lines, and what is said about bad rows are the same."""
    plain, quoted = (
        CsvReader().read(text(rows, quoted=quoted, end=end)) for quoted in (False, True)
    )
    assert told(plain) == told(quoted)


@given(
    attributes=st.dictionaries(
        st.text(max_size=70),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
        max_size=6,
    ),
    tight=st.booleans(),
)
def test_attributes_that_are_plain_at_first_sight_are_fine(
    attributes: dict[str, object], *, tight: bool
) -> None:
    """Whatever the quick look accepts, the careful one accepts too."""
    made = json.dumps(attributes, separators=(",", ":") if tight else None, ensure_ascii=False)
    if made.isprintable() and len(made.encode()) <= PLAIN_OCTETS:
        plain = pl.Series([made]).str.contains(PLAIN_OBJECT).item()
        assert not plain or not check_attributes(made, "/attributes")


@given(st.from_regex(PLAIN_OBJECT.replace("*)?", "{0,3})?"), fullmatch=True))
def test_every_plain_object_is_fine(made: str) -> None:
    """Texts made from the pattern itself are attributes without a problem."""
    if len(made) <= PLAIN_OCTETS:
        assert not check_attributes(made.strip("\n"), "/attributes")
