"""When a message would leave, hour by hour, against the budgets of networks and throttles."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clarion.domain.network import Network

MAX_HOURS: Final = 24 * 366
MINUTES: Final = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Hour:
    """One hour of one network."""

    hour: int
    """From the start: 0 is the first."""
    network: Network
    due: int
    """Devices that the rules let go in this hour."""
    sent: int
    waiting: int
    """At its end, for the budget."""


def send_curve(
    due: Mapping[tuple[int, Network], int],
    per_minute: Mapping[Network, int],
    throttle_per_minute: int | None,
) -> list[Hour]:
    """The hours in which anything is due, sent or waiting, in order.

    What a budget does not take in an hour waits for the next. Networks share a throttle in
    proportion to what each of them could send. Nothing else that uses the same budgets is counted.

    Args:
        due: (hour, network) -> devices.
        per_minute: what each network takes; absent: no limit.
        throttle_per_minute: what all may take together; None: no limit.
    """
    curve: list[Hour] = []
    hours = {hour for hour, _ in due}
    networks = sorted({network for _, network in due})
    waiting = dict.fromkeys(networks, 0)
    hour = min(hours, default=0)
    last = max(hours, default=-1)
    while hour <= last or (any(waiting.values()) and hour < MAX_HOURS):
        fresh = {network: due.get((hour, network), 0) for network in networks}
        for network in networks:
            waiting[network] += fresh[network]
        sent = _shared(waiting, per_minute, throttle_per_minute)
        for network in networks:
            waiting[network] -= sent[network]
            if fresh[network] or sent[network] or waiting[network]:
                curve.append(
                    Hour(
                        hour=hour,
                        network=network,
                        due=fresh[network],
                        sent=sent[network],
                        waiting=waiting[network],
                    )
                )
        quiet = not any(waiting.values())
        hour = min((one for one in hours if one > hour), default=hour + 1) if quiet else hour + 1
    return curve


def _shared(
    waiting: Mapping[Network, int],
    per_minute: Mapping[Network, int],
    throttle_per_minute: int | None,
) -> dict[Network, int]:
    able = {
        network: min(count, per_minute[network] * MINUTES) if network in per_minute else count
        for network, count in waiting.items()
    }
    total = sum(able.values())
    if throttle_per_minute is None or total <= throttle_per_minute * MINUTES:
        return able
    left = throttle_per_minute * MINUTES
    taken: dict[Network, int] = {}
    for network, count in able.items():
        taken[network] = left * count // total if total else 0
        left -= taken[network]
        total -= count
    return taken
