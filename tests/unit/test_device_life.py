"""The life of a device: every state with every input."""

from itertools import product

import pytest

from clarion.domain.device import DEVICE_TABLE, DeviceInput, DeviceState

EXPECTED = {
    (DeviceState.ACTIVE, DeviceInput.REGISTER): DeviceState.ACTIVE,
    (DeviceState.ACTIVE, DeviceInput.DIE): DeviceState.DEAD,
    (DeviceState.ACTIVE, DeviceInput.REPLACE): DeviceState.ACTIVE,
    (DeviceState.DEAD, DeviceInput.REGISTER): DeviceState.ACTIVE,
    (DeviceState.DEAD, DeviceInput.DIE): None,
    (DeviceState.DEAD, DeviceInput.REPLACE): None,
}


@pytest.mark.parametrize(("state", "what"), list(product(DeviceState, DeviceInput)))
def test_each_state_takes_each_input_as_written(state: DeviceState, what: DeviceInput) -> None:
    """What is absent is refused."""
    assert DEVICE_TABLE.get((state, what)) == EXPECTED[state, what]
