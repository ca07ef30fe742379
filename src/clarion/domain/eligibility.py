"""Whom a message can reach at all: the first step of `clarion.domain.decision`, over columns.

The order of the rules is the order in which a person would want them told: somebody who opted
out is told so even when the device is dead too.
"""

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import Int64s, UInt16s
from clarion.domain.outcome import Reason

Mask = npt.NDArray[np.bool_]


def reasons(
    *,
    user_opted_out: Mask,
    device: Int64s,
    dead: Mask,
    device_opted_out: Mask,
    wanted: Mask,
    able: Mask,
) -> UInt16s:
    """The reason code of each row; `Reason.ACCEPTED` (0) means: send.

    Args:
        user_opted_out: the person wants nothing; all columns have n rows.
        device: 0 where the person has no device.
        dead: the network declared the token dead.
        device_opted_out: nothing is wanted on this device.
        wanted: the message is for the device's network.
        able: the app has a credential for that network.
    """
    return np.select(
        [user_opted_out, device == 0, dead, device_opted_out, ~wanted, ~able],
        [
            np.uint16(Reason.USER_OPTED_OUT),
            np.uint16(Reason.USER_HAS_NO_DEVICE),
            np.uint16(Reason.DEVICE_DEAD),
            np.uint16(Reason.DEVICE_OPTED_OUT),
            np.uint16(Reason.NETWORK_EXCLUDED),
            np.uint16(Reason.CREDENTIAL_MISSING),
        ],
        np.uint16(Reason.ACCEPTED),
    )
