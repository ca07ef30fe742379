"""Packed decisions come back as they were."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.decided import packed, span, unpacked
from clarion.domain.decision_row import DECISION_ROW
from clarion.domain.ids import BUCKETS

FEW = st.binary(max_size=40 * DECISION_ROW.itemsize).map(
    lambda octets: np.frombuffer(
        octets[: len(octets) // DECISION_ROW.itemsize * DECISION_ROW.itemsize], DECISION_ROW
    )
)


@st.composite
def rows_alike(draw: st.DrawFn) -> np.ndarray:
    """Many rows: some columns say the same on all of them, the others whatever they like."""
    chance = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    n = draw(st.integers(60, 300))
    rows = np.repeat(np.frombuffer(chance.bytes(DECISION_ROW.itemsize), DECISION_ROW), n)
    for name in draw(st.lists(st.sampled_from(DECISION_ROW.names or ()), unique=True)):
        column = rows[name]
        rows[name] = np.frombuffer(chance.bytes(column.nbytes), column.dtype).reshape(column.shape)
    return rows


@given(rows=FEW | rows_alike(), times=st.integers(1, 3))
def test_rows_come_back_as_they_were(rows: np.ndarray, times: int) -> None:
    """Whatever is in them, repeated or not."""
    rows = np.repeat(rows, times)
    assert unpacked(packed(rows)).tobytes() == rows.tobytes()


@given(rows=FEW | rows_alike())
def test_packed_rows_say_whom_they_may_be_about(rows: np.ndarray) -> None:
    """Nobody who is in them is outside of what they say."""
    said = span(packed(rows))
    assert said.rows == len(rows)
    if len(rows):
        assert said.users == (rows["user"].min(), rows["user"].max())
        bucket = rows["user"] % BUCKETS
        assert said.buckets == (bucket.min(), bucket.max())


def test_a_broadcasts_decisions_take_next_to_nothing() -> None:
    """Ids that ascend and rules that say the same of everybody: less than an octet a row."""
    rows = np.zeros(16_384, DECISION_ROW)
    rows["user"] = np.arange(16_384) * BUCKETS + 7
    rows["device"] = rows["user"] + 3
    assert len(packed(rows)) < len(rows)


@given(rows=FEW | rows_alike(), data=st.data())
def test_other_bytes_are_refused(rows: np.ndarray, data: st.DataObject) -> None:
    """In another form, or short of a part that says something: nothing is made up."""
    blob = packed(rows)
    for octets in (b"????" + blob[4:], data.draw(st.binary(max_size=100))):
        with pytest.raises(ValueError, match="packed decisions"):
            unpacked(octets)
    with suppress(ValueError):
        assert (
            unpacked(blob[: data.draw(st.integers(0, len(blob) - 1))]).tobytes() == rows.tobytes()
        )
