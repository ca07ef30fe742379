"""Outcome rows of recipients who are not sent to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import OUTCOME_ROW, Int64s, UInt8s, UInt16s
from clarion.domain.outcome import Outcome, Reason

OutcomeRows = npt.NDArray[np.void]


_TOO_LATE: Final = (int(Reason.DEADLINE_PASSED), int(Reason.HELD_PAST_DEADLINE))


def left_out(
    device: Int64s, user: Int64s, network: UInt8s, reasons: UInt16s, now: datetime
) -> OutcomeRows:
    """One outcome row for each row that is left out, with its reason; columns of equal length."""
    facts = np.zeros(len(device), OUTCOME_ROW)
    facts["device"] = device
    facts["user"] = user
    facts["network"] = network
    facts["reason"] = reasons
    late = np.isin(reasons, _TOO_LATE)
    facts["outcome"] = np.where(late, np.uint8(Outcome.EXPIRED), np.uint8(Outcome.SUPPRESSED))
    facts["at_us"] = int(now.timestamp() * 1e6)
    return facts


@dataclass(frozen=True, slots=True)
class NotThere:
    """Somebody whom a request names and the app does not know."""

    name: str
    """As the request says it: an external id, `label:value`, or a device's id."""
    reason: Reason
    """`USER_UNKNOWN` or `DEVICE_UNKNOWN`."""


def unknown(names: Sequence[NotThere], now: datetime) -> OutcomeRows:
    """One outcome row for each name that is not there; row i points to note i."""
    facts = np.zeros(len(names), OUTCOME_ROW)
    facts["reason"] = [name.reason for name in names]
    facts["outcome"] = Outcome.SUPPRESSED
    facts["note"] = np.arange(1, len(names) + 1)
    facts["at_us"] = int(now.timestamp() * 1e6)
    return facts
