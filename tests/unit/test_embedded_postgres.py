"""The embedded PostgreSQL as tests and callers see it, and the rules around starting it."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from clarion.adapters.state.embedded import (
    EmbeddedPostgres,
    EmbeddedSettings,
    running,
    start,
)
from clarion.adapters.state.pg_binaries import find
from clarion.adapters.state.pg_datadir import create
from clarion.adapters.state.pg_errors import AlreadyRunningError, EmbeddedPostgresError, explain
from clarion.adapters.state.pg_locks import OwnerLock, clear_crash, read_pid_file, serves
from clarion.adapters.state.pg_user import (
    ServerUser,
    closed_ancestor,
    default_data_dir,
    server_user,
)

AS_ROOT = os.geteuid() == 0


async def test_a_fresh_database_speaks_utf8_and_utc(database_url: str) -> None:
    """Text is UTF-8, sorted by bytes, and times are UTC, whatever the machine's locale."""
    connection = await asyncpg.connect(database_url)
    row = await connection.fetchrow(
        "SELECT current_setting('server_encoding'), current_setting('timezone'),"
        " upper('straße é'), 'Z' < 'a'"
    )
    await connection.close()
    assert tuple(row) == ("UTF8", "UTC", "STRAßE É", True)


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_has_a_database_of_its_own(database_url: str, turn: int) -> None:
    """A table that one test makes is not there in the next."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE only_mine (turn int)")
    await connection.execute("INSERT INTO only_mine VALUES ($1)", turn)
    assert await connection.fetchval("SELECT count(*) FROM only_mine") == 1
    await connection.close()


async def test_the_password_is_required(postgres_server: EmbeddedPostgres) -> None:
    """Reaching the socket is not enough: another local user's wrong password is refused."""
    wrong = re.sub(r":[0-9a-f]{64}@", ":guess@", postgres_server.dsn)
    assert wrong != postgres_server.dsn
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(wrong)


def test_only_the_server_may_enter_its_directories(postgres_server: EmbeddedPostgres) -> None:
    """Data, socket and secret are closed to other users, and the password is not in the repr."""
    modes = {
        name: stat.S_IMODE((postgres_server.data_dir / name).stat().st_mode)
        for name in ("cluster", "run", "password", "server.log")
    }
    assert modes == {"cluster": 0o700, "run": 0o700, "password": 0o600, "server.log": 0o600}
    secret = (postgres_server.data_dir / "password").read_text()
    assert secret in postgres_server.dsn
    assert secret not in repr(postgres_server)


async def test_errors_are_logged_without_values(
    database_url: str, postgres_server: EmbeddedPostgres
) -> None:
    """A duplicate's value, which may be a push token, never reaches the server's log."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("CREATE TABLE seen (token text PRIMARY KEY)")
    await connection.execute("INSERT INTO seen VALUES ('hush-hush')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO seen VALUES ('hush-hush')")
    await connection.close()
    log = (postgres_server.data_dir / "server.log").read_text()
    assert "seen_pkey" in log
    assert "hush-hush" not in log


def test_a_second_start_is_refused_with_the_pid_of_the_first(
    postgres_server: EmbeddedPostgres,
) -> None:
    """Two launchers never run one data directory; the error names who has it."""
    with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()} already runs") as caught:
        start(postgres_server.data_dir)
    assert caught.value.pid == os.getpid()
    assert postgres_server.exit_status() is None


def test_the_lock_goes_with_its_owner(short_dir: Path) -> None:
    """A killed owner leaves no lock, even though it wrote its pid."""
    script = (
        "import sys, time; from pathlib import Path\n"
        "from clarion.adapters.state.pg_locks import OwnerLock\n"
        "lock = OwnerLock(Path(sys.argv[1])); print('held', flush=True); time.sleep(600)"
    )
    path = short_dir / "owner.lock"
    owner = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"held\n"
    with pytest.raises(AlreadyRunningError) as caught:
        OwnerLock(path)
    assert caught.value.pid == owner.pid
    owner.kill()
    owner.communicate()
    OwnerLock(path).release()


def test_a_forked_child_does_not_keep_the_lock(short_dir: Path) -> None:
    """After the owner lets go, a child it forked meanwhile does not stand in the way."""
    path = short_dir / "owner.lock"
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from clarion.adapters.state.pg_locks import OwnerLock\n"
        "lock = OwnerLock(Path(sys.argv[1]))\n"
        "pid = os.fork()\n"
        "if pid == 0: print(os.getpid(), flush=True); time.sleep(600)\n"
        "os._exit(0)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    owner.wait()
    try:
        OwnerLock(path).release()
    finally:
        os.kill(child, signal.SIGKILL)
        owner.stdout.close()


@pytest.fixture
def bystander() -> Iterator[int]:
    """A living process that is not PostgreSQL."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process.pid
    process.kill()
    process.wait()


def test_a_pid_file_that_names_a_stranger_is_disarmed(short_dir: Path, bystander: int) -> None:
    """A reused pid is replaced by ours, and the shared memory key below it stays."""
    pid_file = short_dir / "postmaster.pid"
    rest = f"\n{short_dir}\n1700000000\n5432\n/run\n\n 1234 5\nready\n"
    pid_file.write_text(f"{bystander}{rest}")
    clear_crash(short_dir, short_dir, patience_s=5)
    assert pid_file.read_text() == f"{os.getpid()}{rest}"
    os.kill(bystander, 0)


def test_a_server_is_recognised_by_its_data_directory(
    postgres_server: EmbeddedPostgres, bystander: int, short_dir: Path
) -> None:
    """Neither another program nor a server on other data counts as ours."""
    cluster = postgres_server.data_dir / "cluster"
    assert serves(postgres_server.pid, cluster)
    assert not serves(postgres_server.pid, short_dir)
    assert not serves(bystander, cluster)
    found = read_pid_file(cluster)
    assert found is not None
    assert (found.pid, found.status) == (postgres_server.pid, "ready")


def test_a_stranger_on_our_socket_is_not_pushed_aside(short_dir: Path) -> None:
    """A busy socket is an error that names it; the stranger keeps listening."""
    path = short_dir / ".s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(path))
        stranger.listen()
        with pytest.raises(EmbeddedPostgresError, match="another program answers on the database"):
            clear_crash(short_dir, short_dir, patience_s=5)
        assert path.exists()


def test_a_dead_socket_is_removed(short_dir: Path) -> None:
    """Socket and lock file of a killed server do not block the next one."""
    path = short_dir / ".s.PGSQL.5432"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    path.with_name(".s.PGSQL.5432.lock").write_text("1\n")
    clear_crash(short_dir, short_dir, patience_s=5)
    assert list(short_dir.iterdir()) == []


def test_a_long_path_gets_a_short_socket_directory(short_dir: Path) -> None:
    """Socket paths end at 104 bytes on macOS, and data directories do not."""
    deep = short_dir / ("d" * 60) / ("e" * 60)
    data = create(deep, server_user("nobody"))
    assert data.cluster == deep / "cluster"
    assert len(str(data.sockets)) < 89
    assert stat.S_IMODE(data.sockets.stat().st_mode) == 0o700
    data.sockets.rmdir()


def test_a_socket_directory_of_somebody_else_is_refused(short_dir: Path) -> None:
    """A link laid where our socket will be is not followed."""
    data = short_dir / "pg"
    data.mkdir()
    (data / "run").symlink_to(short_dir)
    with pytest.raises(EmbeddedPostgresError, match="is not a directory of mode 700"):
        start(data)


def test_a_file_in_place_of_the_data_directory_is_explained(short_dir: Path) -> None:
    """The error names the path and says what to choose."""
    (short_dir / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"file/pg cannot be used: Not a directory"):
        start(short_dir / "file" / "pg")


def test_a_cluster_of_another_version_is_left_alone(short_dir: Path) -> None:
    """The error names both versions and the way out."""
    cluster = short_dir / "pg" / "cluster"
    cluster.mkdir(parents=True)
    (cluster / "PG_VERSION").write_text("9\n")
    (short_dir / "pg").chmod(0o711)
    with pytest.raises(EmbeddedPostgresError, match="written by PostgreSQL 9") as caught:
        start(short_dir / "pg")
    assert "CLARION_DATABASE_URL" in str(caught.value)
    assert [path.name for path in cluster.iterdir()] == ["PG_VERSION"]


def test_a_cluster_without_version_is_called_damaged(short_dir: Path) -> None:
    """A half-deleted directory is not overwritten by an empty database."""
    (short_dir / "pg" / "cluster").mkdir(parents=True)
    with pytest.raises(EmbeddedPostgresError, match=r"damaged.*restore it from a backup"):
        start(short_dir / "pg")


def test_the_wheel_is_preferred(short_dir: Path) -> None:
    """With the wheel installed, its PostgreSQL 18 is used before the system's."""
    assert find(short_dir / "copies", server_user("nobody"), wanted_major=None).major == 18


@pytest.mark.skipif(not AS_ROOT, reason="only root chooses the server's user")
def test_root_needs_a_user_for_the_server(short_dir: Path) -> None:
    """Without an unprivileged user, the advice is to run a server and give its address."""
    with pytest.raises(EmbeddedPostgresError, match="CLARION_DATABASE_URL"):
        start(short_dir / "pg", settings=EmbeddedSettings(run_as="no-such-user"))
    with pytest.raises(EmbeddedPostgresError, match="refuses to run as root"):
        start(short_dir / "pg", settings=EmbeddedSettings(run_as="root"))


@pytest.mark.skipif(not AS_ROOT, reason="only root hands the server to another user")
def test_a_closed_directory_is_named_and_stays_closed(short_dir: Path) -> None:
    """If the server's user cannot get to the data, no permission is widened to let it."""
    home = short_dir / "home"
    home.mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=f"may not enter {re.escape(str(home))}"):
        start(home / "clarion" / "pg")
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_reachability_follows_the_class_of_the_user(short_dir: Path) -> None:
    """Owner, group and others are separate classes, as the kernel checks them."""
    folder = short_dir / "x"
    folder.mkdir()
    info = folder.stat()
    stranger = ServerUser(name="s", uid=info.st_uid + 1, gid=info.st_gid + 1, switch=False)
    member = ServerUser(name="m", uid=info.st_uid + 1, gid=info.st_gid, switch=False)
    folder.chmod(0o710)
    assert closed_ancestor(folder, member) is None
    assert closed_ancestor(folder, stranger) == folder.resolve()
    folder.chmod(0o701)
    assert closed_ancestor(folder, member) == folder.resolve()
    assert closed_ancestor(folder, stranger) is None
    folder.chmod(0o700)


@pytest.mark.parametrize(
    ("root", "xdg", "expected"),
    [
        (True, "/data", "/var/lib/clarion"),
        (False, "/data", "/data/clarion"),
        (False, "", "/home/ada/.local/share/clarion"),
        (False, "relative", "/home/ada/.local/share/clarion"),
    ],
)
def test_the_default_data_directory(*, root: bool, xdg: str, expected: str) -> None:
    """Root's data is the system's; everybody else follows the XDG specification."""
    home = Path("/home/ada")
    assert default_data_dir(root=root, home=home, xdg_data_home=xdg) == Path(expected)


@pytest.mark.parametrize(
    ("line", "meaning"),
    [
        ('FATAL:  could not write to file "x": No space left on device', "the disk is full"),
        ("FATAL:  pre-existing shared memory block (key 1, ID 2) is still in use", "was killed"),
        ("PANIC:  could not locate a valid checkpoint record at 0/0", "damaged"),
        ("FATAL:  could not map anonymous shared memory: Cannot allocate memory", "enough memory"),
        ("FATAL:  something new", "PostgreSQL gave up"),
    ],
)
def test_what_the_server_wrote_is_explained_and_quoted(line: str, meaning: str) -> None:
    """An operator reads what it means, what to do, and the server's own words."""
    text = str(explain("start", Path("/data"), line))
    assert meaning in text
    assert line in text


async def test_an_event_loop_starts_and_stops_it_in_a_thread(short_dir: Path) -> None:
    """The thread of the pool that started it may end without ending the server."""
    async with running(short_dir / "pg") as server:
        connection = await asyncpg.connect(server.dsn)
        assert await connection.fetchval("SHOW fsync") == "on"
        await connection.close()
    assert server.exit_status() == 0
