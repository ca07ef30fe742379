"""Device upserts per second: bulk import with devices already there, against the raw database.

Ours is the whole way of a CSV file: read, judged, people and devices created or changed, in a
PostgreSQL whose commits are durable. The peer does the least that any importer could: the same
devices, already parsed, judged and assigned to people, by `COPY` into a temporary table and one
`INSERT … ON CONFLICT DO UPDATE` a batch, over one connection. Rounds are taken in turns on one
database, each on devices of its own, half of them new and half known with something new about them
(a newer version of the app). At the end the last file comes once more: nothing in it is new.
CPU time is that of the importing process and of PostgreSQL's together.

Then the whole platform starts on the same database, and the same kind of rows arrive through its
API, half of them new and half known, from a light client on the same machine: `POST
/v1/devices:batch` with 500 rows a request over 4 connections, and `POST /v1/devices`, one device a
request, over 32. CPU time is that of all processes of the platform together.

`python -m benchmarks.registry [--quick] [--json]` prints one JSON object as its last line.
"""

import argparse
import asyncio
import csv
import hashlib
import json
import os
import time
import zoneinfo
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Final

import asyncpg

from benchmarks import harness
from benchmarks.http_load import Load, post
from benchmarks.platform_run import Platform, platform, quiet, scratch, settled, tell
from benchmarks.process_tree import ProcessTree
from clarion.adapters.state.embedded import EmbeddedSettings, start
from clarion.adapters.state.keys import PostgresKeys
from clarion.adapters.state.migrate import migrate
from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.system import SystemChance, SystemClock
from clarion.app.foundation import Paths
from clarion.app.supervise import prepare_data_dir
from clarion.domain.ids import AppId
from clarion.ports.keys import Scope
from clarion.stages.intake.bulk import import_rows
from clarion.stages.intake.register import Rules
from clarion.stages.intake.rows import Format
from clarion.wire.endpoint import NOBODY

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
APP: Final = "benchmark"
BATCH: Final = 10_000
API_BATCH: Final = 500
API_CONNECTIONS: Final = {"batch": 4, "single": 32}
API_SETTINGS: Final = {
    "CLARION_API_OPERATOR_APP": APP,
    "CLARION_API_RATE_PER_S": "1000000",
    "CLARION_API_RATE_BURST": "1000000",
}
HEADER: Final = (
    "external_id,network,token,platform,os,os_version,model,app_version,language,time_zone,"
    "country,attributes.plan,attributes.age:number"
)
ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "America/Sao_Paulo")
MODELS: Final = ("Pixel 8", "Galaxy S24", "Moto G", "Redmi 13")
TEMPORARY: Final = """
create temporary table arriving (
    user_id bigint, network smallint, token text, token_key bytea, platform text, os text,
    os_version text, model text, app_version text, language text, time_zone text, country text,
    attributes jsonb
) on commit delete rows
"""
UPSERT: Final = """
insert into device (app_id, user_id, network, token, token_key, platform, os, os_version, model,
    app_version, language, time_zone, country, attributes, registered_at, created_at, updated_at)
select $1, user_id, network, token, token_key, platform, os, os_version, model, app_version,
    language, time_zone, country, attributes, $2, $2, $2
from arriving order by token_key
on conflict (app_id, network, token_key) do update set
    user_id = excluded.user_id, token = excluded.token, platform = excluded.platform,
    os = excluded.os, os_version = excluded.os_version, model = excluded.model,
    app_version = excluded.app_version, language = excluded.language,
    time_zone = excluded.time_zone, country = excluded.country,
    attributes = device.attributes || excluded.attributes, state = 1, state_reason = 0,
    registered_at = excluded.registered_at, updated_at = excluded.updated_at,
    xid = pg_current_xact_id()
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How much is done."""

    existing: int
    a_round: int
    rounds: int
    api_batch: int
    api_single: int


FULL: Final = Sizes(
    existing=1_000_000, a_round=60_000, rounds=3, api_batch=100_000, api_single=10_000
)
QUICK: Final = Sizes(existing=100_000, a_round=20_000, rounds=2, api_batch=20_000, api_single=2_000)


def row(number: int, *, newer: bool = False) -> tuple[str, ...]:
    """A device of the benchmark, the same for the same number: the fields of `HEADER`."""
    token = f"{number * 2654435761 % 2**64:016x}:{'APA91b' * 22}"
    return (
        f"user-{number * 2 // 3}",
        "fcm",
        token,
        "phone",
        "android",
        str(10 + number % 5),
        MODELS[number % 4],
        f"{6 if newer else 5}.{number % 9}.1",
        "de-DE",
        ZONES[number % 4],
        "DE",
        "gold" if number % 3 else "free",
        str(18 + number % 60),
    )


def write(path: Path, numbers: Iterable[int], *, newer: range = range(0)) -> int:
    """A CSV file of these devices, those in `newer` with a newer app; how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER + "\n")
        writer = csv.writer(file)
        for number in numbers:
            writer.writerow(row(number, newer=number in newer))
            count += 1
    return count


def half_known(low: int, fresh: int, count: int) -> Iterator[int]:
    """Numbers of `count` devices: known ones from `low`, and new ones from `fresh`, in turns."""
    for place in range(count // 2):
        yield low + place
        yield fresh + place


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What importing a file took."""

    seconds: float
    cpu_s: float


async def import_file(devices: PostgresDevices, app: AppId, path: Path) -> Took:
    """Import a file."""
    rules = Rules(zones=frozenset(zoneinfo.available_timezones()), allow=NOBODY)
    ourselves = ProcessTree(os.getpid())  # PostgreSQL's processes are below
    cpu_s = sum(ourselves.cpu_s().values())
    started = time.perf_counter()
    bad = 0
    async for done in import_rows(devices, app, path, Format.CSV, rules=rules, clock=SystemClock()):
        bad = done.rows_bad
    seconds = time.perf_counter() - started
    assert bad == 0
    return Took(seconds=seconds, cpu_s=sum(ourselves.cpu_s().values()) - cpu_s)


def raw_records(numbers: Iterator[int]) -> list[tuple[object, ...]]:
    """The same devices as the database's own types."""
    records: list[tuple[object, ...]] = []
    for number in numbers:
        fields = row(number, newer=True)
        attributes = {"plan": fields[11], "age": int(fields[12])}
        key = hashlib.sha256(fields[2].encode()).digest()[:16]
        head = (1 + number, 2, fields[2], key)
        records.append((*head, *fields[3:11], b"\x01" + json.dumps(attributes).encode()))
    return records


async def raw_upsert(
    connection: asyncpg.Connection, app: AppId, records: list[tuple[object, ...]]
) -> float:
    """The peer: COPY and one statement a batch; seconds."""
    started = time.perf_counter()
    for low in range(0, len(records), BATCH):
        async with connection.transaction():
            await connection.copy_records_to_table("arriving", records=records[low : low + BATCH])
            await connection.execute(UPSERT, app, NOW)
    return time.perf_counter() - started


async def measure(
    dsn: str, folder: Path, sizes: Sizes
) -> tuple[dict[str, float], dict[str, float]]:
    """Figures and ratios of import."""
    await migrate(dsn)
    pool = await open_pool(dsn, min_size=2, max_size=4)
    raw = await asyncpg.connect(dsn)
    try:
        await raw.set_type_codec(
            "jsonb", schema="pg_catalog", format="binary", encoder=bytes, decoder=bytes
        )
        await raw.execute(TEMPORARY)
        app = (await PostgresApps(pool).create(APP, now=NOW)).id
        devices = PostgresDevices(pool)
        path = folder / "devices.csv"
        count = write(path, range(sizes.existing))
        loading = count / (await import_file(devices, app, path)).seconds
        await raw.execute("analyze users, device")
        ours: list[Took] = []
        peers: list[float] = []
        for turn in range(sizes.rounds):
            span = 2 * turn * sizes.a_round
            known = range(span, span + sizes.a_round // 2)
            numbers = half_known(span, sizes.existing + span, sizes.a_round)
            write(path, numbers, newer=known)
            ours.append(await import_file(devices, app, path))
            low = span + sizes.a_round
            records = raw_records(half_known(low, sizes.existing + low, sizes.a_round))
            peers.append(len(records) / await raw_upsert(raw, app, records))
            rate = sizes.a_round / ours[-1].seconds
            tell(f"round {turn + 1}: import {rate:,.0f}/s, raw {peers[-1]:,.0f}/s")
        again = await import_file(devices, app, path)
    finally:
        await raw.close()
        await pool.close()
    rate = sizes.a_round / median(took.seconds for took in ours)
    limit = median(peers)
    return (
        {
            "existing_devices": sizes.existing,
            "initial_import_devices_per_s": loading,
            "import_devices_per_s": rate,
            f"import_devices_per_s_at_{sizes.existing}_existing": rate,
            "import_cpu_us_per_device": median(t.cpu_s for t in ours) / sizes.a_round * 1e6,
            "import_unchanged_devices_per_s": sizes.a_round / again.seconds,
            "import_unchanged_cpu_us_per_device": again.cpu_s / sizes.a_round * 1e6,
            "raw_copy_upsert_devices_per_s": limit,
        },
        {"import_devices_per_s_vs_raw_copy_upsert": rate / limit},
    )


async def admin_key(dsn: str) -> str:
    """A key for the devices' app."""
    pool = await open_pool(dsn, min_size=1, max_size=1)
    try:
        app = await PostgresApps(pool).find(APP)
        assert app is not None
        keys = PostgresKeys(pool, SystemChance())
        made = await keys.create(app.id, Scope.ADMIN, APP, expires_at=None, now=NOW)
        return made.text
    finally:
        await pool.close()


def as_json(number: int) -> dict[str, object]:
    """The same device as a row of the API."""
    names = HEADER.split(",")[:11]
    fields = row(number)
    attributes = {"plan": fields[11], "age": int(fields[12])}
    return {**dict(zip(names, fields[:11], strict=True)), "attributes": attributes}


async def through_api(
    target: Platform, how: str, requests: list[bytes], devices: int
) -> dict[str, float]:
    """Send the requests; devices a second, and what they cost."""
    load = Load(target.port, requests)
    await load.open(API_CONNECTIONS[how])
    before = target.tree.cpu_s()
    seconds = await load.in_turns()
    after = target.tree.cpu_s()
    load.close()
    if not set(load.status.tolist()) <= {200, 201}:
        raise RuntimeError(f"the API refused devices: {set(load.status.tolist())}")
    cpu_s = sum(after.values()) - sum(before.values())
    return {
        f"api_{how}_devices_per_s": devices / seconds,
        f"api_{how}_cpu_us_per_device": cpu_s / devices * 1e6,
    }


async def measure_api(data: Path, key: str, sizes: Sizes) -> dict[str, float]:
    """Figures of registrations through the API of the platform, started on this directory."""
    async with platform(data, settings=API_SETTINGS, key=key) as target:
        existing: int = await target.store.fetchval("select count(*) from device")
        tell(f"the platform runs on {existing:,} devices")
        await settled(target, existing)
        span = 2 * sizes.rounds * sizes.a_round
        fresh = sizes.existing + span
        numbers = list(half_known(0, fresh, sizes.api_batch))
        batches = [
            post("/v1/devices:batch", key, json.dumps({"devices": rows}).encode())
            for low in range(0, len(numbers), API_BATCH)
            for rows in [[as_json(number) for number in numbers[low : low + API_BATCH]]]
        ]
        figures = await through_api(target, "batch", batches, len(numbers))
        await quiet(target)
        more = list(half_known(sizes.api_batch, fresh + sizes.api_batch, sizes.api_single))
        singles = [post("/v1/devices", key, json.dumps(as_json(n)).encode()) for n in more]
        figures |= await through_api(target, "single", singles, len(more))
        found = await target.store.fetchval("select count(*) from device")
    if found - existing != (len(numbers) + len(more)) // 2:
        raise RuntimeError(f"{found - existing} new devices are not half of all")
    return figures


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 devices instead of a million")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    sizes = QUICK if parser.parse_args().quick else FULL
    with scratch() as folder:
        data = folder / "data"
        prepare_data_dir(data)
        with start(Paths(root=data).postgres, settings=EmbeddedSettings()) as pg:
            figures, ratios = asyncio.run(measure(pg.dsn, folder, sizes))
            key = asyncio.run(admin_key(pg.dsn))
        figures |= asyncio.run(measure_api(data, key, sizes))
    harness.emit("registry", figures, ratios, {"raw_copy_upsert": harness.distribution("asyncpg")})


if __name__ == "__main__":
    main()
