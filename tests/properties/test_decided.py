"""Packed decisions come back as they were."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.decided import packed, unpacked
from clarion.domain.decision_row import DECISION_ROW

ROWS = st.binary(max_size=40 * DECISION_ROW.itemsize).map(
    lambda octets: np.frombuffer(
        octets[: len(octets) // DECISION_ROW.itemsize * DECISION_ROW.itemsize], DECISION_ROW
    )
)


@given(rows=ROWS, times=st.integers(1, 3))
def test_rows_come_back_as_they_were(rows: np.ndarray, times: int) -> None:
    """Whatever is in them, repeated or not."""
    rows = np.repeat(rows, times)
    assert unpacked(packed(rows)).tobytes() == rows.tobytes()


@given(octets=st.binary(max_size=100))
def test_other_bytes_are_refused(octets: bytes) -> None:
    """Nothing is made up."""
    if octets[:8] != packed(np.zeros(0, DECISION_ROW))[:8]:
        with pytest.raises((ValueError, OverflowError)):
            unpacked(octets[:2] + bytes(2) + octets[4:])
