"""People of the oracle as the columns that the rules read."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from tests.oracles.decision import Person

from clarion.domain.decision_row import NO_WINDOWS, PERMISSION_SHIFT, Flag, Inputs
from clarion.domain.frequency import Ledger
from clarion.domain.quiet_windows import text_of_person
from clarion.domain.zones import UNKNOWN_ZONE, ZoneSource

_BITS = {
    "user_opted_out": Flag.USER_OPTED_OUT,
    "suppressed": Flag.SUPPRESSED,
    "dead": Flag.DEAD,
    "device_opted_out": Flag.DEVICE_OPTED_OUT,
    "wanted": Flag.WANTED,
    "able": Flag.ABLE,
    "granted": Flag.GRANTED,
    "denied": Flag.DENIED,
    "daily": Flag.DAILY,
    "weekly": Flag.WEEKLY,
}


def as_inputs(people: Sequence[Person]) -> Inputs:
    """Person i is user i."""
    names = list(dict.fromkeys(p.zone for p in people if p.zone is not None))
    texts = list(dict.fromkeys(text_of_person(p.windows) for p in people if p.windows))
    flags = [
        sum(int(flag) for name, flag in _BITS.items() if getattr(p, name))
        | int(p.permission) << PERMISSION_SHIFT
        for p in people
    ]
    return Inputs(
        user=np.arange(len(people), dtype=np.int64),
        device=np.array([p.device for p in people], np.int64),
        network=np.array([p.network for p in people], np.uint8),
        flags=np.array(flags, np.uint32),
        paused_until_us=np.array([p.paused_until_us for p in people], np.int64),
        zone=np.array(
            [UNKNOWN_ZONE if p.zone is None else names.index(p.zone) for p in people], np.uint16
        ),
        zone_source=np.array(
            [ZoneSource.UNKNOWN if p.zone is None else ZoneSource.DEVICE for p in people], np.uint8
        ),
        quiet=np.array(
            [texts.index(text_of_person(p.windows)) if p.windows else NO_WINDOWS for p in people],
            np.uint16,
        ),
        zone_names=tuple(names),
        persons=tuple(texts),
    )


def as_ledger(people: Sequence[Person]) -> Ledger:
    """What was sent to all of them."""
    entries = [(user, sent) for user, p in enumerate(people) for sent in p.ledger]
    frame = pl.DataFrame(
        {
            "user": [user for user, _ in entries],
            "at_us": [s.at_us for _, s in entries],
            "networks": [sum(1 << n for n in s.networks) for _, s in entries],
            "category": [s.category for _, s in entries],
            "priority": [s.priority for _, s in entries],
        },
        schema={
            "user": pl.Int64,
            "at_us": pl.Int64,
            "networks": pl.UInt8,
            "category": pl.UInt8,
            "priority": pl.UInt8,
        },
    )
    return Ledger(**{name: frame[name].to_numpy() for name in frame.columns})
