"""Outcome rows as runs, and back."""

import numpy as np
import pytest

from clarion.domain.handoffs import OUTCOME_ROW
from clarion.domain.outcome_runs import is_run, packed, unpacked


def rows_of(n: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Rows that differ by device and user alone."""
    rows = np.zeros(n, OUTCOME_ROW)
    rows["device"] = 7_000_000_000 + np.arange(n)[::-1]
    rows["user"] = 5 + np.arange(n) // 2
    rows["at_us"], rows["status"], rows["outcome"] = 1_763_000_000_000_000, 200, 1
    rows["attempt"], rows["note"] = 2, 1
    return rows


def test_a_run_takes_a_quarter_of_the_octets_and_loses_nothing() -> None:
    """Eight octets a recipient."""
    rows = rows_of(500)
    octets = packed(rows)
    assert is_run(octets)
    assert len(octets) < 9 * len(rows)
    assert (unpacked(octets) == rows).all()


@pytest.mark.parametrize("column", [name for name in OUTCOME_ROW.names or () if name != "user"])
def test_what_differs_in_anything_else_stays_as_rows(column: str) -> None:
    """One row that differs is enough; a device that is too far away as well."""
    rows = rows_of(100)
    rows[column][50] = 1 << 40 if column == "device" else 9
    octets = packed(rows)
    assert not is_run(octets)
    assert octets == rows.tobytes()
    assert (unpacked(octets) == rows).all()


@pytest.mark.parametrize("n", [0, 1, 31])
def test_a_few_stay_as_rows(n: int) -> None:
    """They are simpler so."""
    assert packed(rows_of(n)) == rows_of(n).tobytes()


def test_rows_that_are_not_side_by_side_are_packed_too() -> None:
    """A view of every other row."""
    rows = rows_of(200)[::2]
    assert (unpacked(packed(rows)) == rows).all()
