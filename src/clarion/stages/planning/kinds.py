"""Kinds of batches: one network, one instant and one loudness each."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from clarion.domain.decision_row import Action, Decisions, Inputs
from clarion.domain.handoffs import Int64s
from clarion.domain.intervals import distinct
from clarion.domain.network import Network

_NETWORK_BITS = 7
_LEAST_BITS = _NETWORK_BITS + 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """Rows from `low` to before `high` that go the same way."""

    low: int
    high: int
    network: Network
    run_us: int
    """When they are sent; 0 for at once."""
    silent: bool


def in_kinds(read: Inputs, said: Decisions) -> Int64s:
    """The rows that are sent to, kind by kind; what goes at once comes first."""
    going = np.flatnonzero((said.action == Action.SEND) | (said.action == Action.HOLD))
    key = _keys(read, said, going)
    if not len(key) or (key == key[0]).all():
        return going
    kind = distinct(key).index.astype(np.uint16)  # is sorted in two passes
    sorted_in: Int64s = going[np.argsort(kind, kind="stable")]
    return sorted_in


def kinds_of(read: Inputs, said: Decisions, going: Int64s) -> Iterator[Kind]:
    """The kinds of rows that are in the order of `in_kinds`."""
    key = _keys(read, said, going)
    ends = [*(np.flatnonzero(key[1:] != key[:-1]) + 1).tolist(), len(key)]
    low = 0
    for high in ends:
        of = int(key[low])
        yield Kind(
            low=low,
            high=high,
            network=Network(of >> 1 & (1 << _NETWORK_BITS) - 1),
            run_us=of >> _LEAST_BITS,
            silent=bool(of & 1),
        )
        low = high


def _keys(read: Inputs, said: Decisions, going: Int64s) -> Int64s:
    run_us = said.send_us[going]
    run_us[said.action[going] == Action.SEND] = 0
    key: Int64s = run_us << _LEAST_BITS | read.network[going].astype(np.int64) << 1
    key |= said.silent[going]
    return key
