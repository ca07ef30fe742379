"""The life of a device, over all pairs of state and input."""

from itertools import product

import pytest

from clarion.domain.device import DEVICE_TABLE, DeviceInput, DeviceState

LIVES = {
    DeviceState.ACTIVE: {
        DeviceInput.REGISTER: DeviceState.ACTIVE,
        DeviceInput.DIE: DeviceState.DEAD,
        DeviceInput.REPLACE: DeviceState.ACTIVE,
    },
    DeviceState.DEAD: {DeviceInput.REGISTER: DeviceState.ACTIVE},
}


@pytest.mark.parametrize(("state", "what"), list(product(DeviceState, DeviceInput)))
def test_a_device_moves_as_written_or_not_at_all(state: DeviceState, what: DeviceInput) -> None:
    """What the table does not have is refused."""
    assert DEVICE_TABLE.get((state, what)) == LIVES[state].get(what)


def test_only_a_registration_resurrects() -> None:
    """A late answer of a network never does."""
    ways = [
        what
        for (state, what), after in DEVICE_TABLE.items()
        if state is DeviceState.DEAD and after is DeviceState.ACTIVE
    ]
    assert ways == [DeviceInput.REGISTER]
