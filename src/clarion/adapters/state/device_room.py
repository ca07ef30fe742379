"""How many devices a person may have: counted for whoever gets more, in one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg
import numpy as np
import numpy.typing as npt
import polars as pl

from clarion.adapters.state.statements import statements
from clarion.domain.conditions import Row
from clarion.domain.handoffs import Int64s
from clarion.ports.registry import Registered


class CrowdedError(Exception):
    """Rows of this unit of work give somebody too many devices; it is begun anew without them."""

    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__("somebody would have too many devices")
        self.rows = rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Gained:
    """Rows that gave a device to somebody whom they name, ascending; columns of equal length."""

    rows: Int64s
    owner: Int64s
    """Who has the device by now."""
    new: npt.NDArray[np.bool_]
    """Whether this unit of work made that person."""


async def demand_room(
    connection: asyncpg.Connection,
    gained: Gained,
    answers: Mapping[int, int],
    most: int,
) -> None:
    """See that nobody has more devices than they may; whoever is new has those of this unit alone.

    Two units of work at the same moment may both find room: then there are some more, once.

    Args:
        connection: inside the unit of work that has stored the rows.
        gained: who gets devices.
        answers: rows that say something of the same device before another -> that other.
        most: how many devices a person may have.

    Raises:
        CrowdedError: the last of a person's rows are too many.
    """
    people, which, counts = np.unique(gained.owner, return_inverse=True, return_counts=True)
    asked = np.setdiff1d(people, gained.owner[gained.new])
    asked = np.union1d(asked, people[counts > most])
    if not len(asked):
        return
    sql = statements("devices")["more_devices_than"]
    rows = await connection.fetch(sql, asked.tolist(), most)
    if not rows:
        return
    over = {row["user_id"]: row["n"] - most for row in rows}
    spare = counts - np.array([over.get(user, 0) for user in people.tolist()], np.int64)
    refused: set[int] = set()
    for row, place in zip(gained.rows.tolist(), which.tolist(), strict=True):
        if spare[place] <= 0:
            refused.add(row)
        spare[place] -= 1
    again = [row for row, stored in answers.items() if stored in refused]
    raise CrowdedError(sorted({*refused, *again}))


def without(rows: pl.DataFrame | Sequence[Row], left: Int64s) -> pl.DataFrame | Sequence[Row]:
    """The rows that are left."""
    return rows[left] if isinstance(rows, pl.DataFrame) else [rows[row] for row in left.tolist()]


def spread(done: Registered, left: Int64s, count: int) -> Registered:
    """What became of the rows that were left, told of all `count`; the others are refused."""
    device, user = np.zeros(count, np.int64), np.zeros(count, np.int64)
    created = np.zeros(count, np.bool_)
    device[left], user[left], created[left] = done.device, done.user, done.created
    names = ("attributes_refused", "user_unknown", "aliases_taken", "merges_refused")
    told = {name: left[np.array(getattr(done, name), np.int64)].tolist() for name in names}
    return replace(
        done,
        device=device,
        user=user,
        created=created.tolist(),
        devices_refused=np.setdiff1d(np.arange(count), left).tolist(),
        **told,
    )
