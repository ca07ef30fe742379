"""`clarion demo`, small: the main job from start to finish, with nothing left behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.e2e.patience import START_S

pytestmark = pytest.mark.timeout(900)

DEMO = [sys.executable, "-m", "clarion.cli", "demo", "--users", "400"]


def environment(folder: Path) -> Mapping[str, str]:
    """With a directory for temporary files of this test, and a setting that must not matter."""
    return os.environ | {"TMPDIR": str(folder), "CLARION_SERVER_PORT": "1"}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path that any system user may enter."""
    made = Path(tempfile.mkdtemp(prefix="clarion-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


def processes_of(folder: Path) -> list[str]:
    """Command lines of processes that were told of the folder, and of those that they started."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in told:
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


def count(text: str) -> int:
    """A number as it is shown."""
    return int(text.replace(",", ""))


def test_the_demo_tells_what_became_of_each_device(folder: Path) -> None:
    """No questions, exit code 0, every rule has its say, and every number adds up."""
    done = subprocess.run(
        DEMO,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=840,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shown = done.stdout
    assert "400 people with 600 devices" in shown
    total = re.search(
        r"(\d+) devices considered: (\d+) final outcomes and (\d+) held, exactly one for each",
        shown,
    )
    assert total is not None
    considered, ended, held = map(int, total.groups())
    assert 0 < held < considered == ended + held
    decided = re.findall(
        r"│ (hold|send|skip) +│ ([a-z ]*?) +│ +([\d,]+) │ +([\d,]+) │ +\+0 │", shown
    )
    assert {(action, reason) for action, reason, _, _ in decided} >= {
        ("send", ""),
        ("hold", "held for quiet hours"),
        ("skip", "consent missing"),
        ("skip", "category opted out"),
        ("skip", "frequency capped"),
        ("skip", "user opted out"),
    }
    assert sum(count(row[3]) for row in decided) == considered
    assert sum(count(row[2]) for row in decided) == considered
    rows = re.findall(
        r"│ (APNs|FCM|Web Push) +│ +(\d+) │ +(\d+) │ +(\d+) │ +(\d+) │.* (\d+) │ +\d+ │", shown
    )
    assert [row[0] for row in rows] == ["APNs", "FCM", "Web Push"]
    for row in rows:
        accepted, dead, refused, suppressed, everybody = map(int, row[1:])
        assert accepted + dead + refused + suppressed == everybody
        assert accepted > everybody // 8
        assert refused == 0
    assert sum(int(row[2]) for row in rows) > 0, "some tokens are dead"
    assert sum(int(row[5]) for row in rows) == ended
    assert "accepted by the network" in shown
    assert "the person (" in shown, "whose own quiet hours hold it"
    assert "Traceback" not in done.stderr
    assert list(folder.iterdir()) == []
    if sys.platform == "linux":
        assert processes_of(folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_an_interrupted_demo_leaves_nothing_behind(folder: Path) -> None:
    """Ctrl-C ends the children in order and removes the directory."""
    process = subprocess.Popen(
        DEMO,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Starting Clarion"):
            break
    time.sleep(1)  # wherever the platform's start is by then
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=START_S)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert list(folder.iterdir()) == []
    assert processes_of(folder) == []
