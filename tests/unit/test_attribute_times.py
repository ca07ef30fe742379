"""Times among attributes are stored in one form, whatever ISO 8601 was given."""

from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest

from clarion.domain.attributes import canonical_times, check_attributes, decode_attributes
from clarion.domain.registration import check

ODD = [
    "2026-W05-6T08:00:00Z",
    "20260131T080000Z",
    "2026-01-31T08Z",
    "2026-01-31T09:00:00,000+01:00",
    "2026-01-31T09:00:00+0100",
    "2026-01-31T08:00:00.000000000Z",
    "2026-01-31T08:00:30+00:00:30",
]


@pytest.mark.parametrize("odd", ODD)
def test_every_form_that_is_taken_is_read_by_the_columns(odd: str) -> None:
    """DuckDB reads what is stored, as the instant that was meant."""
    given = f'{{"since": {{"time": "{odd}"}}, "n": [1, "{{"]}}'
    assert check_attributes(given, "") == []
    stored = canonical_times(given)
    assert decode_attributes(stored) == decode_attributes(given)
    (read,) = duckdb.execute(
        "select epoch_us(try_cast(?::json->'since'->>'time' as timestamptz))", [stored]
    ).fetchone() or (None,)
    assert read == datetime(2026, 1, 31, 8, tzinfo=UTC).timestamp() * 1e6


def test_what_is_in_order_is_not_written_anew() -> None:
    """Neither plain times nor anything else."""
    for text in (
        '{ "a": {"time": "2026-01-31T08:00:00+05:30"} }',
        '{"a":1}',
        '{"a":{"time":"2026-01-31T08:00:00.5Z"},"b":":{"}',
    ):
        assert canonical_times(text) == text


def test_a_registration_is_stored_with_such_times() -> None:
    """Of a person and of a device, each row its own; absent ones stay absent."""
    rows = pl.DataFrame(
        {
            "external_id": ["a", "b", "c"],
            "user_attributes": [
                '{"a":{"time":"20260131T080000Z"},"b":null}',
                None,
                '{"a": "text: {"}',
            ],
        }
    )
    found = check(rows, zones=frozenset(), now=datetime(2026, 3, 1, tzinfo=UTC))
    assert not found.problems
    assert found.rows["user_attributes"].to_list() == [
        '{"a":{"time":"2026-01-31T08:00:00Z"},"b":null}',
        None,
        '{"a": "text: {"}',
    ]
