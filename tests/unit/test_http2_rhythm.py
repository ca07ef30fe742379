"""When a connection pauses for a tick."""

from clarion.adapters.net.rhythm import LONGEST_S, SHORTEST_S, Rhythm


def _after(rhythm: Rhythm, ended: int, were_open: int, *, per_s: float, wakes: int) -> bool:
    """The last decision after so many like wake-ups at a rate of answers."""
    pause, now = False, 0.0
    for _ in range(wakes):
        now += ended / per_s
        pause = rhythm.pause_after(ended, were_open, now)
    return pause


def test_answers_that_trickle_in_fast_are_taken_in_ticks() -> None:
    """30,000 answers a second, one by one, of a thousand open."""
    assert _after(Rhythm(enabled=True), 1, 1000, per_s=30_000, wakes=3000)


def test_a_slow_or_idle_connection_never_waits() -> None:
    """1,000 answers a second are too few for a pause to save anything."""
    assert not _after(Rhythm(enabled=True), 1, 1000, per_s=1_000, wakes=3000)


def test_a_server_that_answers_all_at_once_is_not_held_back() -> None:
    """Each wake-up brings most of what is open: the next requests go out at once."""
    assert not _after(Rhythm(enabled=True), 900, 1000, per_s=500_000, wakes=3000)


def test_an_urgent_connection_never_waits() -> None:
    """Whatever its rate."""
    assert not _after(Rhythm(enabled=False), 1, 1000, per_s=100_000, wakes=3000)


def test_a_tick_that_would_hold_answers_back_rests_and_comes_back() -> None:
    """After two wake-ups with a large share it rests for a while, not for ever; one is a burst."""
    rhythm = Rhythm(enabled=True)
    assert _after(rhythm, 1, 1000, per_s=30_000, wakes=3000)
    now = 0.1001
    assert not rhythm.pause_after(500, 1000, now)
    assert rhythm.pause_after(1, 1000, now)
    assert not rhythm.pause_after(500, 1000, now)
    assert not rhythm.pause_after(500, 1000, now)
    assert not rhythm.pause_after(1, 1000, now + 0.01)
    late = False
    for step in range(9000):
        late = rhythm.pause_after(1, 1000, now + step / 30_000)
    assert late


def test_the_tick_grows_while_it_brings_little_and_shrinks_when_it_brings_much() -> None:
    """An answer that takes 100 ms bears a longer tick than one of 12 ms; a long share rests."""
    rhythm = Rhythm(enabled=True)
    assert rhythm.tick_s == SHORTEST_S
    _after(rhythm, 50, 1000, per_s=10_000, wakes=100)
    assert rhythm.tick_s == LONGEST_S
    _after(rhythm, 200, 1000, per_s=100_000, wakes=100)
    assert rhythm.tick_s == SHORTEST_S
