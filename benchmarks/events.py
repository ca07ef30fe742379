"""Events per second from one client, against the least that the database can be asked to do.

The whole platform runs. One client sends files of events of known people through `POST /v1/events`
(NDJSON, then CSV, one request after another); the second comes once more, and its events are
recognised and not recorded. The peer copies the same number of events, already judged and
assigned to people, with one raw `COPY` into the same table, which could not recognise a repeat.
Rounds are taken in turns on one database. CPU time is that of all processes of the platform
together: the API, PostgreSQL, and the facts process that takes the same events into the columns
meanwhile.

How far the columns lag is what the platform's own metric says: the age that a change had, at most,
when the columns showed it. It is read ten times a second while the events come.

`python -m benchmarks.events [--quick] [--json]` prints one JSON object as its last line.
"""

import argparse
import asyncio
import io
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import Final

import numpy as np
import polars as pl

from benchmarks import harness
from benchmarks.platform_run import Platform, platform, quiet, scratch, tell
from clarion.domain.event import fresh_ids

PEOPLE: Final = 50_000
NAMES: Final = ("view", "view", "view", "search", "add_to_cart", "purchase")
LAG: Final = re.compile(rb"^clarion_audience_lag_seconds ([0-9.e+-]+)$", re.MULTILINE)
SAMPLE_S: Final = 0.1
SETTINGS: Final = {"CLARION_API_RATE_PER_S": "1000000"}
KINDS: Final = {"ndjson": "application/x-ndjson", "csv": "text/csv"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is sent."""

    a_round: int
    rounds: int


FULL: Final = Sizes(a_round=1_000_000, rounds=3)
QUICK: Final = Sizes(a_round=100_000, rounds=1)


def events(count: int, seed: int) -> pl.DataFrame:
    """Events of people by external id, with ids, values and properties."""
    chance = np.random.default_rng(seed)
    now = datetime.now(UTC)
    name = np.array(NAMES)[chance.integers(0, len(NAMES), count)]
    price = chance.integers(1, 20_000, count) / 100
    sku = chance.integers(0, 5_000, count)
    return pl.DataFrame(
        {
            "id": fresh_ids(count, now, chance.bytes(10 * count)),
            "external_id": [f"user-{n}" for n in chance.integers(0, PEOPLE, count)],
            "name": name,
            "at": [now.isoformat()] * count,
            "value": price,
            "properties": [
                f'{{"sku":"sku-{s}","price":{p},"source":"app"}}'
                for s, p in zip(sku.tolist(), price.tolist(), strict=True)
            ],
        }
    )


def as_ndjson(frame: pl.DataFrame) -> bytes:
    """The events as lines of JSON."""
    return b"".join(
        json.dumps({**row, "properties": json.loads(row["properties"])}).encode() + b"\n"
        for row in frame.iter_rows(named=True)
    )


def as_csv(frame: pl.DataFrame) -> bytes:
    """The events as CSV, their properties spread over columns."""
    properties = [json.loads(text) for text in frame["properties"]]
    return (
        frame.drop("properties")
        .with_columns(
            pl.Series("properties.sku", [p["sku"] for p in properties]),
            pl.Series("properties.price:number", [p["price"] for p in properties]),
            pl.Series("properties.source", [p["source"] for p in properties]),
        )
        .write_csv()
        .encode()
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What a round took."""

    seconds: float
    cpu_s: float
    api_cpu_s: float


async def send(target: Platform, body: bytes, kind: str, *, fresh: int) -> Took:
    """Send a file; `fresh` of its events are new."""
    before = target.tree.cpu_s()
    started = time.perf_counter()
    answer = await target.http.post(
        "/v1/events", content=body, headers={"content-type": KINDS[kind]}, timeout=600
    )
    seconds = time.perf_counter() - started
    told = answer.json()
    if answer.status_code != 200 or told["rows_in"] != fresh or told["rows_bad"]:
        raise RuntimeError(f"the platform did not take the events: {str(told)[:500]}")
    await quiet(target)  # the columns have them too
    after = target.tree.cpu_s()
    spent = {role: after[role] - before.get(role, 0) for role in after}
    return Took(seconds=seconds, cpu_s=sum(spent.values()), api_cpu_s=spent.get("api", 0.0))


async def raw_copy(target: Platform, people: dict[str, int], frame: pl.DataFrame) -> float:
    """The peer: one COPY into the same table; seconds."""
    now = datetime.now(UTC)
    rows = frame.select(
        pl.lit(now.date().isoformat()).alias("day"),
        "id",
        pl.lit(1).alias("app_id"),
        pl.col("external_id").replace_strict(people, return_dtype=pl.Int64),
        "name",
        "at",
        "value",
        "properties",
    )
    body = rows.write_csv(include_header=False).encode()
    await target.store.execute("select event_days(array[$1::date])", now.date())
    started = time.perf_counter()
    await target.store.copy_to_table(
        "event",
        source=io.BytesIO(body),
        columns=["day", "event_id", "app_id", "user_id", "name", "at", "value", "properties"],
        format="csv",
        timeout=600,
    )
    return time.perf_counter() - started


@asynccontextmanager
async def lag_seen(target: Platform) -> AsyncIterator[list[float]]:
    """What the metric says, again and again, while the block runs."""
    seen: list[float] = []

    async def look() -> None:
        while True:
            page = await target.http.get("/metrics")
            if found := LAG.search(page.content):
                seen.append(float(found[1]))
            await asyncio.sleep(SAMPLE_S)

    looking = asyncio.create_task(look())
    try:
        yield seen
    finally:
        looking.cancel()


async def measure(target: Platform, sizes: Sizes) -> tuple[dict[str, float], dict[str, float]]:
    """Figures and ratios."""
    names = [f"user-{n}" for n in range(PEOPLE)]
    known = pl.DataFrame({"external_id": names, "name": "known"})
    # People come to be by both ways, so that the first file of either finds all code loaded.
    half = PEOPLE // 2
    await send(target, known[:half].write_csv().encode(), "csv", fresh=half)
    await send(target, known[half:].write_ndjson().encode(), "ndjson", fresh=PEOPLE - half)
    records = await target.store.fetch("select external_id, id from users")
    people = {record["external_id"]: record["id"] for record in records}
    ours: dict[str, list[Took]] = {kind: [] for kind in KINDS}
    peers: list[float] = []
    lags: list[float] = []
    repeated: list[Took] = []
    body = b""
    for turn in range(sizes.rounds):
        for kind, write in (("ndjson", as_ndjson), ("csv", as_csv)):
            frame = events(sizes.a_round, seed=10 * turn + len(kind))
            body = write(frame)
            async with lag_seen(target) as seen:
                ours[kind].append(await send(target, body, kind, fresh=sizes.a_round))
            lags += seen
        repeated.append(await send(target, body, "csv", fresh=0))
        frame = events(sizes.a_round, seed=10 * turn + 9)
        peers.append(sizes.a_round / await raw_copy(target, people, frame))
        await quiet(target)
        took = ours["ndjson"][-1]
        tell(
            f"round {turn + 1}: {sizes.a_round / took.seconds:,.0f}/s, "
            f"{took.cpu_s / sizes.a_round * 1e6:.1f} us an event "
            f"({took.api_cpu_s / sizes.a_round * 1e6:.1f} in the API), raw {peers[-1]:,.0f}/s"
        )
    found = await target.store.fetchval("select count(*) from event")
    if found != PEOPLE + sizes.a_round * 3 * sizes.rounds:
        raise RuntimeError(f"{found} events are recorded")
    figures = {"events_a_file": float(sizes.a_round)}
    for kind, spans in ours.items():
        mark = "" if kind == "ndjson" else f"{kind}_"
        seconds = median(took.seconds for took in spans)
        figures |= {
            f"{mark}events_per_s": sizes.a_round / seconds,
            f"{mark}cpu_us_per_event": median(t.cpu_s for t in spans) / sizes.a_round * 1e6,
            f"{mark}api_cpu_us_per_event": median(t.api_cpu_s for t in spans) / sizes.a_round * 1e6,
        }
    limit = median(peers)
    figures |= {
        "repeated_events_per_s": sizes.a_round / median(took.seconds for took in repeated),
        "raw_copy_events_per_s": limit,
        "feed_lag_p50_s": float(np.percentile(lags, 50)),
        "feed_lag_p99_s": float(np.percentile(lags, 99)),
    }
    return figures, {"events_per_s_vs_raw_copy": figures["events_per_s"] / limit}


async def run(sizes: Sizes) -> tuple[dict[str, float], dict[str, float]]:
    """Start the platform and measure."""
    with scratch() as folder:
        async with platform(folder / "data", settings=SETTINGS) as target:
            return await measure(target, sizes)


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 100,000 events a file")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    sizes = QUICK if parser.parse_args().quick else FULL
    figures, ratios = asyncio.run(run(sizes))
    harness.emit("events", figures, ratios, {"raw_copy": harness.distribution("asyncpg")})


if __name__ == "__main__":
    main()
