"""Who may be sent a message: the rule for one person, as one would say it."""

from collections.abc import Collection
from dataclasses import dataclass

from clarion.domain.network import Network
from clarion.domain.outcome import Reason


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the audience; device 0 is a person without a device."""

    device: int
    network: int
    dead: bool
    device_opted_out: bool
    user_opted_out: bool


def decide_one(  # noqa: PLR0911  # one return a rule, in the order that a person would want
    row: Row, targeted: Collection[Network], sendable: Collection[Network]
) -> Reason:
    """Consent first, then whether it can work at all, then what the message is for."""
    if row.user_opted_out:
        return Reason.USER_OPTED_OUT
    if row.device == 0:
        return Reason.USER_HAS_NO_DEVICE
    if row.dead:
        return Reason.DEVICE_DEAD
    if row.device_opted_out:
        return Reason.DEVICE_OPTED_OUT
    if targeted and Network(row.network) not in targeted:
        return Reason.NETWORK_EXCLUDED
    if Network(row.network) not in sendable:
        return Reason.CREDENTIAL_MISSING
    return Reason.ACCEPTED
