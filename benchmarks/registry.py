"""Device upserts per second: bulk import with devices already there, against the raw database.

Ours is the whole way of a CSV file: read, judged, people and devices created or changed, in a
PostgreSQL whose commits are durable. The peer does the least that any importer could: the same
devices, already parsed, judged and assigned to people, by `COPY` into a temporary table and one
`INSERT … ON CONFLICT DO UPDATE` a batch, over one connection. Rounds are taken in turns on one
database, each on devices of its own, half of them new and half known.

The API's share (with `--api URL --key KEY`, a server that runs): `POST /v1/devices:batch` with
rows in JSON.

`python -m benchmarks.registry [--quick] [--json]` prints one JSON object as its last line.
"""

import argparse
import asyncio
import csv
import hashlib
import json
import tempfile
import time
import zoneinfo
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
import httpx

from benchmarks import harness
from clarion.adapters.state.embedded import EmbeddedSettings, start
from clarion.adapters.state.migrate import migrate
from clarion.adapters.state.pool import open_pool
from clarion.adapters.state.registry_apps import PostgresApps
from clarion.adapters.state.registry_devices import PostgresDevices
from clarion.adapters.system import SystemClock
from clarion.domain.ids import AppId
from clarion.stages.intake.bulk import import_rows
from clarion.stages.intake.register import Rules
from clarion.stages.intake.rows import Format
from clarion.wire.endpoint import NOBODY

NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
BATCH: Final = 10_000
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


FULL: Final = Sizes(existing=1_000_000, a_round=60_000, rounds=3)
QUICK: Final = Sizes(existing=100_000, a_round=20_000, rounds=2)


def row(number: int) -> tuple[str, ...]:
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
        f"5.{number % 9}.1",
        "de-DE",
        ZONES[number % 4],
        "DE",
        "gold" if number % 3 else "free",
        str(18 + number % 60),
    )


def write(path: Path, numbers: Iterator[int]) -> int:
    """A CSV file of these devices; how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(HEADER + "\n")
        writer = csv.writer(file)
        for number in numbers:
            writer.writerow(row(number))
            count += 1
    return count


def half_known(low: int, fresh: int, count: int) -> Iterator[int]:
    """Numbers of `count` devices: known ones from `low`, and new ones from `fresh`, in turns."""
    for place in range(count // 2):
        yield low + place
        yield fresh + place


async def import_file(devices: PostgresDevices, app: AppId, path: Path) -> float:
    """Import a file; seconds."""
    rules = Rules(zones=frozenset(zoneinfo.available_timezones()), allow=NOBODY)
    started = time.perf_counter()
    bad = 0
    async for done in import_rows(devices, app, path, Format.CSV, rules=rules, clock=SystemClock()):
        bad = done.rows_bad
    assert bad == 0
    return time.perf_counter() - started


def raw_records(numbers: Iterator[int]) -> list[tuple[object, ...]]:
    """The same devices as the database's own types."""
    records: list[tuple[object, ...]] = []
    for number in numbers:
        fields = row(number)
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
        app = (await PostgresApps(pool).create("benchmark", now=NOW)).id
        devices = PostgresDevices(pool)
        path = folder / "devices.csv"
        count = write(path, iter(range(sizes.existing)))
        loading = count / await import_file(devices, app, path)
        await raw.execute("analyze users, device")
        ours: list[float] = []
        peers: list[float] = []
        for turn in range(sizes.rounds):
            span = 2 * turn * sizes.a_round
            count = write(path, half_known(span, sizes.existing + span, sizes.a_round))
            ours.append(count / await import_file(devices, app, path))
            low = span + sizes.a_round
            records = raw_records(half_known(low, sizes.existing + low, sizes.a_round))
            peers.append(len(records) / await raw_upsert(raw, app, records))
            print(f"round {turn + 1}: import {ours[-1]:,.0f}/s, raw {peers[-1]:,.0f}/s", flush=True)
    finally:
        await raw.close()
        await pool.close()
    best, limit = sorted(ours)[len(ours) // 2], sorted(peers)[len(peers) // 2]
    return (
        {
            "existing_devices": sizes.existing,
            "initial_import_devices_per_s": loading,
            "import_devices_per_s": best,
            "raw_copy_upsert_devices_per_s": limit,
        },
        {"import_devices_per_s_vs_raw_copy_upsert": best / limit},
    )


def measure_api(url: str, key: str, seconds: float) -> dict[str, float]:
    """Registrations through a running server, 500 rows a request, one request at a time."""
    names = ("external_id", "network", "token", "platform", "os", "os_version", "model")
    sent = 0
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}) as client:
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            rows = [
                dict(zip(names, row(number), strict=False)) for number in range(sent, sent + 500)
            ]
            client.post("/v1/devices:batch", json={"devices": rows}).raise_for_status()
            sent += 500
    return {"api_devices_per_s": sent / (time.perf_counter() - started)}


@contextmanager
def folder_for_a_server() -> Iterator[Path]:
    """A directory with a short path that the server's system user may enter."""
    with tempfile.TemporaryDirectory(prefix="clarion-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


def main() -> None:
    """Measure, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100,000 devices instead of a million")
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--api", metavar="URL", help="also through the API of a running server")
    parser.add_argument("--key", metavar="KEY", help="an API key for it")
    given = parser.parse_args()
    with folder_for_a_server() as folder, start(folder / "pg", settings=EmbeddedSettings()) as pg:
        figures, ratios = asyncio.run(measure(pg.dsn, folder, QUICK if given.quick else FULL))
    if given.api is not None:
        figures |= measure_api(given.api, given.key or "", 5.0 if given.quick else 15.0)
    harness.emit("registry", figures, ratios, {"raw_copy_upsert": harness.distribution("asyncpg")})


if __name__ == "__main__":
    main()
