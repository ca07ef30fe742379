"""A message to a million APNs devices, from `POST /v1/messages` to the last recorded outcome.

The platform runs as `clarion serve` starts it: supervisor, PostgreSQL, facts, planner, senders,
API, each a process, against a blackhole server on the same machine, with TLS. What counts is the
CPU time of all of them together, until the message is finished in the state store and `GET
/v1/messages/{id}` shows every outcome counted. The peer is h2load: bare requests of the same shape
to the same server, between our rounds, on one connection with 1,000 streams.

Figures: `peak_rss_mib` is the highest sum over all our processes of their resident memory with
pages that they share (PostgreSQL's cache) counted once (the sum of PSS), and `ROLE_peak_rss_mib` a
role's share of it; `peak_largest_rss_mib` is the plain RSS of the largest of them. `first_push_s`
is from the call of the POST to the first request that reaches the server. People and devices are
there before, in the database and the columns. Reading PSS walks every page table, so memory is
watched in a last broadcast of its own, whose times and CPU are left out.

    python -m benchmarks.broadcast [--quick] --json
"""

import argparse
import asyncio
import statistics
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.blackhole_trace import rush_after
from benchmarks.harness import cores, cpu_of_child, emit, program, program_version
from benchmarks.platform_run import (
    HOST,
    FarEnd,
    Platform,
    add_people,
    far_end,
    platform,
    post_message,
    quiet,
    recorded,
    scratch,
    sends_to,
    tell,
)
from benchmarks.process_tree import MemoryWatch
from benchmarks.wire_client import HEADERS

_MICRO: Final = 1e6
_STREAMS: Final = 1000
_ROLES: Final = ("sender", "planner", "facts", "postgres", "api", "supervisor")
BARE: Final = {
    "to": {"all": True},
    "title": "Breaking news",
    "body": "Something has happened",
}
_BODY: Final = (
    b'{"aps":{"alert":{"title":"Breaking news","body":"Something has happened"}},'
    b'"clarion":{"id":"00000000-0000-7000-8000-000000000000"}}'
)
"""What the platform makes of it for APNs, so that the peer sends as many octets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is done."""

    devices: int
    broadcasts: int
    requests: int
    """Of one run of the peer."""


FULL: Final = Sizes(devices=1_000_000, broadcasts=3, requests=500_000)
QUICK: Final = Sizes(devices=200_000, broadcasts=2, requests=100_000)


async def broadcast(
    target: Platform, end: FarEnd, devices: int, message: Mapping[str, object]
) -> dict[str, float]:
    """One message to everybody; what it cost."""
    before, started = target.tree.cpu_s(), time.monotonic()
    await _send_to_all(target, devices, message)
    wall_s = time.monotonic() - started
    after = target.tree.cpu_s()
    spent = {role: after[role] - before.get(role, 0.0) for role in after}
    figures = {f"{role}_cpu_us_per_device": spent.get(role, 0.0) for role in _ROLES}
    figures["cpu_us_per_device"] = sum(spent.values())
    figures = {name: seconds / devices * _MICRO for name, seconds in figures.items()}
    return figures | {
        "devices_per_s": devices / wall_s,
        "first_push_s": rush_after(end.trace, started) - started,
    }


async def memory(target: Platform, devices: int) -> dict[str, float]:
    """One more message to everybody; the memory it took."""
    with MemoryWatch(target.tree) as watch:
        await _send_to_all(target, devices, BARE)
    return {
        "peak_rss_mib": watch.peak.all_mib,
        "peak_largest_rss_mib": watch.largest_mib,
        **{f"{role}_peak_rss_mib": watch.peak.by_role.get(role, 0.0) for role in _ROLES},
    }


async def _send_to_all(target: Platform, devices: int, message: Mapping[str, object]) -> None:
    outcomes = await recorded(target, await post_message(target, message))
    if outcomes != {"accepted": devices}:
        raise RuntimeError(f"not every device was accepted: {outcomes}")


def h2load(end: FarEnd, folder: Path, requests: int) -> float:
    """The peer: CPU microseconds per bare request."""
    body = folder / "body"
    body.write_bytes(_BODY)
    argv = ["h2load", "-c1", "-t1", f"-m{_STREAMS}", "-n", str(requests), "-d", str(body)]
    for name, value in HEADERS:
        argv += ["-H", f"{name.decode()}: {value.decode()}"]
    url = f"https://{HOST}:{end.port}/3/device/{'0' * 64}"
    run = cpu_of_child([*argv, url], core=cores()[0])
    if f" {requests} succeeded" not in run.output:
        raise RuntimeError(f"h2load did not succeed: {run.output}")
    return run.cpu_s / requests * _MICRO


async def measure(folder: Path, sizes: Sizes) -> tuple[dict[str, float], dict[str, float]]:
    """Figures and ratios."""
    rounds: dict[str, list[float]] = defaultdict(list)
    with far_end(folder) as end:
        async with platform(folder / "data", settings=sends_to(end)) as target:
            tell("the platform runs; people arrive")
            await add_people(target, sizes.devices)
            tell("they are in the columns")
            for number in range(sizes.broadcasts):
                if program("h2load") is not None:
                    cost = await asyncio.to_thread(h2load, end, folder, sizes.requests)
                    rounds["h2load_cpu_us_per_request"].append(cost)
                # The next rush must come after a pause to be seen as one.
                await quiet(target)
                for name, value in (await broadcast(target, end, sizes.devices, BARE)).items():
                    rounds[name].append(value)
                tell(f"broadcast {number + 1}: {_line(rounds)}")
            taken = await memory(target, sizes.devices)
    figures = {name: statistics.median(values) for name, values in rounds.items()}
    return {"devices": sizes.devices, **figures, **taken}, _ratios(figures)


def _line(rounds: Mapping[str, list[float]]) -> str:
    return ", ".join(f"{name} {values[-1]:.4g}" for name, values in rounds.items())


def _ratios(figures: Mapping[str, float]) -> dict[str, float]:
    theirs = figures.get("h2load_cpu_us_per_request")
    if theirs is None:
        return {}
    return {"cpu_per_device_vs_h2load_request": figures["cpu_us_per_device"] / theirs}


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 50 seconds")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--devices", type=int, help="another number of devices")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    if options.devices is not None:
        sizes = replace(sizes, devices=options.devices)
    with scratch() as folder:
        figures, ratios = asyncio.run(measure(folder, sizes))
    emit("broadcast", figures, ratios, {"h2load": program_version("h2load")})


if __name__ == "__main__":
    main()
