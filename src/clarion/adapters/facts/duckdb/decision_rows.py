"""Recorded decisions on their way back: from a row of the columns to what was decided."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import orjson

from clarion.domain.decided import Decided
from clarion.domain.decision_row import DECISION_ROW
from clarion.domain.ids import AppId, MessageId

_NAMES: Final = (
    "user",
    "device",
    "decided_us",
    "send_us",
    "open_until_us",
    "paused_until_us",
    "permitted_us",
    "flags",
    "counters",
    "zone",
    "quiet",
    "variant",
    "language",
    "reason",
    "zone_source",
    "action",
    "network",
)
"""After the meta, the columns in the order of the question."""


def decided_of(app: AppId, message: MessageId, row: Sequence[Any]) -> Decided:
    """One decision with what its numbers point to."""
    meta = orjson.loads(row[0])
    rows = np.zeros(1, DECISION_ROW)
    for name, value in zip(_NAMES, row[1:], strict=True):
        rows[name] = (
            np.frombuffer(value.to_bytes(4, "little"), np.uint8) if name == "counters" else value
        )
    return Decided(
        app=app,
        messages=[message],
        runs=[1],
        rows=rows,
        policy=meta["policy"],
        zones=tuple(meta["zones"]),
        persons=tuple(meta["persons"]),
        languages=tuple(meta["languages"]),
    )
