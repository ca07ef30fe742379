"""Quiet hours of a batch that is sent later than it was planned for.

A pause, a backlog, a throttle or a retry may carry a batch into its people's quiet hours. It then
is judged again, by the windows it was planned with.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, cast

import numpy as np

from clarion.domain.handoffs import Int64s, Lateness, UInt16s
from clarion.domain.intervals import distinct
from clarion.domain.policy import Policy, UnknownZone
from clarion.domain.quiet_hours import QuietRules, QuietTimes, quiet_times
from clarion.domain.quiet_windows import quiet_hours_from, quiet_hours_json
from clarion.domain.send_time import instant
from clarion.domain.zones import DAY_US, UNKNOWN_ZONE, ZoneTable

_AHEAD_US: Final = 20 * DAY_US
_FAR_US: Final = 32_503_680_000_000_000


def lateness_of(
    policy: Policy,
    zones: Sequence[str],
    persons: Sequence[str],
    columns: tuple[UInt16s, UInt16s],
    open_until_us: Int64s,
) -> tuple[Lateness, UInt16s]:
    """How the recipients of a batch are judged when it is late, and the kind of each.

    Args:
        policy: of the message.
        zones: names of the time zones.
        persons: the texts of people's own windows.
        columns: per recipient, indexes into `zones` and `persons`; beyond the end: none.
        open_until_us: when each one's quiet hours begin.
    """
    zone, quiet = (
        np.minimum(column, len(names)).astype(np.int64)
        for column, names in zip(columns, (zones, persons), strict=True)
    )
    texts = len(persons) + 1
    pairs = distinct(zone * texts + quiet)
    unknown = policy.app_zone if policy.unknown_zone is UnknownZone.APP_ZONE else None
    kinds = [
        (
            zones[pair // texts] if pair // texts < len(zones) else unknown,
            persons[pair % texts] if pair % texts < len(persons) else None,
        )
        for pair in pairs.values.tolist()
    ]
    lateness = Lateness(
        open_until=closing(open_until_us),
        owners=[quiet_hours_json(owner) for owner in policy.binding_quiet],
        kinds=kinds,
    )
    return lateness, pairs.index.astype(np.uint16)


def closing(open_until_us: Int64s) -> datetime:
    """When the first of some quiet hours begin; the year 3000 stands for never."""
    return instant(min(int(open_until_us.min()), _FAR_US))


def judged(lateness: Lateness, kind: UInt16s, now_us: int) -> QuietTimes:
    """What the quiet hours make of recipients that are about to be sent to now."""
    names = sorted({zone for zone, _ in lateness.kinds if zone is not None}) or ["UTC"]
    texts = sorted({text for _, text in lateness.kinds if text is not None})
    zone = [UNKNOWN_ZONE if z is None else names.index(z) for z, _ in lateness.kinds]
    person = [len(texts) if t is None else texts.index(t) for _, t in lateness.kinds]
    rules = QuietRules(
        owners=tuple(quiet_hours_from(owner) for owner in lateness.owners), persons=tuple(texts)
    )
    zones = ZoneTable.build(names, now_us, now_us + _AHEAD_US)
    return quiet_times(
        rules,
        zones,
        np.array(zone, np.int64)[kind],
        np.array(person, np.int64)[kind],
        np.full(len(kind), now_us, np.int64),
    )


def to_json(lateness: Lateness) -> dict[str, object]:
    """What the store keeps beside the instant."""
    return {"owners": list(lateness.owners), "kinds": [list(kind) for kind in lateness.kinds]}


def lateness_from(value: Mapping[str, object], open_until: datetime) -> Lateness:
    """What `to_json` wrote."""
    kinds = cast("list[list[str | None]]", value["kinds"])
    return Lateness(
        open_until=open_until,
        owners=cast("list[Mapping[str, object]]", value["owners"]),
        kinds=[(zone, text) for zone, text in kinds],
    )
