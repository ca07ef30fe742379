"""Runs every benchmark in turn and writes each result to `benchmarks/results/NAME.json`.

The broadcast runs in full, with its million devices; the others run in their quick form, so that
all of them take less than ten minutes. `--full` runs each in full, `--quick` none.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from typing import Final

from benchmarks.harness import RESULTS

NAMES: Final = (
    "wire",
    "broadcast",
    "broadcast_ruled",
    "webpush",
    "transactional",
    "registry",
    "planning",
    "segments",
    "events",
    "templates",
    "pushservice",
    "pushservice_idle",
)
IN_FULL: Final = frozenset({"broadcast"})
_LIMIT_S: Final = 600
_FULL_LIMIT_S: Final = 3600


def main() -> None:
    """Runs what exists; ends with an error when a benchmark fails or all take too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    give_up_at = time.monotonic() + (_FULL_LIMIT_S if options.full else _LIMIT_S)
    failed = [
        name
        for name in NAMES
        if _exists(name) and not _run(name, quick=_is_quick(name, options), give_up_at=give_up_at)
    ]
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _is_quick(name: str, options: argparse.Namespace) -> bool:
    return bool(options.quick or (name not in IN_FULL and not options.full))


def _exists(name: str) -> bool:
    found = importlib.util.find_spec(f"benchmarks.{name}") is not None
    if not found:
        print(f"{name}: there is no such benchmark", file=sys.stderr)
    return found


def _run(name: str, *, quick: bool, give_up_at: float) -> bool:
    argv = [sys.executable, "-m", f"benchmarks.{name}", "--json", *(["--quick"] if quick else [])]
    started = time.monotonic()
    print(f"{name} …", file=sys.stderr, flush=True)
    try:
        run = subprocess.run(
            argv,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=max(1.0, give_up_at - started),
        )
        result = json.loads(run.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, json.JSONDecodeError, IndexError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return False
    text = json.dumps(result, indent=2, sort_keys=True) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
    seconds = time.monotonic() - started
    print(f"{name}: {seconds:.0f} s, ratios {result.get('ratios')}", file=sys.stderr)
    return True


if __name__ == "__main__":
    main()
