"""Addresses that name no household, and wishes that change what they say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.category import BORN, Category, DefaultState, Kind
from clarion.domain.consent_intake import Asked
from clarion.domain.preference import Bits, Frequency, PreferenceError, frequency, offered, wish

CATEGORIES = [
    *BORN,
    Category(slug="news", kind=Kind.MARKETING, slot=5, default_state=DefaultState.DOUBLE_OPT_IN),
    Category(slug="tips", kind=Kind.SYSTEM, slot=62, default_state=DefaultState.IN),
]
MASKS = st.integers(0, 2**63 - 1)


@given(st.sampled_from(CATEGORIES), MASKS, MASKS, MASKS, MASKS, st.sampled_from(Frequency))
def test_a_wish_comes_true(
    category: Category, granted: int, denied: int, daily: int, weekly: int, wanted: Frequency
) -> None:
    """What is offered can be had, and asking for what is changes no consent."""
    bits = Bits(granted=granted, denied=denied & ~granted, daily=daily, weekly=weekly)
    now = frequency(category, bits)
    if wanted not in offered(category):
        with pytest.raises(PreferenceError):
            wish(category, bits, wanted)
        return
    done = wish(category, bits, wanted)
    if wanted is now:
        assert done.asked is None
    bit = 1 << category.slot
    yes = done.asked is Asked.GRANTED
    no = done.asked is Asked.WITHDRAWN
    after = Bits(
        granted=(bits.granted & ~bit) | bit if yes else bits.granted & ~bit if no else bits.granted,
        denied=(bits.denied & ~bit) | bit if no else bits.denied & ~bit if yes else bits.denied,
        daily=bits.daily | bit if done.daily else bits.daily & ~bit,
        weekly=bits.weekly | bit if done.weekly else bits.weekly & ~bit,
    )
    assert frequency(category, after) is wanted
