"""The command line against a whole platform: `clarion serve` as a user starts it."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import pytest
from tests.e2e.patience import PATIENCE_S, START_S
from tests.e2e.platform_processes import wait_until_ready
from tests.e2e.ports import free_port

from clarion.testing import make_fcm_credential

pytestmark = pytest.mark.timeout(600)

CLARION = [sys.executable, "-m", "clarion.cli"]
EXAMPLES = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A platform that runs, and what it said when it started."""

    url: str
    key: str
    data_dir: Path
    said: str
    process: subprocess.Popen[str]

    @property
    def environment(self) -> Mapping[str, str]:
        """What a user exports."""
        return plain() | {
            "CLARION_URL": self.url,
            "CLARION_KEY": self.key,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of the command line, as a user."""
        return run([*CLARION, *arguments], self.environment)

    def beside(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command that works on the state store itself."""
        return run([*CLARION, *arguments], plain() | {"CLARION_DATA_DIR": str(self.data_dir)})


def plain() -> dict[str, str]:
    """The environment without settings."""
    return {n: v for n, v in os.environ.items() if not n.startswith("CLARION_")}


def run(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run to the end."""
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=START_S
    )


def start(data_dir: Path) -> tuple[subprocess.Popen[str], str, str]:
    """Start a platform; the process, its address, and what it said until it ran."""
    url = f"http://127.0.0.1:{free_port()}"
    environment = plain() | {
        "CLARION_DATA_DIR": str(data_dir),
        "CLARION_SERVER_PORT": url.rpartition(":")[2],
        "CLARION_PUSH_PORT": "0",
        "CLARION_WORKERS_SENDERS": "1",
        "CLARION_LOG_LEVEL": "warning",
    }
    with (data_dir.parent / "serve.log").open("ab") as log:
        process = subprocess.Popen(
            [*CLARION, "serve"], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    said = _until_it_runs(process)
    wait_until_ready(url)
    return process, url, said


def _until_it_runs(process: subprocess.Popen[str]) -> str:
    """What is said before it falls silent."""
    assert process.stdout is not None
    give_up, said = time.monotonic() + START_S, b""
    descriptor = process.stdout.fileno()
    while b"clarion demo" not in said and b"another key" not in said:
        ready, _, _ = select.select([descriptor], [], [], give_up - time.monotonic())
        piece = os.read(descriptor, 65_536) if ready else b""
        assert piece, said
        said += piece
    return said.decode()


def stop(process: subprocess.Popen[str]) -> int:
    """End it as Ctrl-C does."""
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=START_S)
    return process.returncode


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A short path that any system user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="clarion-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def platform(home: Path) -> Iterator[Platform]:
    """One platform for all tests of this file."""
    process, url, said = start(home / "data")
    key = re.search(r"clarion_admin_\w+", said)
    assert key is not None, said
    yield Platform(url=url, key=key[0], data_dir=home / "data", said=said, process=process)
    assert stop(process) == 0


def test_the_first_start_shows_curl_lines_that_work(platform: Platform) -> None:
    """Copied and pasted into a shell, they do what they say."""
    script = platform.said.partition("in another terminal:")[2].partition("# or see it all")[0]
    assert platform.url in script
    done = run(["/bin/sh", "-euc", script], platform.environment)
    assert '"created":true' in done.stdout
    assert '"lane":"transactional"' in done.stdout
    assert "credential missing" in done.stdout
    assert done.returncode == 1, "the last line waits for a message that reaches nobody"


def test_send_waits_and_trace_tells_why(platform: Platform, tmp_path: Path) -> None:
    """From a file of devices to one person's answer."""
    file = tmp_path / "people.csv"
    file.write_text("external_id,network,token,platform\nzoe,fcm,zoe-phone,phone\nx,owl,y,phone\n")
    imported = platform.run("import", str(file), "--json")
    assert imported.returncode == 1, "there was a bad row"
    answer = orjson.loads(imported.stdout)
    assert (answer["rows_in"], answer["bad"][0]["line"]) == (1, 3)

    sent = platform.run("send", "--to", "zoe", "--title", "Hello", "--wait", "--json")
    view = orjson.loads(sent.stdout)
    assert sent.returncode == 1, "there is no credential, so it reached nobody"
    assert view["by_outcome"] == {"suppressed": 1}

    traced = platform.run("trace", view["id"], "zoe")
    assert traced.returncode == 0
    assert "zoe" in traced.stdout
    assert "not sent, because: credential missing" in traced.stdout


def test_waiting_ends_where_a_message_waits_for_somebody(
    platform: Platform, tmp_path: Path
) -> None:
    """A message that paused itself says why; nobody is left before a silent terminal."""
    shop = {"authorization": f"Bearer {platform.key}"}
    with httpx.Client(base_url=platform.url, headers=shop, timeout=PATIENCE_S) as http:
        http.post("/v1/apps", json={"name": "shop"}).raise_for_status()
    made = platform.beside("keys", "create", "ci", "--scope", "admin", "--app", "shop", "--json")
    key = orjson.loads(made.stdout)["key"]
    mine = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=platform.url, headers=mine, timeout=PATIENCE_S) as http:
        http.put("/v1/credentials/fcm", json=make_fcm_credential()).raise_for_status()
        device = {"network": "fcm", "token": "t", "external_id": "ann", "time_zone": "UTC"}
        http.post("/v1/devices", json=device).raise_for_status()
    file = tmp_path / "message.json"
    words = {"title": "{{ user.first_name }}", "liquid": True, "missing": "fail"}
    file.write_bytes(orjson.dumps({"to": {"users": ["ann"]}, **words}))

    sent = platform.run("send", "--from-file", str(file), "--wait", "--key", key)

    assert sent.returncode == 1
    assert " is paused: 1 recipient has no value for `user.first_name`" in sent.stdout
    assert "waiting: 1 recipient has no value for `user.first_name`" in sent.stderr


def test_a_refusal_of_the_server_is_one_sentence(platform: Platform) -> None:
    """Exit code 3, and no traceback."""
    for arguments in (
        ("trace", "not-a-message", "ada"),
        ("send", "--to", "ada", "--title", "x", "--key", "clarion_admin_wrong"),
        ("send", "--to", "ada"),
    ):
        done = platform.run(*arguments)
        assert done.returncode == 3
        assert done.stderr.startswith("error: ")
        assert "Traceback" not in done.stderr


def test_keys_are_made_and_revoked_beside_the_platform(platform: Platform) -> None:
    """Straight in the state store, with no key at all."""
    made = platform.beside("keys", "create", "ci", "--scope", "send")
    key = made.stdout.splitlines()[0]
    assert key.startswith("clarion_send_")
    sent = run(
        [*CLARION, "send", "--to", "ada", "--title", "x", "--key", key], platform.environment
    )
    assert sent.returncode == 0

    listed = orjson.loads(platform.beside("keys", "list", "--json").stdout)
    (mine,) = (record for record in listed if record["name"] == "ci")
    assert (mine["scope"], mine["state"]) == ("send", "active")
    rotated = orjson.loads(platform.beside("keys", "rotate", mine["id"], "--json").stdout)
    assert platform.beside("keys", "revoke", rotated["id"]).returncode == 0
    assert platform.beside("keys", "revoke", rotated["id"]).returncode == 2
    states = orjson.loads(platform.beside("keys", "list", "--json").stdout)
    assert {r["id"]: r["state"] for r in states}[rotated["id"]] == "revoked"


def test_the_doctor_finds_a_platform_in_order(platform: Platform) -> None:
    """Engines, clock, leases, facts; credentials too, or that there is none yet.

    Right after other tests' work the facts may still be seconds behind, and the doctor says so;
    a machine that stood still between two looks at the clock has clocks that differ.
    """
    in_order = ("schema", "state store", "clock of the state store", "leases", "facts")
    give_up = time.monotonic() + START_S
    while True:
        done = platform.beside("doctor", "--json")
        report = orjson.loads(done.stdout)
        levels = {finding["what"]: finding["level"] for finding in report["findings"]}
        if done.returncode == 0 and all(levels[what] == "ok" for what in in_order):
            break
        assert time.monotonic() < give_up, report
    credentials = {level for what, level in levels.items() if "credential" in what}
    assert credentials
    assert credentials <= {"ok", "warn"}, report


def test_the_schema_is_up_to_date_while_it_runs(platform: Platform) -> None:
    """`migrate --check` says so with its exit code."""
    assert platform.beside("migrate", "--check").returncode == 0


def test_the_examples_work(platform: Platform) -> None:
    """Each as its page says."""
    says = {
        "quickstart.sh": '"reason":"credential_missing"',
        "send_message.py": "fcm: suppressed (credential_missing)",
        "import_devices.py": "2 of 3 rows are in\nline 4, network: ",
        "web_push_page.py": "applicationServerKey",
    }
    assert set(says) == {file.name for file in EXAMPLES.iterdir() if file.suffix in {".py", ".sh"}}
    for name, expected in says.items():
        program = "/bin/sh" if name.endswith(".sh") else sys.executable
        done = run([program, str(EXAMPLES / name)], platform.environment)
        assert done.returncode == 0, (name, done.stderr)
        assert expected in done.stdout, name


@pytest.mark.parametrize("name", ["CLARION_SERVER_PORT", "CLARION_PUSH_PORT"])
def test_a_taken_port_is_told_before_anything_starts(platform: Platform, name: str) -> None:
    """Exit code 4, and how to choose another."""
    taken = plain() | {"CLARION_SERVER_PORT": "0", name: platform.url.rpartition(":")[2]}
    done = run([*CLARION, "serve"], taken)
    assert done.returncode == 4
    assert name in done.stderr
    assert not done.stdout


def test_a_killed_platform_starts_again_and_finds_all(home: Path) -> None:
    """Its processes end by themselves; there is no second first key."""
    data = home / "again"
    process, url, said = start(data)
    key = re.search(r"clarion_admin_\w+", said)
    assert key is not None
    environment = plain() | {"CLARION_URL": url, "CLARION_KEY": key[0]}
    first = run([*CLARION, "send", "--to", "ada", "--title", "x"], environment)
    process.kill()
    process.communicate(timeout=START_S)

    process, url, said = start(data)
    assert "clarion_admin_" not in said
    environment["CLARION_URL"] = url
    traced = run([*CLARION, "trace", first.stdout.strip(), "ada"], environment)
    assert stop(process) == 0
    assert traced.returncode == 3, "the platform knows the message, and nobody of that name"
    assert "user" in traced.stderr

    stopped = run([*CLARION, "doctor"], plain() | {"CLARION_DATA_DIR": str(data)})
    assert stopped.returncode == 0, stopped.stdout
    assert "clarion serve" in stopped.stdout
