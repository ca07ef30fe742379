"""Counting a segment live, and scanning the audience with every column that planning needs.

People with a device each (one in ten has two, one in twenty none), attributes, events and
engagement are made straight in a facts file; then, each in rounds taken in turns:

* the count of a realistic mixed segment, by network and by the reason that forbids sending, over
  the owner's own code: text read, put in place, rendered, run;
* the same question asked of DuckDB by hand, as a bare number without our layers (the peer);
* a full scan of the audience into Arrow, all columns of `AUDIENCE_SCHEMA`, everybody;
* the peer's scan: the same join, the first ten columns alone.

`python -m benchmarks.segments [--quick|--full] [--json]`: quick has 1,000,000 people, full also
10,000,000. Prints one JSON object as its last line.
"""

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import harness
from benchmarks.platform_run import scratch
from clarion.adapters.facts.duckdb import audience_queries
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.domain.ids import AppId
from clarion.domain.segments.checking import whole
from clarion.domain.segments.text import parse
from clarion.ports.audience import AudienceScan

NOW: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW_US: Final = int(NOW.timestamp()) * 1_000_000
APP: Final = 1
SEGMENT: Final = (
    'country in (FR, BE) and tag.plan = "pro" and count(purchase, 30d) >= 2 and '
    "last_active < 14d and app_version >= 5.2 and not opened(any, 7d) and "
    "(platform = phone or near(48.85, 2.35, 10km))"
)
BROAD: Final = 'last_active < 14d and not tag.plan = "pro"'
PEER: Final = """
select count(*) from users u join device d on d.user_id = u.id
where u.app = 1 and d.app = 1 and coalesce(d.country, u.country) in ('FR', 'BE')
  and u.attributes.plan::varchar = 'pro'
  and u.id in (select user_id from event where app = 1 and name = 'purchase'
               and at_us between $now - 2592000000000 and $now
               group by user_id having count(*) >= 2)
  and epoch_us(d.last_active_at) > $now - 1209600000000
  and d.app_version >= '5.2'
  and u.id not in (select user_id from engagement where app = 1 and kind = 2
                   and at_us between $now - 604800000000 and $now)
  and (d.platform = 'phone' or (d.latitude between 48.76 and 48.94
                                and d.longitude between 2.21 and 2.49))
"""
PEER_SCAN: Final = """
select coalesce(d.id, 0) as device, u.id as "user", coalesce(d.network, 0) as network,
       coalesce(d.environment, 0) as environment, coalesce(d.registered_us, 0) as registered_us,
       coalesce(d.dead, false) as dead, coalesce(d.opted_out, false) as device_opted_out,
       u.opted_out as user_opted_out, encode(d.token) as token, d.keys
from users u left join device d on d.user_id = u.id
"""
PEOPLE: Final = """
insert into users by name
select n as id, 1 as app, n // ($people / 1024 + 1) as bucket, 'user-' || n as external_id,
       h1(n, 1) % 50 = 0 as opted_out,
       ['en', 'fr-FR', 'de-DE', 'pt-BR'][(h1(n, 2) % 4 + 1)::bigint] as language,
       ['Europe/Paris', 'America/Belem', 'Asia/Tokyo'][(h1(n, 3) % 3 + 1)::bigint] as time_zone,
       ['FR', 'BE', 'DE', 'US', 'JP', 'BR', 'GB', 'IN'][(h1(n, 4) % 8 + 1)::bigint] as country,
       {'plan': ['free', 'free', 'pro'][(h1(n, 5) % 3 + 1)::bigint], 'age': h1(n, 6) % 80,
        'city': 'city ' || h1(n, 7) % 500}::variant as attributes,
       make_timestamp($now - (h1(n, 8) % 63072000)::bigint * 1000000)::timestamptz as created_at
from range($low::bigint, $high::bigint) r(n)
"""
DEVICES: Final = """
insert into device by name
select n * 2 + k as id, 1 as app, n // ($people / 1024 + 1) as bucket, n as user_id,
       h1(n, 9) % 2 + 1 as network, 0 as environment, h2(n, k, 10) % 30 = 0 as dead,
       h2(n, k, 11) % 40 = 0 as opted_out,
       hex(h2(n, k, 27)) || hex(h2(n, k, 28)) || hex(h2(n, k, 29)) || hex(h2(n, k, 30))
           || ':APA91b' as token,
       $now - (h1(n, 12) % 63072000)::bigint * 1000000 as registered_us,
       make_timestamp($now - (h1(n, 13) % 5184000)::bigint * 1000000)::timestamptz
           as last_active_at,
       ['phone', 'phone', 'phone', 'tablet', 'desktop'][(h1(n, 14) % 5 + 1)::bigint] as platform,
       'android' as os, (10 + h1(n, 15) % 6)::varchar as os_version,
       '5.' || h1(n, 16) % 12 || '.' || h1(n, 17) % 4 as app_version,
       keys[app_version] as app_version_key, keys[os_version] as os_version_key,
       ['Europe/Paris', 'America/Belem', 'Asia/Tokyo'][(h1(n, 3) % 3 + 1)::bigint] as time_zone,
       48.85 + (h1(n, 18) % 2000)::double / 1000 - 1 as latitude,
       2.35 + (h1(n, 19) % 2000)::double / 1000 - 1 as longitude
from range($low::bigint, $high::bigint) r(n), range(2) s(k), (
    select map(list(version), list(version_key(version))) as keys -- each once: the macro is slow
    from (select '5.' || minor || '.' || patch from range(12) a(minor), range(4) b(patch)
          union all select (10 + n)::varchar from range(6) c(n)) v(version)
)
where h1(n, 20) % 20 <> 0 and (k = 0 or h1(n, 21) % 10 = 0)
"""
EVENTS: Final = """
insert into event by name
select 1 as app, n // ($people / 1024 + 1) as bucket, n as user_id,
       ['purchase', 'view', 'view', 'view'][(h2(n, k, 22) % 4 + 1)::bigint] as name,
       $now - (h2(n, k, 23) % 7776000)::bigint * 1000000 as at_us,
       {'total': h2(n, k, 24) % 100}::variant as properties
from range($low::bigint, $high::bigint) r(n), range(2) s(k)
"""
DEEDS: Final = """
insert into engagement by name
select 1 as app, n as user_id, 1 as message_high, k as message_low, 'news' as category,
       h2(n, k, 25) % 4 + 1 as kind,
       $now - (h2(n, k, 26) % 7776000)::bigint * 1000000 as at_us
from range($low::bigint, $high::bigint) r(n), range(2) s(k) where $people > 0
"""
STEP: Final = 1_000_000


def fill(store: FactsStore, people: int) -> None:
    """Make the people, a million at a time."""
    with store.writing() as cursor:
        cursor.execute("create macro h1(n, salt) as hash(n * 200 + salt)")
        cursor.execute("create macro h2(n, k, salt) as hash(n * 200 + k * 100 + salt)")
    for low in range(0, people, STEP):
        about = {"low": low, "high": min(people, low + STEP), "people": people, "now": NOW_US}
        for sql in (PEOPLE, DEVICES, EVENTS, DEEDS):
            with store.writing() as cursor:
                cursor.execute(sql, about)
    with store.reading() as cursor:
        cursor.execute("checkpoint")


def counted(store: FactsStore, text: str) -> float:
    """Seconds of a count, from the text to the numbers."""
    started = time.perf_counter()
    segment = whole(parse(text).expression, segments={}, lists={}, now=NOW)
    found = audience_queries.count(store, app=APP, segment=segment, sendable=[1, 2, 3])
    assert found["people"]
    return time.perf_counter() - started


def counted_by_hand(store: FactsStore) -> float:
    """Seconds of the peer's count."""
    started = time.perf_counter()
    with store.reading() as cursor:
        assert cursor.execute(PEER, {"now": NOW_US}).fetchone() is not None
    return time.perf_counter() - started


def scanned(store: FactsStore) -> float:
    """Rows per second of a full scan into Arrow."""
    started, cpu = time.perf_counter(), time.process_time()
    everybody = AudienceScan(app=AppId(APP), low=0, high=1024)
    rows = sum(piece.num_rows for piece in audience_queries.scan(store, everybody))
    print(f"  scan: {rows} rows, {rows / (time.process_time() - cpu):,.0f} a CPU second")
    return rows / (time.perf_counter() - started)


def scanned_by_hand(store: FactsStore) -> float:
    """Rows per second of the peer's scan."""
    started = time.perf_counter()
    with store.reading() as cursor:
        reader = cursor.sql(PEER_SCAN).to_arrow_reader(audience_queries.PIECE)
        assert reader is not None
        rows = sum(int(piece.num_rows) for piece in reader)
    return rows / (time.perf_counter() - started)


def measure(folder: Path, people: int, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Figures and ratios at a size."""
    store = open_store(folder / f"{people}.duckdb", memory_mib=4096, threads=2)
    try:
        started = time.perf_counter()
        fill(store, people)
        print(f"{people:,} people made in {time.perf_counter() - started:.0f} s")
        runs = {
            "count": lambda: counted(store, SEGMENT),
            "broad": lambda: counted(store, BROAD),
            "peer_count": lambda: counted_by_hand(store),
            "scan": lambda: scanned(store),
            "peer_scan": lambda: scanned_by_hand(store),
        }
        found = harness.median_of_rounds(runs, rounds)
    finally:
        store.close()
    size = f"{people // 1_000_000}m"
    figures = {
        f"count_{size}_ms": found["count"] * 1000,
        f"count_broad_{size}_ms": found["broad"] * 1000,
        f"duckdb_count_{size}_ms": found["peer_count"] * 1000,
        f"scan_{size}_recipients_per_s": found["scan"],
        f"duckdb_scan_{size}_recipients_per_s": found["peer_scan"],
    }
    ratios = {
        f"count_{size}_to_duckdb": found["count"] / found["peer_count"],
        f"scan_{size}_to_duckdb": found["scan"] / found["peer_scan"],
    }
    return figures, ratios


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000,000 people")
    parser.add_argument("--full", action="store_true", help="also 10,000,000 people (the default)")
    parser.add_argument("--json", action="store_true", help="nothing but the last line changes")
    arguments = parser.parse_args()
    sizes = [1_000_000] if arguments.quick else [1_000_000, 10_000_000]
    figures: dict[str, float] = {}
    ratios: dict[str, float] = {}
    with scratch() as folder:
        for people in sizes:
            found, against = measure(folder, people, rounds=5 if arguments.quick else 3)
            figures |= found
            ratios |= against
    harness.emit("segments", figures, ratios, {"duckdb": harness.distribution("duckdb")})


if __name__ == "__main__":
    main()
