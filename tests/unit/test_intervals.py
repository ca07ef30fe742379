"""Distinct codes, near one another and far apart."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.intervals import distinct


@given(codes=st.lists(st.integers(0, 300) | st.integers(0, 1 << 40), min_size=1))
def test_distinct_codes_are_told_however_far_apart_they_are(codes: list[int]) -> None:
    """Each once and in order, with the place of each row's own and a row that has it."""
    values = np.array(codes, np.int64)

    found = distinct(values)

    assert found.values.tolist() == sorted(set(codes))
    assert found.values[found.index].tolist() == codes
    assert values[found.example].tolist() == found.values.tolist()


def test_many_codes_that_are_far_apart_are_told_too() -> None:
    """More than a small table has places for."""
    values = np.random.default_rng(7).integers(0, 1 << 50, 20_000)

    found = distinct(values)

    assert (found.values == np.unique(values)).all()
    assert (found.values[found.index] == values).all()
    assert (values[found.example] == found.values).all()
