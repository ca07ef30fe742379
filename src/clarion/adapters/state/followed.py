"""Numbers of people who turned out to be somebody else: whom they stand for."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np

from clarion.domain.handoffs import Int64s

Number = TypeVar("Number", bound=int)


def followed(users: Int64s, into: Mapping[Number, Number]) -> Int64s:
    """The column with everybody under the number of who they turned out to be.

    Args:
        users: people's numbers.
        into: numbers of those who were merged -> the number that stands for them.
    """
    if not into:
        return users
    old = np.sort(np.fromiter(into, np.int64, len(into)))
    new = np.array([into[number] for number in old.tolist()], np.int64)
    place = np.minimum(np.searchsorted(old, users), len(old) - 1)
    return np.where(old[place] == users, new[place], users)
