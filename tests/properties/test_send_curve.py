"""The hours of a message: nothing is lost, and no budget is exceeded."""

from hypothesis import given
from hypothesis import strategies as st

from clarion.domain.network import Network
from clarion.domain.send_curve import MINUTES, send_curve

HOURS = st.integers(0, 200)
DUE = st.dictionaries(st.tuples(HOURS, st.sampled_from(Network)), st.integers(0, 10_000))
BUDGETS = st.dictionaries(st.sampled_from(Network), st.integers(1, 100))


@given(due=DUE, budgets=BUDGETS, throttle=st.none() | st.integers(1, 300))
def test_everything_leaves_once_and_within_the_budgets(
    due: dict[tuple[int, Network], int], budgets: dict[Network, int], throttle: int | None
) -> None:
    """What is sent is what is due, never early, and what waits is the difference."""
    curve = send_curve(due, budgets, throttle)
    assert sum(hour.sent for hour in curve) == sum(due.values())
    for network in Network:
        mine = [hour for hour in curve if hour.network is network]
        gone = come = 0
        for hour in mine:
            come += hour.due
            gone += hour.sent
            assert hour.waiting == come - gone >= 0
            assert network not in budgets or hour.sent <= budgets[network] * MINUTES
        assert [hour.hour for hour in mine] == sorted({hour.hour for hour in mine})
    for number in {hour.hour for hour in curve}:
        together = sum(hour.sent for hour in curve if hour.hour == number)
        assert throttle is None or together <= throttle * MINUTES


@given(due=DUE)
def test_without_budgets_everything_leaves_when_it_is_due(
    due: dict[tuple[int, Network], int],
) -> None:
    """Nothing waits."""
    curve = send_curve(due, {}, None)
    assert {(h.hour, h.network): h.sent for h in curve} == {k: n for k, n in due.items() if n}
    assert not any(hour.waiting for hour in curve)
