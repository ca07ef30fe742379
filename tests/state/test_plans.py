"""Plans that are made once, at a connection's first use, while the tables are still empty."""

import re

import pytest

from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.statements import statements

_SCAN = re.compile(r"Seq Scan on (\w+)")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("line", "changes"),
        ("line", "claim_batch"),
        ("line", "commit_and_look"),
        ("line", "commit_chunk"),
        ("journal", "credentials"),
        ("journal", "keys_seen"),
        ("journal", "write"),
        ("resolve", "resolve"),
    ],
)
async def test_no_table_is_read_as_a_whole_however_small_it_is_now(
    database_url: str, file: str, name: str
) -> None:
    """A minute later it may be large, and the plan is still the same."""
    sql = statements(file)[name]
    values = [None] * max(int(number) for number in re.findall(r"\$(\d+)", sql))
    pool = await open_pool(database_url, max_size=1)
    try:
        rows = await pool.fetch(f"explain {sql}", *values)
    finally:
        await pool.close()
    tables = {table for row in rows for table in _SCAN.findall(row[0])}
    assert tables <= {"app"}
