"""Rates hold, nobody is forgotten, and campaigns share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.domain.throttle import SLOT_US, Demand, Paced, assign, released, shares

NOW = 1_795_000_007_000_000
MINUTE_SLOTS = 6
DUE = st.lists(st.integers(-3, 20).map(lambda n: NOW + n * SLOT_US // 2), max_size=60)
RATES = st.none() | st.integers(1, 90)


def fullest(runs: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    """The most sendings in six slots side by side."""
    slots = np.sort(runs // SLOT_US)
    return max((int(((slots >= s) & (slots < s + MINUTE_SLOTS)).sum()) for s in slots), default=0)


@settings(deadline=None)
@given(
    rounds=st.lists(st.lists(st.tuples(DUE, RATES), min_size=1, max_size=3), max_size=3), app=RATES
)
def test_no_minute_has_more_than_its_rate(
    rounds: list[list[tuple[list[int], int | None]]], app: int | None
) -> None:
    """Of the app and of each campaign, over several calls that know of each other."""
    state = Paced()
    everything: dict[str, list[int]] = {}
    rates: dict[str, int | None] = {}
    for demands in rounds:
        asked = []
        for index, (due, rate) in enumerate(demands):
            rates.setdefault(f"c{index}", rate)
            asked.append(
                Demand(
                    campaign=f"c{index}",
                    due_us=np.array(due, np.int64),
                    per_minute=rates[f"c{index}"],
                )
            )
        runs, state = assign(asked, per_minute=app, state=state, now_us=NOW)
        for demand, run in zip(asked, runs, strict=True):
            assert len(run) == len(demand.due_us)
            assert (run >= np.maximum(demand.due_us, NOW)).all()
            everything.setdefault(demand.campaign, []).extend(run.tolist())
    for name, run_us in everything.items():
        if rates[name] is not None:
            assert fullest(np.array(run_us, np.int64)) <= (rates[name] or 0)
    if app is not None:
        assert fullest(np.array(sum(everything.values(), []), np.int64)) <= app  # noqa: RUF017  few


@given(wants=st.lists(st.integers(0, 30)), room=st.integers(0, 100), turn=st.integers(0, 9))
def test_shares_are_max_min_fair(wants: list[int], room: int, turn: int) -> None:
    """All room is used, and whoever is left wanting has no less (but one) than anybody else."""
    got = shares(wants, room, turn=turn)
    assert sum(got) == min(room, sum(wants))
    for want, mine in zip(wants, got, strict=True):
        assert 0 <= mine <= want
        if mine < want:
            assert mine >= max(got) - 1


def test_a_late_campaign_gets_its_half() -> None:
    """What has not run is taken back and shared anew: the small one is done in two minutes."""
    due = np.full(6000, NOW, np.int64)
    runs, state = assign(
        [Demand(campaign="big", due_us=due)], per_minute=600, state=Paced(), now_us=NOW
    )
    later = NOW + 6 * SLOT_US
    left = due[runs[0] // SLOT_US > later // SLOT_US]
    small = Demand(campaign="small", due_us=np.full(600, later, np.int64))
    again, _ = assign(
        [Demand(campaign="big", due_us=left), small],
        per_minute=600,
        state=released(state, later),
        now_us=later,
    )
    assert int(again[1].max()) <= later + 13 * SLOT_US
    assert int(again[0].max()) <= NOW + (66 + 2) * SLOT_US


def test_a_rate_below_one_is_refused() -> None:
    """Nothing would ever be sent."""
    with pytest.raises(ValueError, match="at least one"):
        assign([], per_minute=0, state=Paced(), now_us=NOW)
