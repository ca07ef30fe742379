"""Recorded decisions: rows with the policy and the names that they point to, and their bytes."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from clarion.domain.decision_row import DECISION_ROW
from clarion.domain.ids import AppId, MessageId

_COLUMNS: Final = DECISION_ROW.names or ()
_QUICK: Final = 1
"""Columns that say the same on every row shrink to almost nothing at the lowest level."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """Hand-off 4 of planning: what one policy came to for some recipients."""

    app: AppId
    messages: Sequence[MessageId]
    runs: Sequence[int]
    """How many rows each message has, one after the other."""
    rows: npt.NDArray[np.void]
    """Structured array of `DECISION_ROW`."""
    policy: Mapping[str, object]
    """`policy.to_json` of the policy that was asked."""
    zones: tuple[str, ...] = ()
    persons: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()

    @property
    def meta(self) -> dict[str, object]:
        """What the rows point to, as plain values."""
        return {
            "policy": dict(self.policy),
            "zones": list(self.zones),
            "persons": list(self.persons),
            "languages": list(self.languages),
            "runs": list(self.runs),
        }


def packed(rows: npt.NDArray[np.void]) -> bytes:
    """`DECISION_ROW`s as compressed columns, one after the other.

    A column that says the same on every row is one value: bit n of the second number says so of
    column n.
    """
    constant, columns = 0, []
    for place, name in enumerate(_COLUMNS):
        column = rows[name]
        if len(rows) > 1 and (column == column[0]).all():
            constant |= 1 << place
            column = column[:1]
        columns.append(np.ascontiguousarray(column).tobytes())
    head = len(rows).to_bytes(4, "little") + constant.to_bytes(4, "little")
    return head + zlib.compress(b"".join(columns), _QUICK)


def unpacked(blob: bytes) -> npt.NDArray[np.void]:
    """The rows that `packed` wrote.

    Raises:
        ValueError: it is something else.
    """
    rows = np.zeros(int.from_bytes(blob[:4], "little"), DECISION_ROW)
    constant = int.from_bytes(blob[4:8], "little")
    try:
        octets = zlib.decompress(blob[8:])
    except zlib.error as error:
        raise ValueError(f"not packed decisions: {error}") from error
    at = 0
    for place, name in enumerate(_COLUMNS):
        column = rows[name]
        part = column[:1] if constant >> place & 1 else column
        end = at + part.nbytes
        if end > len(octets):
            raise ValueError("packed decisions of another form")
        column[...] = np.frombuffer(octets[at:end], part.dtype).reshape(part.shape)
        at = end
    if at != len(octets):
        raise ValueError("packed decisions of another form")
    return rows
