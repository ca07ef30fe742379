"""One client of `benchmarks.wire`: sends its requests, prints the CPU seconds they took as JSON.

It runs as a child of the benchmark so that nothing else counts; what it costs to start the
interpreter and to open the connection is left out, by warming up first.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Final

from clarion.adapters.net import HostConfig, Http2Pool, client_context
from clarion.adapters.system import SystemChance, SystemClock
from clarion.wire.http2 import Batch, HeaderSet, LocalSettings

BODY: Final = b'{"aps":{"alert":{"title":"Breaking news","body":"Something has happened"}}}'
HEADERS: Final = (
    (b"authorization", b"bearer " + b"t" * 180),
    (b"apns-topic", b"org.example.app"),
    (b"apns-push-type", b"alert"),
    (b"apns-priority", b"10"),
)
_BATCH: Final = 500


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def _send(pool: Http2Pool, headers: HeaderSet, tokens: list[bytes]) -> int:
    """Sends to every token in batches, and returns how many requests were answered 200."""
    batches = [
        Batch(headers, tokens[at : at + _BATCH], body=BODY) for at in range(0, len(tokens), _BATCH)
    ]
    await asyncio.gather(*(pool.send(batch) for batch in batches))
    return sum(batch.statuses.count(200) for batch in batches)


async def _run(options: argparse.Namespace) -> None:
    context = client_context(ca_file=options.ca_file)
    config = HostConfig(
        host="127.0.0.1",
        port=options.port,
        authority=b"127.0.0.1:%d" % options.port,
        tls=context,
        max_connections=1,
        reserved=0,
        settings=LocalSettings(max_streams=options.streams),
    )
    headers = HeaderSet(
        path_prefix=options.path.encode() or b"/3/device/",
        headers=HEADERS,
        literal=frozenset({b"authorization"} if options.literal else ()),
    )
    pool = Http2Pool(config, SystemClock(), SystemChance())
    tokens = [b"" if options.path else b"%064x" % at for at in range(options.count)]
    await _send(pool, headers, tokens[: 2 * options.streams])
    cpu_s, started = _cpu_s(), time.perf_counter()
    accepted = await _send(pool, headers, tokens)
    result = {"cpu_s": _cpu_s() - cpu_s, "wall_s": time.perf_counter() - started}
    await pool.close()
    if accepted != options.count:
        raise SystemExit(f"only {accepted} of {options.count} requests were answered 200")
    print(json.dumps(result))


def main() -> None:
    """Entry of the child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--path", default="", help="one path for all requests")
    parser.add_argument("--literal", action="store_true", help="authorization stays unindexed")
    parser.add_argument("--ca-file", type=Path, required=True)
    options = parser.parse_args()
    if sys.platform == "win32":
        asyncio.run(_run(options))
    else:
        import uvloop  # noqa: PLC0415 - not on Windows

        uvloop.run(_run(options))


if __name__ == "__main__":
    main()
