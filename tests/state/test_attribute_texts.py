"""Attributes travel as text: what the rules let pass, all who read it later can read."""

from typing import Final

import orjson
import pytest

from clarion.adapters.state.pool import Pool
from clarion.domain.attributes import check_aliases, check_attributes

HOSTILE: Final = (
    '{"a": 1e-20000}',
    '{"a": 1E-400}',
    '{"a": 0e-99999}',
    '{"a": 0e99999}',
    '{"a": 1e200000, "a": 1}',
    '{"a": 1e400, "a": 1}',
    '{"a": 1e400, "a": "x"}',
    '{"a": "\\u0000", "a": "x"}',
    '{"a": "\\ud800", "a": "x"}',
    '{"a": ["\\udc00"], "a": "x"}',
    '{"a": {"time": "\\u0000", "time": "2026-01-31T08:00:00Z"}}',
    f'{{"a": 0.{"1" * 17_000}}}',
)
FINE: Final = (
    '{"a": 5e-324, "b": 1.7976931348623157e308, "c": -0, "d": -0.0}',
    '{"a": 1, "a": 2}',
    '{"a": "x", "a": null}',
    f'{{"a": 0.{"1" * 390}}}',
)


@pytest.mark.parametrize("text", [*HOSTILE, *FINE])
async def test_what_is_let_pass_can_be_stored(pool: Pool, text: str) -> None:
    """One row whose text PostgreSQL refuses would take along all rows that are stored with it."""
    if not check_attributes(text, "/attributes"):
        await pool.fetchval("select ($1::text)::jsonb::text", text)


@pytest.mark.parametrize("text", HOSTILE)
def test_aliases_that_are_let_pass_can_be_read(text: str) -> None:
    """A stricter reader of JSON takes them apart."""
    if not check_aliases(text, "/aliases"):
        assert orjson.loads(text)


@pytest.mark.parametrize("text", FINE)
def test_names_that_are_there_twice_and_small_numbers_stay_fine(text: str) -> None:
    """Of two values the last one counts, and a double has its room."""
    assert not check_attributes(text, "/attributes")
