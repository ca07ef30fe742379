"""The client of `benchmarks.transactional`: a process of its own that sends on a schedule.

It writes when each message was due, sent and answered (monotonic seconds), and the status, as an
`.npz` file.
"""

import argparse
import gc
import json
from pathlib import Path

import numpy as np

from benchmarks.http_load import Load, post


def _requests(options: argparse.Namespace) -> list[bytes]:
    """Each message is for another person, and its text has the number that the far end reads."""
    return [
        post(
            "/v1/messages",
            options.key,
            json.dumps(
                {
                    "to": {"users": [f"u{number + 1}"]},
                    "title": "Your order",
                    "body": f"{options.marker}{number:08d}",
                }
            ).encode(),
        )
        for number in range(options.first, options.first + options.count)
    ]


async def _run(options: argparse.Namespace) -> None:
    load = Load(options.port, _requests(options))
    await load.open(options.connections)
    gc.collect()
    gc.disable()  # a pause of ours would look like one of the server's
    await load.at_rate(options.rate, options.patience)
    load.close()
    np.savez(
        options.output, due=load.due, sent=load.sent, answered=load.answered, status=load.status
    )


def main() -> None:
    """Entry of the child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--marker", required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first message")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="messages per second")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds for the last answers")
    parser.add_argument("--connections", type=int, default=128)
    parser.add_argument("--output", type=Path, required=True)
    import uvloop  # noqa: PLC0415 - not on Windows, where this benchmark does not run

    uvloop.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
