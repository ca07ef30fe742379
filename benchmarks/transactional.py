"""Transactional messages while a campaign is being sent: how long until a message is on the wire.

A client process of its own posts 2,000 messages a second, each to one person, on a schedule that
does not wait for answers, over keep-alive connections; meanwhile the platform sends a campaign to
everybody as fast as it can, and the next one should the first end early. A message carries its
number in its text, and the blackhole server that stands for APNs notes when that number arrives.

Figures, all from the moment that a message was due, so that a late client or a full connection
counts too: `accept_to_wire_…` until its push reaches the server, `answer_…` until the 202 is back
(which the platform gives after the commit). `sent_to_wire_p99_ms` starts when the client wrote
the request. A message without an answer five seconds after the last was due is one of `errors`,
and counts with the time until then, which is less than it would have taken. `cores_…` is the CPU
time that a part of the platform took, over the time of the load: what the machine has beyond
their sum was the client's and the server's, who share it with the platform.

    python -m benchmarks.transactional [--quick] --json
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.blackhole_trace import arrivals
from benchmarks.harness import emit
from benchmarks.http_load import Floats
from benchmarks.platform_run import (
    FarEnd,
    Platform,
    add_people,
    far_end,
    platform,
    post_message,
    quiet,
    scratch,
    see,
    sends_to,
    tell,
)

_MARKER: Final = "order-number-"
_WARM_S: Final = 1
_ARRIVE_S: Final = 5.0
_MILLI: Final = 1e3
_MICRO: Final = 1e6
_CAMPAIGN: Final = {"to": {"all": True}, "title": "Sale", "body": "Everything must go"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is done."""

    devices: int
    seconds: int
    rate: int = 2000
    """Messages a second."""


FULL: Final = Sizes(devices=1_000_000, seconds=20)
QUICK: Final = Sizes(devices=300_000, seconds=8)


@dataclass(frozen=True, slots=True)
class Sent:
    """What the client saw; one entry a message, monotonic seconds."""

    due: Floats
    sent: Floats
    answered: Floats
    status: Floats


@dataclass(slots=True)
class Campaigns:
    """One campaign at a time, for as long as it takes."""

    target: Platform
    ids: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """Post the first one, and return once recipients have their outcome."""
        self.ids.append(await post_message(self.target, _CAMPAIGN))
        while True:
            if await self.done() > 0:
                return
            await asyncio.sleep(0.1)

    async def keep(self) -> None:
        """Post another one whenever the last has ended, until canceled."""
        while True:
            if (await see(self.target, self.ids[-1]))["state"] == "finished":
                self.ids.append(await post_message(self.target, _CAMPAIGN))
            await asyncio.sleep(0.5)

    async def done(self) -> int:
        """Recipients of all of them that have an outcome."""
        views = [await see(self.target, message) for message in self.ids]
        return sum(view["progress"]["done"] for view in views)

    async def cancel(self) -> None:
        """Withdraw what is left of the last one."""
        await self.target.http.post(f"/v1/messages/{self.ids[-1]}/cancel")


async def load(target: Platform, output: Path, numbers: range, rate: int) -> Sent:
    """Messages with these numbers, at the rate; what the client saw."""
    argv = [
        sys.executable, "-m", "benchmarks.transactional_client",
        "--port", str(target.port), "--key", target.key, "--marker", _MARKER,
        "--first", str(numbers[0]), "--count", str(len(numbers)), "--rate", str(rate),
        "--output", str(output),
    ]  # fmt: skip
    child = await asyncio.create_subprocess_exec(*argv)
    if await child.wait():
        raise RuntimeError("the client ended with an error")
    with np.load(output) as found:
        return Sent(found["due"], found["sent"], found["answered"], found["status"])


async def on_the_wire(end: FarEnd, first: int, sent: Sent) -> Floats:
    """When each message that was accepted reached the far end; NaN where it never did."""
    give_up = time.monotonic() + _ARRIVE_S
    accepted = sent.status == 202
    while True:
        came = arrivals(end.trace)
        found = np.array([came.get(first + at, np.nan) for at in range(len(sent.due))])
        if not np.isnan(found[accepted]).any() or time.monotonic() > give_up:
            return found
        await asyncio.sleep(0.2)


async def measure(folder: Path, sizes: Sizes) -> dict[str, float]:
    """The figures."""
    warm = sizes.rate * _WARM_S
    measured = range(warm, warm + sizes.rate * sizes.seconds)
    with far_end(folder, marker=_MARKER) as end:
        async with platform(folder / "data", settings=sends_to(end)) as target:
            tell("the platform runs; people arrive")
            await add_people(target, sizes.devices)
            await load(target, folder / "warm.npz", range(warm), sizes.rate)
            await quiet(target)
            tell("the campaign starts")
            campaigns = Campaigns(target)
            await campaigns.start()
            keeping = asyncio.create_task(campaigns.keep())
            tell("the load starts")
            before, done, started = target.tree.cpu_s(), await campaigns.done(), time.monotonic()
            sent = await load(target, folder / "load.npz", measured, sizes.rate)
            wall_s = time.monotonic() - started
            done, after = await campaigns.done() - done, target.tree.cpu_s()
            keeping.cancel()
            wire = await on_the_wire(end, warm, sent)
            await campaigns.cancel()
    answered = max(1, int(np.count_nonzero(sent.status)))
    return {
        "devices": sizes.devices,
        "offered_per_s": sizes.rate,
        "campaigns": len(campaigns.ids),
        "campaign_devices_per_s": done / wall_s,
        "api_cpu_us_per_message": (after["api"] - before["api"]) / answered * _MICRO,
        **{f"cores_{role}": (after[role] - before.get(role, 0.0)) / wall_s for role in after},
        **_figures(sent, wire),
    }


def _figures(sent: Sent, wire: Floats) -> dict[str, float]:
    accepted = sent.status == 202
    arrived = accepted & ~np.isnan(wire)
    if not arrived.any():
        raise RuntimeError(f"nothing reached the far end: {np.unique(sent.status)}")
    end = float(np.nanmax(sent.answered))
    answered = np.where(accepted, sent.answered, end)
    on_wire = np.where(arrived, wire, np.maximum(end, sent.due))
    return {
        **_percentiles("accept_to_wire", on_wire - sent.due, (50, 99, 99.9)),
        **_percentiles("sent_to_wire", (wire - sent.sent)[arrived], (50, 99)),
        **_percentiles("answer", answered - sent.due, (50, 99)),
        **_percentiles("client_lag", (sent.sent - sent.due)[accepted], (99,)),
        "achieved_per_s": float(accepted.sum()) / (end - float(sent.due[0])),
        "errors": float((~accepted).sum()),
        "missing_on_the_wire": float((accepted & ~arrived).sum()),
    }


def _percentiles(name: str, seconds: Floats, which: Sequence[float]) -> dict[str, float]:
    return {
        f"{name}_p{str(share).replace('.', '')}_ms": float(np.percentile(seconds, share)) * _MILLI
        for share in which
    }


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 50 seconds")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--rate", type=int, help="other than 2,000 messages a second")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    if options.rate is not None:
        sizes = replace(sizes, rate=options.rate)
    with scratch() as folder:
        figures = asyncio.run(measure(folder, sizes))
    emit("transactional", figures, {}, {})


if __name__ == "__main__":
    main()
