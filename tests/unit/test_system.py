"""Time and chance."""

import uuid
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from clarion.adapters.system import SystemChance, SystemClock
from clarion.ports.system import Chance, Clock

SECONDS = st.integers(1_577_836_800, 7_258_118_400)
INSTANTS = st.builds(
    lambda second, micro: datetime.fromtimestamp(second, UTC).replace(microsecond=micro),
    SECONDS,
    st.integers(0, 999_999),
)


@given(st.lists(INSTANTS, min_size=2, max_size=20))
def test_uuids_rise_whatever_the_clock_does(instants: list[datetime]) -> None:
    """RFC 9562 section 6.2: also within one millisecond, and when the clock is set back."""
    chance = SystemChance()
    made = [chance.uuid7(now) for now in instants for _ in range(3)]
    assert made == sorted(set(made))
    assert all(uuid.UUID(text).version == 7 for text in made)
    assert all(uuid.UUID(text).variant == uuid.RFC_4122 for text in made)


@given(INSTANTS)
def test_a_uuid_starts_with_its_millisecond(now: datetime) -> None:
    """RFC 9562 section 5.7: 48 bits of Unix time in milliseconds."""
    milliseconds = uuid.UUID(SystemChance().uuid7(now)).int >> 80
    assert milliseconds == int(now.timestamp()) * 1000 + now.microsecond // 1000


async def test_the_clock_is_aware_and_the_chance_within_bounds() -> None:
    """Both are what the ports promise."""
    clock: Clock = SystemClock()
    chance: Chance = SystemChance()
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    assert clock.now().tzinfo is UTC
    assert len(chance.token(16)) == 16
    assert all(0 <= chance.fraction() < 1 for _ in range(100))
