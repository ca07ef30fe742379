"""The embedded PostgreSQL under hard use: killed, orphaned, locked out, without space or rights."""

import asyncio
import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest
from tests.e2e.patience import PATIENCE_S

import clarion
from clarion.adapters.state import pg_child
from clarion.adapters.state.embedded import EmbeddedPostgres, EmbeddedSettings, start
from clarion.adapters.state.pg_binaries import WHEEL_PACKAGE, find
from clarion.adapters.state.pg_datadir import create
from clarion.adapters.state.pg_errors import AlreadyRunningError, EmbeddedPostgresError
from clarion.adapters.state.pg_locks import serves, stop_server
from clarion.adapters.state.pg_user import server_user

pytestmark = pytest.mark.timeout(600)

AS_ROOT: Final = os.geteuid() == 0
SOURCE: Final = Path(clarion.__file__).parents[1]
PACKAGES: Final = Path(asyncpg.__file__).parents[1]
PATIENT: Final = EmbeddedSettings(stop_timeout_s=PATIENCE_S)
"""A fast shutdown may take long on a busy machine, and is one all the same."""
# Starts a server, says its pid and address, and stays until told to stop.
LAUNCHER: Final = """
import sys
from pathlib import Path
from clarion.adapters.state.embedded import EmbeddedSettings, start
from clarion.adapters.state.pg_errors import EmbeddedPostgresError
try:
    server = start(Path(sys.argv[1]), settings=EmbeddedSettings(stop_timeout_s=120))
except EmbeddedPostgresError as error:
    sys.exit(f"refused: {error}")
print(server.pid, server.dsn, flush=True)
sys.stdin.read()
server.stop()
print(server.exit_status(), flush=True)
"""


@contextlib.contextmanager
def launcher(
    data_dir: Path, *wrapper: str, python: str = sys.executable, packages: Path = PACKAGES
) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs the launcher, optionally by way of a `wrapper` program."""
    process = subprocess.Popen(
        [*wrapper, python, "-c", LAUNCHER, str(data_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd="/",
        env={"PYTHONPATH": f"{SOURCE}:{packages}", "PATH": "/usr/bin:/bin"},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def started(process: subprocess.Popen[str]) -> tuple[int, str]:
    """The server's pid and address, once it runs."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline().split()
    assert len(line) == 2, process.stderr.read()
    return int(line[0]), line[1]


def refusal(process: subprocess.Popen[str]) -> str:
    """What the launcher said when it gave up."""
    out, err = process.communicate()
    assert process.returncode != 0, out
    assert err.startswith("refused: "), err
    return err


def wait_until_gone(pid: int, data_dir: Path) -> None:
    """Return once `pid` no longer serves the data; pytest's time limit ends a wait in vain."""
    while serves(pid, data_dir / "cluster"):
        time.sleep(0.01)


def wait_until_dead(server: EmbeddedPostgres) -> None:
    """Return once the launcher has seen its server end."""
    while server.exit_status() is None:
        time.sleep(0.01)


def orphan_on(data_dir: Path) -> subprocess.Popen[bytes]:
    """A server on this data that no launcher owns, ready for connections."""
    user = server_user("nobody")
    data = create(data_dir, user)
    binaries = find(data.binaries, user, wanted_major=None)
    argv = [str(binaries.postgres), "-D", str(data.cluster), "-c", "listen_addresses="]
    argv += ["-c", f"unix_socket_directories={data.sockets}"]
    orphan = subprocess.Popen(argv, cwd="/", stderr=subprocess.DEVNULL, **user.identity())
    pid_file = data.cluster / "postmaster.pid"
    while not (pid_file.exists() and "ready" in pid_file.read_text()):
        time.sleep(0.01)
    return orphan


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A program of the server's user that is not PostgreSQL."""
    process = subprocess.Popen(["/bin/sleep", "3600"], **server_user("nobody").identity())
    yield process
    process.kill()
    process.wait()


async def write(dsn: str, number: int) -> None:
    """Commit one row."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
    await connection.execute("INSERT INTO kept VALUES ($1)", number)
    await connection.close()


async def kept(dsn: str) -> list[int]:
    """All rows that were committed."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch("SELECT number FROM kept ORDER BY number")
    await connection.close()
    return [row["number"] for row in rows]


async def until_busy(dsn: str, backend: int) -> None:
    """Return once a backend runs its query over numbers."""
    busy = "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND query ~ 'series'"
    connection = await asyncpg.connect(dsn)
    async with asyncio.timeout(PATIENCE_S):
        while await connection.fetchval(busy, backend) is None:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.01)
    await connection.close()


async def test_a_restart_finds_the_data_and_a_stop_is_clean(short_dir: Path) -> None:
    """Stopping leaves no process, no pid file, no socket; starting again needs no recovery."""
    with start(short_dir / "pg", settings=PATIENT) as first:
        await write(first.dsn, 1)
    assert first.exit_status() == 0
    assert not serves(first.pid, short_dir / "pg" / "cluster")
    assert not (short_dir / "pg" / "cluster" / "postmaster.pid").exists()
    assert list((short_dir / "pg" / "run").iterdir()) == []
    with start(short_dir / "pg", settings=PATIENT) as second:
        assert await kept(second.dsn) == [1]
        assert second.dsn == first.dsn
    assert "automatic recovery" not in (short_dir / "pg" / "server.log").read_text()


async def test_a_killed_server_comes_back_with_every_committed_row(short_dir: Path) -> None:
    """Its death is seen, and the next start recovers what was acknowledged."""
    first = start(short_dir / "pg", settings=PATIENT)
    for number in range(5):
        await write(first.dsn, number)
    os.kill(first.pid, signal.SIGKILL)
    wait_until_dead(first)
    assert first.exit_status() == -signal.SIGKILL
    first.stop()
    with start(short_dir / "pg", settings=PATIENT) as second:
        assert await kept(second.dsn) == [0, 1, 2, 3, 4]


async def test_a_busy_backend_of_a_killed_server_is_waited_for(short_dir: Path) -> None:
    """A query that outlives its server would bar the next one; it is asked to end."""
    first = start(short_dir / "pg", settings=PATIENT)
    busy = await asyncpg.connect(first.dsn)
    backend = await busy.fetchval("SELECT pg_backend_pid()")
    send = busy.execute("SELECT count(*) FROM generate_series(1, 1000000000000)")
    task = asyncio.ensure_future(send)
    await until_busy(first.dsn, backend)
    os.kill(first.pid, signal.SIGKILL)
    wait_until_dead(first)
    first.stop()
    assert serves(backend, short_dir / "pg" / "cluster")
    with start(short_dir / "pg", settings=PATIENT) as second:
        await write(second.dsn, 1)
    assert not serves(backend, short_dir / "pg" / "cluster")
    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await task
    busy.terminate()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of a parent's death")
async def test_the_server_goes_when_its_launcher_is_killed(short_dir: Path) -> None:
    """A kill -9 of our process leaves no server behind, and the next start has the data."""
    with launcher(short_dir / "pg") as parent:
        pid, dsn = started(parent)
        await write(dsn, 7)
        parent.kill()
        parent.wait()
        wait_until_gone(pid, short_dir / "pg")
    with start(short_dir / "pg", settings=PATIENT) as server:
        assert await kept(server.dsn) == [7]


async def test_a_start_right_after_a_kill_waits_for_the_old_server(short_dir: Path) -> None:
    """A supervisor restarts us at once; the old server is still going down then."""
    with launcher(short_dir / "pg") as parent:
        _, dsn = started(parent)
        await write(dsn, 8)
        parent.kill()
        parent.wait()
        with start(short_dir / "pg", settings=PATIENT) as server:
            assert await kept(server.dsn) == [8]


async def test_an_orphaned_server_is_stopped_and_replaced(short_dir: Path) -> None:
    """A server that outlived its launcher, as on macOS, is shut down cleanly first."""
    with start(short_dir / "pg", settings=PATIENT) as first:
        await write(first.dsn, 9)
    orphan = orphan_on(short_dir / "pg")
    with start(short_dir / "pg", settings=PATIENT) as second:
        assert second.pid != orphan.pid
        assert await kept(second.dsn) == [9]
    assert orphan.wait() == 0


def test_a_server_that_takes_its_time_is_stopped_all_the_same(short_dir: Path) -> None:
    """Past the patience with a fast shutdown an immediate one is asked for, which is waited for."""
    start(short_dir / "pg", settings=PATIENT).stop()
    orphan = orphan_on(short_dir / "pg")
    stop_server(orphan.pid, short_dir / "pg" / "cluster", patience_s=0)
    orphan.wait()


async def test_a_stale_lock_with_the_pid_of_a_stranger_does_not_bar_the_start(
    short_dir: Path, stranger: subprocess.Popen[bytes]
) -> None:
    """After a crash another program carries the old pid, and is left in peace."""
    first = start(short_dir / "pg", settings=PATIENT)
    await write(first.dsn, 3)
    os.kill(first.pid, signal.SIGKILL)
    wait_until_dead(first)
    first.stop()
    pid_file = short_dir / "pg" / "cluster" / "postmaster.pid"
    old = pid_file.read_text().split("\n", 1)[1]
    pid_file.write_text(f"{stranger.pid}\n{old}")
    (short_dir / "pg" / "run" / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n{old}")
    with start(short_dir / "pg", settings=PATIENT) as second:
        assert await kept(second.dsn) == [3]
    assert stranger.poll() is None


async def test_a_second_process_is_refused_with_the_pid_of_the_first(short_dir: Path) -> None:
    """Both directions: the error names the process that has the database."""
    with launcher(short_dir / "pg") as first:
        started(first)
        with pytest.raises(AlreadyRunningError) as caught:
            start(short_dir / "pg", settings=PATIENT)
        assert caught.value.pid == first.pid
        out, _ = first.communicate()
        assert out == "0\n"


def test_ctrl_c_is_not_for_the_server(short_dir: Path) -> None:
    """The terminal's SIGINT reaches a process group; the server is in one of its own."""
    with start(short_dir / "pg", settings=PATIENT) as server:
        assert os.getpgid(server.pid) == server.pid


async def test_a_lost_password_is_replaced(short_dir: Path) -> None:
    """The data stays usable when the secret's file is gone."""
    with start(short_dir / "pg", settings=PATIENT) as first:
        await write(first.dsn, 4)
    (short_dir / "pg" / "password").unlink()
    with start(short_dir / "pg", settings=PATIENT) as second:
        assert second.dsn != first.dsn
        assert await kept(second.dsn) == [4]


def test_a_damaged_cluster_is_explained_and_left_alone(short_dir: Path) -> None:
    """The error says that it is damaged and what to do, and nothing is overwritten."""
    start(short_dir / "pg", settings=PATIENT).stop()
    control = short_dir / "pg" / "cluster" / "global" / "pg_control"
    damaged = control.read_bytes()[:40] + b"\xff" * 8 + control.read_bytes()[48:]
    control.write_bytes(damaged)
    with pytest.raises(EmbeddedPostgresError, match=r"damaged.*restore it from a backup"):
        start(short_dir / "pg", settings=PATIENT)
    assert control.read_bytes() == damaged


def test_a_first_start_that_was_cut_short_is_repeated(short_dir: Path) -> None:
    """The cluster appears whole or not at all; remains of half a one are removed."""
    half = short_dir / "pg" / "cluster.new-0badcafe"
    (half / "base").mkdir(parents=True)
    (short_dir / "pg").chmod(0o711)
    start(short_dir / "pg", settings=PATIENT).stop()
    assert not half.exists()
    assert (short_dir / "pg" / "cluster" / "PG_VERSION").exists()


def ordinary() -> tuple[str, tuple[str, ...]]:
    """An interpreter, and the wrapper that runs it as an ordinary user with a passwd entry."""
    if not AS_ROOT:
        return sys.executable, ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root without setpriv cannot become an ordinary user here")
    # setpriv looks its program up with root's rights still in force; env(1) looks again.
    wrapper = (setpriv, "--reuid=games", "--regid=games", "--clear-groups", "/usr/bin/env")
    probe = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([*wrapper, python, "-c", probe], capture_output=True, check=False)
        if done.returncode == 0:
            return python, wrapper
    pytest.skip("no Python 3.11 here that an ordinary user could run")


def home_of(folder: Path) -> Path:
    """A home directory of mode 700 that belongs to the ordinary user."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    if AS_ROOT:
        shutil.chown(home, "games", "games")
    return home


def test_a_private_home_keeps_its_mode(short_dir: Path) -> None:
    """An ordinary user's data lives in a home of mode 700, which stays 700."""
    python, wrapper = ordinary()
    home = home_of(short_dir)
    data = home / ".local" / "share" / "clarion" / "pg"
    with launcher(data, *wrapper, python=python) as process:
        pid, _ = started(process)
        assert Path(f"/proc/{pid}").stat().st_uid == home.stat().st_uid or not AS_ROOT
        out, _ = process.communicate()
        assert out == "0\n"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_an_unwritable_directory_is_explained(short_dir: Path) -> None:
    """An ordinary user with a data directory of somebody else is told which one."""
    python, wrapper = ordinary()
    closed = short_dir / "closed"
    closed.mkdir(mode=0o555)
    for data in (closed, closed / "pg"):
        with launcher(data, *wrapper, python=python) as process:
            said = refusal(process)
        assert f"{data} cannot be used: Permission denied. Make it writable" in said
    closed.chmod(0o700)


@pytest.mark.skipif(not AS_ROOT, reason="only root can take a uid without a passwd entry")
def test_a_uid_without_a_passwd_entry_is_refused_with_advice(short_dir: Path) -> None:
    """As in a container with an arbitrary uid: PostgreSQL would refuse less clearly."""
    python, (setpriv, *_) = ordinary()
    data = short_dir / "pg"
    with launcher(
        data, setpriv, "--reuid=54321", "--regid=54321", "--clear-groups", python=python
    ) as process:
        said = refusal(process)
    assert "uid 54321 has no entry" in said
    assert "CLARION_DATABASE_URL" in said


@pytest.mark.skipif(not AS_ROOT, reason="only root hands the server to another user")
def test_root_that_may_not_change_users_is_told_so(short_dir: Path) -> None:
    """A container that dropped the capabilities gets the reason, not a lost library."""
    _, (setpriv, *_) = ordinary()
    less = ("--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid")
    with launcher(short_dir / "pg", setpriv, *less) as process:
        said = refusal(process)
    assert "root may not become user 'nobody' here" in said or "cannot be used" in said


def program_of(pid: int) -> Path:
    """The file that a process runs."""
    return Path(f"/proc/{pid}/exe").readlink()


@pytest.mark.skipif(not AS_ROOT, reason="only root hands the server to another user")
async def test_root_copies_the_programs_out_of_a_closed_environment(short_dir: Path) -> None:
    """A virtual environment in a home of mode 700 works, and the home stays closed."""
    closed = short_dir / "venv"
    for part in PACKAGES.glob(f"{WHEEL_PACKAGE}*"):  # the package, and its libraries beside it
        shutil.copytree(part, closed / part.name)
    closed.chmod(0o700)
    data = short_dir / "pg"
    with launcher(data, packages=closed) as process:
        pid, dsn = started(process)
        await write(dsn, 1)
        assert program_of(pid).is_relative_to(data / "binaries")
        process.communicate()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    copy = next((data / "binaries").iterdir())
    with launcher(data, packages=closed) as process:
        started(process)
        process.communicate()
    assert list((data / "binaries").iterdir()) == [copy]


@pytest.fixture
def small_disk(short_dir: Path) -> Iterator[Path]:
    """A disk of 200 MiB."""
    if not AS_ROOT or sys.platform != "linux":
        pytest.skip("a small disk needs root and mount(8)")
    disk = short_dir / "disk"
    disk.mkdir()
    argv = ["mount", "-t", "tmpfs", "-o", "size=200m,mode=711", "tmpfs", str(disk)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small disk needs the right to mount: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path, *, leave: int) -> Path:
    """Take all of the disk but `leave` bytes."""
    volume = os.statvfs(disk)
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, volume.f_bavail * volume.f_frsize - leave)
    return ballast


async def test_a_full_disk_is_explained_and_loses_nothing(small_disk: Path) -> None:
    """Neither a first nor a later start hides it; with space again, the data is there."""
    ballast = fill(small_disk, leave=20 << 20)
    with pytest.raises(EmbeddedPostgresError, match=r"disk is full: \d+ MiB free"):
        start(small_disk / "pg")
    ballast.unlink()
    with start(small_disk / "pg") as first:
        await write(first.dsn, 5)
    ballast = fill(small_disk, leave=0)
    with pytest.raises(EmbeddedPostgresError, match=r"the disk is full\. Free some space"):
        start(small_disk / "pg")
    ballast.unlink()
    with start(small_disk / "pg") as second:
        assert await kept(second.dsn) == [5]


def test_a_slow_recovery_ends_in_a_clear_error(short_dir: Path) -> None:
    """Past its time limit the server is stopped again, and the lock is free."""
    with pytest.raises(EmbeddedPostgresError, match="did not become ready within 0 s"):
        start(short_dir / "pg", settings=EmbeddedSettings(start_timeout_s=0))
    start(short_dir / "pg", settings=PATIENT).stop()


@pytest.mark.skipif(sys.platform != "linux", reason="prctl(2) is Linux's")
def test_the_child_is_told_of_its_parents_death() -> None:
    """The request survives the change of user and the exec."""
    ask = "ctypes.CDLL(None).prctl(2, ctypes.byref(n))"  # PR_GET_PDEATHSIG
    report = f"import ctypes; n = ctypes.c_int(); {ask}; print(n.value)"
    uid, gid = (65534, 65534) if AS_ROOT else (-1, -1)
    argv = [sys.executable, "-I", "-S", str(Path(pg_child.__file__)), str(os.getpid())]
    python, _ = ordinary()
    argv += [str(uid), str(gid), python, "-c", report]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/")
    assert int(done.stdout) == signal.SIGINT
