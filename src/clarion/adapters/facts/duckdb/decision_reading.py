"""From the answers of the owner to recorded decisions."""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import orjson
import polars as pl

from clarion.domain.decided import Decided
from clarion.domain.decision_row import DECISION_ROW
from clarion.domain.ids import AppId, MessageId

_PLAIN: Final = tuple(name for name in DECISION_ROW.names or () if name != "counters")


def pieces(
    app: AppId, message: MessageId, metas: Mapping[int, str], payload: bytes
) -> Iterator[Decided]:
    """The decisions of one frame, by what they point to."""
    frame = pl.read_ipc_stream(payload)
    of = frame["meta"].to_numpy()
    rows = np.zeros(len(frame), DECISION_ROW)
    for name in _PLAIN:
        rows[name] = frame[name].to_numpy()
    counters = np.ascontiguousarray(frame["counters"].to_numpy().astype("<u4"))
    rows["counters"] = counters.view(np.uint8).reshape(-1, 4)
    for number in np.unique(of).tolist():
        if number not in metas:
            continue  # recorded since the question began
        meta = orjson.loads(metas[number])
        mine = rows[of == number]
        yield Decided(
            app=app,
            messages=[message],
            runs=[len(mine)],
            rows=mine,
            policy=meta["policy"],
            zones=tuple(meta["zones"]),
            persons=tuple(meta["persons"]),
            languages=tuple(meta["languages"]),
        )
