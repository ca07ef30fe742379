"""A start that nobody heard of has made no key that nobody saw."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import orjson
import pytest
from tests.e2e.patience import PATIENCE_S, START_S


def start(data_dir: Path) -> subprocess.Popen[str]:
    """A platform on any free port."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("CLARION_")} | {
        "CLARION_DATA_DIR": str(data_dir),
        "CLARION_SERVER_PORT": "0",
        "CLARION_PUSH_PORT": "0",
        "CLARION_SERVER_PROCESSES": "2",
        "CLARION_WORKERS_SENDERS": "1",
        "CLARION_LOG_FORMAT": "json",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "clarion.cli", "serve", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.timeout(600)
def test_a_start_cut_short_leaves_the_key_to_the_next_one(short_dir: Path) -> None:
    """And with port 0, the address that is told is the one that answers, in every process."""
    first = start(short_dir / "data")
    assert first.stderr is not None
    assert any("role.started" in line for line in first.stderr), "the schema is there by then"
    first.send_signal(signal.SIGTERM)
    said, _ = first.communicate(timeout=START_S)
    shown = orjson.loads(said)["key"] if said else None

    second = start(short_dir / "data")
    try:
        assert second.stdout is not None
        told = orjson.loads(second.stdout.readline())
        assert (told["key"] is None) == (shown is not None), "exactly one start shows a key"
        key = {"authorization": f"Bearer {told['key'] or shown}"}
        assert not told["url"].endswith(":0")
        for _ in range(8):  # each a connection of its own: the kernel spreads them
            listed = httpx.get(f"{told['url']}/v1/messages", headers=key, timeout=PATIENCE_S)
            assert listed.status_code == 200
    finally:
        second.send_signal(signal.SIGTERM)
        second.communicate(timeout=START_S)
    assert second.returncode == 0
