"""The broadcast with all rules on, against the same people's broadcast without any.

Everybody has a name, a plan, a language and one of 24 time zones, and agreed to marketing. The
bare message goes to everybody. The ruled one goes to a segment that all of them are in, in a
category that needs consent, under quiet hours by each person's clock (a third of the zones are
asleep: delivered silently), under two caps that nobody reaches, in the words of a template in four
languages; and a decision is recorded for each. Both are measured as `benchmarks.broadcast` does,
in turns, until every outcome is counted.

    python -m benchmarks.broadcast_ruled [--quick] --json
"""

import argparse
import asyncio
import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.broadcast import BARE, Sizes, broadcast
from benchmarks.harness import emit
from benchmarks.platform_run import (
    Platform,
    add_people,
    far_end,
    platform,
    quiet,
    scratch,
    sends_to,
    tell,
)

FULL: Final = Sizes(devices=1_000_000, broadcasts=3, requests=0)
QUICK: Final = Sizes(devices=200_000, broadcasts=2, requests=0)
_MARKETING: Final = 1 << 2
"""The bit of the category that every app is born with."""
_DESCRIBE: Final = """
update users set
    language = (array['en', 'de-AT', 'fr', 'es-MX'])[id % 4 + 1],
    time_zone = (array[
        'Pacific/Honolulu', 'America/Anchorage', 'America/Los_Angeles', 'America/Denver',
        'America/Chicago', 'America/New_York', 'America/Halifax', 'America/Sao_Paulo',
        'Atlantic/South_Georgia', 'Atlantic/Azores', 'Europe/London', 'Europe/Paris',
        'Europe/Athens', 'Europe/Istanbul', 'Asia/Dubai', 'Asia/Karachi', 'Asia/Kolkata',
        'Asia/Dhaka', 'Asia/Bangkok', 'Asia/Singapore', 'Asia/Tokyo', 'Australia/Sydney',
        'Pacific/Noumea', 'Pacific/Auckland'])[id % 24 + 1],
    attributes = jsonb_build_object(
        'first_name', 'Name' || id % 5000, 'plan', (array['free', 'pro'])[id % 2 + 1]),
    granted = $1, xid = pg_current_xact_id()
"""
_RULES: Final = {
    "quiet_hours": {"windows": [{"from": "22:00", "to": "06:00"}], "action": "silent"},
    "caps": [
        {"count": 100, "per": "7d", "scope": "category", "action": "drop"},
        {"count": 200, "per": "month", "scope": "all", "action": "drop"},
    ],
}
_NAME: Final = '{{{{ user.first_name | default: "{}" }}}}'
_TEMPLATE: Final = {
    "language": "en",
    "title": "Hello " + _NAME.format("you"),
    "body": "Something has happened for {{ user.plan }}",
    "localized": {
        "de": {"title": "Hallo " + _NAME.format("du"), "body": "Neues im Tarif {{ user.plan }}"},
        "fr": {"title": "Bonjour " + _NAME.format("vous"), "body": "Du nouveau : {{ user.plan }}"},
        "es": {"title": "Hola " + _NAME.format("tú"), "body": "Novedades de {{ user.plan }}"},
    },
}
_RULED: Final = {
    "to": {"segment": 'tag.plan in ("free", "pro") and not country = "SE"'},
    "category": "marketing",
    "template": {"name": "news"},
}


async def add_rules(target: Platform) -> None:
    """Describe everybody, and set what campaigns keep to; returns when the columns have it."""
    await target.store.execute(_DESCRIBE, _MARKETING, timeout=300)
    await target.store.execute("vacuum (analyze) users", timeout=300)
    (await target.http.patch("/v1/app", json=_RULES)).raise_for_status()
    (await target.http.put("/v1/templates/news", json=_TEMPLATE)).raise_for_status()
    await quiet(target)


async def measure(folder: Path, sizes: Sizes) -> tuple[dict[str, float], dict[str, float]]:
    """Figures and the ratio."""
    rounds: dict[str, list[float]] = defaultdict(list)
    with far_end(folder) as end:
        async with platform(folder / "data", settings=sends_to(end)) as target:
            tell("the platform runs; people arrive")
            await add_people(target, sizes.devices)
            await add_rules(target)
            tell("they are in the columns")
            for number in range(sizes.broadcasts):
                for kind, message in (("bare", BARE), ("ruled", _RULED)):
                    await quiet(target)  # the next rush must come after a pause
                    figures = await broadcast(target, end, sizes.devices, message)
                    for name, value in figures.items():
                        rounds[f"{kind}_{name}"].append(value)
                costs = [rounds[f"{kind}_cpu_us_per_device"][-1] for kind in ("bare", "ruled")]
                tell(f"round {number + 1}: bare {costs[0]:.2f} us a device, ruled {costs[1]:.2f}")
    figures = {name: statistics.median(values) for name, values in rounds.items()}
    ratio = figures["ruled_cpu_us_per_device"] / figures["bare_cpu_us_per_device"]
    return {"devices": sizes.devices, **figures}, {"cpu_per_device_ruled_vs_bare": ratio}


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the devices")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--devices", type=int, help="another number of devices")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    if options.devices is not None:
        sizes = replace(sizes, devices=options.devices)
    with scratch() as folder:
        figures, ratios = asyncio.run(measure(folder, sizes))
    emit("broadcast_ruled", figures, ratios, {})


if __name__ == "__main__":
    main()
