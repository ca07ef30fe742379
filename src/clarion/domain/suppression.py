"""Outcome rows of recipients who are not sent to."""

from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.domain.handoffs import OUTCOME_ROW
from clarion.domain.outcome import Outcome, Reason

OutcomeRows = npt.NDArray[np.void]


def suppressed(rows: pl.DataFrame, reasons: pl.Series, now: datetime) -> OutcomeRows:
    """One outcome row for each audience row, with its reason."""
    facts = np.zeros(len(rows), OUTCOME_ROW)
    facts["device"] = rows["device"].to_numpy()
    facts["user"] = rows["user"].to_numpy()
    facts["network"] = rows["network"].to_numpy()
    facts["reason"] = reasons.to_numpy()
    facts["outcome"] = Outcome.SUPPRESSED
    facts["at_us"] = int(now.timestamp() * 1e6)
    return facts


def unknown(names: int, now: datetime) -> OutcomeRows:
    """One outcome row for each name that is not there; row i points to note i."""
    facts = np.zeros(names, OUTCOME_ROW)
    facts["reason"] = Reason.USER_UNKNOWN
    facts["outcome"] = Outcome.SUPPRESSED
    facts["note"] = np.arange(1, names + 1)
    facts["at_us"] = int(now.timestamp() * 1e6)
    return facts
