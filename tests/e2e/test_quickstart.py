"""The quickstart does what it says: its commands are run, in order."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.e2e.patience import PATIENCE_S, START_S
from tests.e2e.platform_processes import wait_until_ready
from tests.e2e.ports import free_port

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"
STEP = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RESTART = re.compile(r"^(CLARION_\S+=\S+(?: CLARION_\S+=\S+)*) make run$", re.MULTILINE)


@contextmanager
def serving(environment: Mapping[str, str]) -> Iterator[dict[str, str | None]]:
    """`make run` without the installation: what it says when it has started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clarion.cli", "serve", "--json"],
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"it ended with {process.wait()}"
        said = json.loads(line)
        wait_until_ready(said["url"])
        yield said
        process.send_signal(signal.SIGTERM)
        assert process.wait(START_S) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def run(step: str, environment: Mapping[str, str], folder: Path) -> str:
    """Run one block as a person would; what it prints."""
    out, errors = folder / "out.txt", folder / "errors.txt"
    with out.open("w") as printed, errors.open("w") as complaints:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", step],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complaints,
            timeout=PATIENCE_S,
            check=False,
        )
    assert ended.returncode == 0, f"{step}\n{out.read_text()}\n{errors.read_text()}"
    return out.read_text()


def wait_for(file: Path, words: str) -> None:
    """Return when a file holds some words."""
    give_up = time.monotonic() + PATIENCE_S
    while not (file.exists() and words in file.read_text()):
        assert time.monotonic() < give_up, f"{file} never held {words!r}"
        time.sleep(0.05)


@pytest.mark.timeout(600)
def test_the_quickstart_ends_with_an_accepted_push_and_its_trace(short_dir: Path) -> None:
    """From nothing to a push that a strict push service took, and the story of one person."""
    port, listen = free_port(), free_port()
    page = PAGE.read_text().replace("8444", str(listen)).replace("/tmp/", f"{short_dir}/")  # noqa: S108  the page's own
    steps = STEP.findall(page)
    told = RESTART.search(page)
    assert len(steps) == 7
    assert told is not None
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(short_dir),
        "COLUMNS": "200",
        "CLARION_DATA_DIR": str(short_dir / "data"),
        "CLARION_SERVER_PORT": str(port),
        "CLARION_PUSH_PORT": "0",
        "CLARION_WORKERS_SENDERS": "1",
    }
    use = {name: environment[name] for name in ("PATH", "HOME", "COLUMNS")}
    use["CLARION_URL"] = f"http://127.0.0.1:{port}"

    with serving(environment) as started:
        assert started["url"] == use["CLARION_URL"]
        use["CLARION_KEY"] = str(started["key"])
        assert '"created":true' in run(steps[0], use, short_dir)
        assert "credential missing" in run(steps[1], use, short_dir)

    with simulating(steps[2], use, short_dir):
        restart = dict(pair.split("=", 1) for pair in told[1].split())
        with serving(environment | restart) as again:
            assert again["key"] is None, "it found its data again, so there is no first key"
            assert '"public_key"' in run(steps[3], use, short_dir)
            assert '"created":true' in run(steps[4], use, short_dir)
            sent = run(steps[5], use, short_dir)
            assert re.search(r"accepted\W+accepted\W+1\b", sent), sent
            trace = run(steps[6], use, short_dir)
            assert "accepted by the network" in trace
            assert "credential missing" in trace


@contextmanager
def simulating(step: str, environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """The step that leaves a simulator running, and its end."""
    shell = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"{step}\nwait"],
        env=dict(environment),
        start_new_session=True,
    )
    try:
        wait_for(folder / "clarion-webpush.txt", '"endpoint"')
        yield
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(PATIENCE_S)
