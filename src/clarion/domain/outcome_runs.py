"""Outcome rows as few octets: in most chunks everybody met the same.

Such a chunk is a *run*: one row with what happened, and whom it happened to as two columns of
offsets, eight octets a recipient instead of the 36 of `OUTCOME_ROW`. Whatever differs by more than
device and user stays as rows.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.handoffs import OUTCOME_ROW

Rows = npt.NDArray[np.void]

RUN_HEAD: Final = np.dtype(
    [("form", "<i8"), ("size", "<u4"), ("last_user", "<i8"), ("row", OUTCOME_ROW)]
)
"""How a run begins: a mark, its length, the greatest user, and the row that all have in common,
with the smallest device and user. Offsets from these follow (`OFFSET`): all devices, all users."""
OFFSET: Final = np.dtype("<u4")
_FORM: Final = -1
"""Where rows begin with a device, which is never negative."""
_MARK: Final = _FORM.to_bytes(8, "little", signed=True)
_FEWEST: Final = 32
"""Below it, rows are no larger to speak of, and simpler."""
_WHO: Final = 4
"""Words of a row that say who it is about: device and user come first."""
_WORD: Final = np.dtype("<u4")
_FARTHEST: Final = 2**32 - 1


def packed(rows: Rows, *, alike: bool = False) -> bytes:
    """`OUTCOME_ROW`s as a run where they are one, else as they lie in memory.

    With `alike` they are known to differ by device and user alone, and are not looked at.
    """
    n = len(rows)
    if n < _FEWEST or not (alike or _alike(rows)):
        return rows.tobytes()
    head = np.zeros(1, RUN_HEAD)
    head["form"], head["size"], head["row"] = _FORM, n, rows[0]
    head["last_user"] = rows["user"].max()
    columns = []
    for name in ("device", "user"):
        column = rows[name]
        low = column.min()
        if low < 0 or column.max() - low > _FARTHEST:
            return rows.tobytes()
        head["row"][name] = low
        columns.append((column - low).astype(OFFSET).tobytes())
    return b"".join((head.tobytes(), *columns))


def _alike(rows: Rows) -> bool:
    words = np.ascontiguousarray(rows).view(_WORD)
    said = words.reshape(len(rows), -1)[:, _WHO:]  # in words: octets take four times as long
    return not (said != said[0]).any()


def is_run(octets: bytes) -> bool:
    """Whether `packed` wrote a run."""
    return octets[:8] == _MARK


def unpacked(octets: bytes) -> Rows:
    """The rows that `packed` wrote.

    Raises:
        ValueError: it is something else.
    """
    if not is_run(octets):
        return np.frombuffer(octets, OUTCOME_ROW)
    head = np.frombuffer(octets, RUN_HEAD, 1)[0]
    n = int(head["size"])
    offsets = np.frombuffer(octets, OFFSET, 2 * n, RUN_HEAD.itemsize)
    rows = np.repeat(head["row"][None], n)
    rows["device"] += offsets[:n]
    rows["user"] += offsets[n:]
    return rows
