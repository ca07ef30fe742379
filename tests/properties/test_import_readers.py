"""Files of registrations are read alike by the quick way and by the one that goes cell by cell."""

import csv
import io
import json
from collections.abc import AsyncIterator

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.attributes import PLAIN_OBJECT, PLAIN_OCTETS, check_attributes, parse_time
from clarion.domain.registration import INSTANT
from clarion.stages.intake import readers
from clarion.stages.intake.events import LAYOUT
from clarion.stages.intake.plain import plain_cells
from clarion.stages.intake.readers import CsvReader, NdjsonReader
from clarion.stages.intake.rows import Format, RawBatch

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


VALUES = st.sampled_from(
    [
        *(
            '"a"',
            '"ü"',
            '"\\u00fc"',
            '"\\ud800"',
            '""',
            "null",
            "true",
            "7",
            "-1.5",
            "7.0",
        ),
        *("123456789012345678901234567890", "1" + "0" * 400, "-0", "1e2", "1e400"),
        *('"2026-01-02T03:04:05Z"', '"2026-01-02"', "[1]", "{}"),
        *('{"a":1e2}', '{"a": 18446744073709551616}', '{"a":"\\ud800"}', '{"a":1e400}'),
        *('{"a":1}', '{"a": "b", "c": {"time": "x"}}', '{"a":"\\""}', '"\n"', "{", "01", "NaN"),
    ]
)
FIELDS = st.sampled_from(["id", "name", "at", "value", "user", "properties", "x", "\\u0061t"])
LINES = st.lists(
    st.lists(st.tuples(FIELDS, VALUES), max_size=4).map(
        lambda members: "{" + ",".join(f'"{name}": {value}' for name, value in members) + "}"
    )
    | st.sampled_from(["", " ", "[]", "{} {}", '{"id":', "\ufeff{}", '{"name":"a"}\r']),
    min_size=1,
    max_size=5,
)
INSTANTS = st.from_regex(
    r"[0-3]\d{3}-[01]\d-[0-3]\d[T ][0-2]\d:[0-6]\d:[0-6]\d(\.\d{1,7})?(Z|[+-][0-2]\d:[0-6]\d)?",
    fullmatch=True,
)
NUMBERS = (
    st.floats().map(str)
    | st.integers().map(str)
    | st.from_regex(r"[-+]?[0-9]{1,17}\.?[0-9]{0,17}", fullmatch=True)
)


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


async def arriving(octets: bytes, size: int) -> AsyncIterator[bytes]:
    """A file in pieces."""
    for start in range(0, len(octets), size):
        yield octets[start : start + size]


@pytest.mark.parametrize("at", [1, 2, 70, 299])
@pytest.mark.parametrize("stray", ['5" nails', 'a"', '"a\nb"', '"a""b"'])
async def test_a_quote_within_a_field_breaks_no_long_file(
    monkeypatch: pytest.MonkeyPatch, at: int, stray: str
) -> None:
    """It is a letter of the field, as in a file that is read at once."""
    monkeypatch.setattr(readers, "BLOCK_OCTETS", 1_000)
    monkeypatch.setattr(readers, "LONGEST_ROW", 500)
    models = [stray if row == at else f"model {row}" for row in range(300)]
    lines = [f"token-{row},{model}" for row, model in enumerate(models)]
    octets = "\n".join(["token,model", *lines, ""]).encode()
    whole = CsvReader().read(octets)
    batches = [batch async for batch in readers.read_text(arriving(octets, 100), Format.CSV)]
    assert pl.concat([batch.rows for batch in batches]).equals(whole.rows)
    assert [line for batch in batches for line in batch.lines] == list(whole.lines)
    assert len(whole.rows) == 300


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


@given(lines=LINES, end=st.sampled_from(["\n", ""]))
def test_lines_of_json_are_read_alike_together_and_one_by_one(lines: list[str], end: str) -> None:
    """Rows and what is said about bad ones are the same, to the text of each JSON object."""
    block = ("\n".join(lines) + end).encode()
    together, alone = NdjsonReader(LAYOUT).read(block), NdjsonReader(LAYOUT)._one_by_one(block)
    told = [
        (
            [{name: row.get(name) for name in LAYOUT.columns} for row in batch.rows.to_dicts()],
            list(batch.lines),
            list(batch.bad),
            batch.read,
        )
        for batch in (together, alone)
    ]
    assert told[0] == told[1]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400])
@pytest.mark.parametrize("beside", ["", "\n"], ids=["plain lines", "an empty line"])
def test_an_integer_that_is_too_large_is_refused_however_it_is_read(
    number: int, beside: str
) -> None:
    """It does not become a fraction on the way to the rules."""
    line = f'{{"external_id":"ada","name":"view","properties":{{"n":{number}}}}}\n'
    (text,) = NdjsonReader(LAYOUT).read((line + beside).encode()).rows["properties"]
    assert [found.code for found in check_attributes(text, "/properties")] == ["number_invalid"]


@pytest.mark.parametrize("number", [2**53 + 1, 2**63, -(2**64), 10**400])
def test_so_is_one_in_a_column_of_numbers(number: int) -> None:
    """Of CSV."""
    (text,) = (
        CsvReader()
        .read(f"external_id,attributes.n:number\nada,{number}".encode())
        .rows["attributes"]
    )
    assert [found.code for found in check_attributes(text, "/attributes")] == ["number_invalid"]


@pytest.mark.parametrize("depth", [300, 1_010, 2_000])
def test_a_list_that_is_too_deep_is_refused(depth: int) -> None:
    """In a column of lists, and beside other columns of attributes."""
    cell = "[" * depth + "]" * depth
    batch = CsvReader().read(f"external_id,attributes.n:list\nada,{cell}".encode())
    assert [found.code for found in batch.bad] == ["type_invalid"]
    beside = f'external_id,attributes,attributes.n\nada,"{{""a"":{cell}}}",1'
    (text,) = CsvReader().read(beside.encode()).rows["attributes"]
    assert check_attributes(text, "/attributes")


@given(st.lists(INSTANTS, min_size=1, max_size=3))
def test_plain_instants_are_what_the_careful_reader_makes_of_them(given: list[str]) -> None:
    """Or they are left to it."""
    for text, read in zip(given, plain_cells(pl.Series(given), INSTANT), strict=True):
        assert read is None or read == parse_time(text)


@given(st.lists(NUMBERS, min_size=1, max_size=3))
def test_plain_numbers_are_what_the_careful_reader_makes_of_them(given: list[str]) -> None:
    """Or they are left to it; as attributes they keep their value too."""
    for kind, careful in ((pl.Float64(), float), (pl.Int64(), int)):
        for text, read in zip(given, plain_cells(pl.Series(given), kind), strict=True):
            assert read is None or read == careful(text)
    block = (
        "external_id,attributes.n:number\n" + "".join(f"a,{n.strip()}\n" for n in given)
    ).encode()
    batch = CsvReader().read(block)
    texts = [text for text in batch.rows["attributes"].to_list() if text is not None]
    good = [n for n in given if abs(float(n)) < float("inf")]
    assert [float(json.loads(text)["n"]) for text in texts] == [float(n) for n in good]


def test_a_mark_at_the_front_of_a_field_stays_wherever_a_block_begins() -> None:
    """Only at the front of the file does U+FEFF say how it is encoded (RFC 3629 section 6)."""
    reader = CsvReader()
    reader.read(b"external_id,language\n")

    read = reader.read("\ufeffu1,de\nu2,\ufeff\n".encode())

    assert read.rows.rows() == [("\ufeffu1", "de"), ("u2", "\ufeff")]
