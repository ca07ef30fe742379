"""Planning a campaign under all rules, in recipients a second of one core's time.

People of 38 time zones and four languages, a device each, lie in a facts file. A campaign is
planned for a segment of them, shard by shard as a planner does it: the scan of a range of buckets
with the segment, what its people were sent over seven days (five entries each) decoded from the
ledger's rows, consent of the category, a local clock's quiet hours, a cap of seven a week, the
variant of each person's language with a name in it, batches encoded as the store keeps them,
decisions packed, and the ledger's new rows. Everything but the store's own transaction.

* `recipients_per_cpu_s`: recipients considered, by the CPU seconds of the process, DuckDB and all
  threads together; making the history is not counted;
* `peak_rss_mib`: the most memory that the process held; `..._10m` the same at ten times the size;
* `scan_recipients_per_cpu_s`: the scan alone, the part that DuckDB does.

The peer is the scan: how much of the time the rules take.

`python -m benchmarks.planning [--quick] [--json]`: quick has 200,000 people, else 1,000,000 and
10,000,000. Prints one JSON object as its last line.
"""

import argparse
import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from uuid import UUID
from zoneinfo import available_timezones

import numpy as np
import polars as pl

from benchmarks import harness
from benchmarks.platform_run import scratch
from clarion.adapters.content.graphemes import clusters
from clarion.adapters.content.liquid import LiquidEngine
from clarion.adapters.facts.duckdb import audience_queries
from clarion.adapters.facts.duckdb.audience_columns import AUDIENCE_TURN
from clarion.adapters.facts.duckdb.audience_filling import filled
from clarion.adapters.facts.duckdb.store import FactsStore, open_store, set_watermark
from clarion.adapters.state.frequency import by_range, decoded, encoded
from clarion.adapters.state.plan_line import BUCKETS_PER_SHARD, USERS_PER_SHARD
from clarion.adapters.state.recipient_columns import encode_frame
from clarion.domain.category import BORN
from clarion.domain.content import Content, Message, Wording
from clarion.domain.decided import packed
from clarion.domain.frequency import Cap, Ledger
from clarion.domain.handoffs import ShardToPlan
from clarion.domain.ids import BUCKETS, AppId, CredentialId, MessageId
from clarion.domain.lanes import Lane
from clarion.domain.network import Network
from clarion.domain.policy import Policy
from clarion.domain.quiet_windows import EVERY_DAY, QuietHours, Window
from clarion.domain.segments.checking import whole
from clarion.domain.segments.text import parse
from clarion.domain.send_time import instant_us
from clarion.domain.zones import DAY_US
from clarion.ports.audience import AudienceScan
from clarion.ports.frequency import RANGE_BUCKETS, Usage
from clarion.ports.messages import Target
from clarion.ports.plan_line import ClaimedShard
from clarion.stages.authoring.preparing import Renderer, Tools
from clarion.stages.planning.shard import People, ShardPlan, plan_shard, unread

NOW: Final = datetime(2026, 3, 1, 20, tzinfo=UTC)
NOW_US: Final = instant_us(NOW)
APP: Final = AppId(1)
PER_PERSON: Final = 5
"""Entries of seven days."""
SEGMENT: Final = 'last_active < 60d and not tag.plan = "test" and country in (FR, DE, US, JP, BR)'
ZONES: Final = tuple(
    sorted(z for z in available_timezones() if z.startswith(("Europe/", "America/", "Asia/")))
)[::7][:38]
PEOPLE: Final = """
insert into users by name
select n as id, 1 as app, n % 1024 as bucket, 'user-' || n as external_id, false as opted_out,
       ['en', 'fr-FR', 'de-DE', 'pt-BR'][(hash(n) % 4 + 1)::bigint] as language,
       ['FR', 'DE', 'US', 'JP', 'BR'][(hash(n + 7) % 5 + 1)::bigint] as country,
       {'plan': ['free', 'pro'][(hash(n + 1) % 2 + 1)::bigint],
        'first_name': 'Name' || hash(n + 2) % 5000}::variant as attributes,
       make_timestamp($now)::timestamptz as created_at,
       case when hash(n + 3) % 50 = 0 then 0 else 4 end::ubigint as granted
from range($low::bigint, $high::bigint) r(n) order by bucket
"""
DEVICES: Final = """
insert into device by name
select n as id, 1 as app, n % 1024 as bucket, n as user_id, hash(n) % 2 + 1 as network,
       0 as environment, hash(n + 4) % 100 = 0 as dead, false as opted_out,
       md5(n::varchar) || md5(n::varchar) as token, $now - 86400000000 as registered_us,
       make_timestamp($now - (hash(n + 5) % 4000000)::bigint * 1000000)::timestamptz
           as last_active_at,
       $zones[(hash(n + 6) % 38 + 1)::bigint] as time_zone
from range($low::bigint, $high::bigint) r(n) order by bucket
"""
STEP: Final = 2_000_000


def fill(path: Path, people: int) -> None:
    """Make the people."""
    store = open_store(path, memory_mib=1024, threads=2)
    for low in range(1, people + 1, STEP):
        about = {"low": low, "high": min(people + 1, low + STEP), "now": NOW_US}
        with store.writing() as cursor:
            cursor.execute(PEOPLE, about)
        with store.writing() as cursor:
            cursor.execute(DEVICES, {**about, "zones": list(ZONES)})
            set_watermark(cursor, AUDIENCE_TURN, str(low))
    store.close()


def campaign() -> Message:
    """A message in four languages with a name in it."""
    return Message(
        id=MessageId(str(UUID(int=1))),
        app=APP,
        lane=Lane.CAMPAIGN,
        content=Content(title='Hi {{ user.first_name | default: "you" }}', body="News for you"),
        category="marketing",
        wording=Wording(
            language="en",
            localized={
                tag: Content(title="{{ user.first_name }}!", body=f"In {tag}")
                for tag in ("fr", "de", "pt")
            },
        ),
    )


def claimed(message: Message, low: int, high: int) -> ClaimedShard:
    """One shard of the campaign, under all rules."""
    night = Window(days=EVERY_DAY, start_min=22 * 60, end_min=8 * 60)
    policy = Policy(
        category=BORN[2],
        quiet_hours=QuietHours(windows=(night,)),
        caps=(Cap(count=7, window=7 * DAY_US),),
    )
    shard = ShardToPlan(app=APP, message=message.id, lane=Lane.CAMPAIGN, low=low, high=high)
    return ClaimedShard(
        shard=shard,
        fence=1,
        claims=1,
        target=Target(segment={}),
        at_least_xid=0,
        message=message,
        policy=policy,
        counted=True,
        per_minute=None,
        digest=False,
        started_at=NOW,
    )


def history(users: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> list[bytes]:
    """Rows of the ledger, as many campaigns have left them: not part of what is measured."""
    chance = np.random.default_rng(1)
    made = []
    for day in range(PER_PERSON):
        n = len(users)
        ledger = Ledger(
            user=users,
            at_us=NOW_US - day * DAY_US - chance.integers(0, DAY_US, n),
            networks=np.full(n, 2, np.uint8),
            category=np.full(n, 2, np.uint8),
            priority=np.full(n, 5, np.uint8),
        )
        made.append(encoded(ledger))
    return made


def scanned(store: FactsStore, low: int, high: int, fields: tuple[str, ...]) -> pl.DataFrame:
    """The people of a range of buckets who are in the segment."""
    segment = whole(parse(SEGMENT).expression, segments={}, lists={}, now=NOW)
    asked = AudienceScan(
        app=APP, low=low, high=high, segment=segment, fields=fields, unread=unread({})
    )
    pieces = audience_queries.scan(store, asked)
    return pl.concat([filled(pl.DataFrame(pl.from_arrow(piece)), fields) for piece in pieces])


def stored(plan: ShardPlan) -> int:
    """The octets of what a commit would send to the store."""
    octets = sum(len(encode_frame(batch.rows)) for batch in plan.batches)
    octets += sum(len(packed(decided.rows)) for decided in plan.rulings.decided)
    if plan.rulings.sent is not None:
        octets += sum(len(encoded(part)) for _, part in by_range(plan.rulings.sent))
    return octets


def measure(path: Path, people: int) -> dict[str, float]:
    """Plan everything once, in this process."""
    message = campaign()
    words = Renderer(Tools(engine=LiquidEngine(), clusters=clusters, providers={})).prepare(message)
    assert words is not None
    step = max(1, min(BUCKETS_PER_SHARD, int(USERS_PER_SHARD * BUCKETS / people)))
    step -= step % RANGE_BUCKETS if step > RANGE_BUCKETS else 0
    credentials = {Network.APNS: CredentialId(1), Network.FCM: CredentialId(2)}
    store = open_store(path, memory_mib=512, threads=1)
    spent = scan_spent = 0.0
    considered = sent = 0
    for low in range(0, BUCKETS, step):
        high = min(low + step, BUCKETS)
        started = time.process_time()
        rows = scanned(store, low, high, words.fields)
        scan_spent += time.process_time() - started
        spent += time.process_time() - started
        blobs = history(rows["user"].to_numpy())
        started = time.process_time()
        ledger = decoded(blobs)
        versions = dict.fromkeys(range(low // RANGE_BUCKETS, -(-high // RANGE_BUCKETS)), 0)
        usage = Usage(ledger=ledger, of=np.full(len(ledger), -1), messages=[], versions=versions)
        plan = plan_shard(
            claimed(message, low, high), People(rows=rows, xid=1), usage, credentials, NOW, words
        )
        assert stored(plan)
        spent += time.process_time() - started
        considered += len(rows)
        sent += sum(len(batch.rows) for batch in plan.batches)
    store.close()
    return {
        "recipients": considered,
        "sent": sent,
        "recipients_per_cpu_s": considered / spent,
        "scan_recipients_per_cpu_s": considered / scan_spent,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def apart(what: str, path: Path, people: int) -> dict[str, float]:
    """The same in a process of its own, whose memory is only its own."""
    argv = [sys.executable, "-m", "benchmarks.planning", "--part", what, str(path), str(people)]
    output = harness.cpu_of_child(argv, core=harness.cores()[-1]).output
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200,000 people")
    parser.add_argument("--json", action="store_true", help="accepted; the line is always JSON")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        what, path, people = arguments.part
        if what == "fill":
            fill(Path(path), int(people))
            print("{}")
        else:
            print(json.dumps(measure(Path(path), int(people))))
        return
    sizes = [200_000] if arguments.quick else [1_000_000, 10_000_000]
    figures: dict[str, float] = {}
    with scratch() as folder:
        for people in sizes:
            path = folder / f"{people}.duckdb"
            apart("fill", path, people)
            found = apart("measure", path, people)
            suffix = "_10m" if people > sizes[0] else ""
            figures |= {f"{name}{suffix}": value for name, value in found.items()}
            path.unlink()
    ratios = {
        "whole_to_scan": figures["scan_recipients_per_cpu_s"] / figures["recipients_per_cpu_s"]
    }
    if "peak_rss_mib_10m" in figures:
        ratios["peak_rss_10m_to_1m"] = figures["peak_rss_mib_10m"] / figures["peak_rss_mib"]
    harness.emit("planning", figures, ratios, {"duckdb": harness.distribution("duckdb")})


if __name__ == "__main__":
    main()
