"""Who owns the data directory: our own lock, and the lock files that PostgreSQL leaves behind.

Our lock is an flock, so it vanishes with its owner however that one died. PostgreSQL's are files
with a pid, which may be stale, or belong by now to an unrelated program.
"""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from clarion.adapters.state.pg_errors import AlreadyRunningError, EmbeddedPostgresError

PORT = 5432  # part of the socket's file name only: nothing listens on TCP
_POLL_S = 0.01
_TO_WRITE_S = 0.05
_IMMEDIATE_S = 60.0
_PROC = Path("/proc/self")  # Linux; elsewhere ps(1) is asked


class OwnerLock:
    """An exclusive lock on the data directory, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            AlreadyRunningError: a living process holds it.
            OSError: the file cannot be written.
        """
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_TO_WRITE_S)  # its owner may have taken it just now
            written = os.read(self._fd, 32).strip()
            os.close(self._fd)
            raise AlreadyRunningError(
                path.parent, int(written) if written.isdigit() else None
            ) from None
        except BaseException:
            os.close(self._fd)
            raise
        # A forked child shares the lock's file description and would keep it after our death.
        os.register_at_fork(after_in_child=self.release)
        try:
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode())
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


@dataclass(frozen=True, kw_only=True)
class PidFile:
    """What ``postmaster.pid`` says (PostgreSQL's pidfile.h, lines 1 and 8)."""

    pid: int
    status: str


def read_pid_file(cluster: Path) -> PidFile | None:
    """Read ``postmaster.pid``; None if it is absent or half written."""
    try:
        lines = (cluster / "postmaster.pid").read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return None
    if not lines or not lines[0].strip().isdigit():
        return None
    return PidFile(pid=int(lines[0]), status=lines[7].strip() if len(lines) > 7 else "")  # noqa: PLR2004  (status is line 8 of the file)


def serves(pid: int, cluster: Path) -> bool:
    """Whether `pid` is a living postgres whose data directory is `cluster`.

    A pid alone proves nothing: after a crash or a restart of the container, another program may
    carry it.
    """
    if _PROC.exists():
        return _serves_by_proc(_PROC.parent / str(pid), cluster)
    return _serves_by_ps(pid, cluster)


def _serves_by_proc(process: Path, cluster: Path) -> bool:
    try:
        # The server changes into its data directory and stays there; a zombie has no exe.
        program = (process / "exe").readlink().name
        where = (process / "cwd").readlink()
    except OSError:
        return False
    return program.startswith("postgres") and where == cluster.resolve()


def _serves_by_ps(pid: int, cluster: Path) -> bool:
    listed = subprocess.run(  # noqa: S603  (fixed program, a number as its argument)
        ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return "postgres" in listed.stdout and str(cluster) in listed.stdout


def clear_crash(cluster: Path, sockets: Path, *, patience_s: float) -> None:
    """Remove what a crash left, so that the next server starts; the caller holds our lock.

    A server that outlived its launcher is stopped cleanly. A pid file that names a living
    process of another program, which PostgreSQL would take for a server, is disarmed.

    Raises:
        EmbeddedPostgresError: the old server does not stop, or a stranger answers on our socket.
    """
    found = read_pid_file(cluster)
    if found is not None and serves(found.pid, cluster):
        stop_server(found.pid, cluster, patience_s=patience_s)
    elif found is not None:
        _disarm(cluster / "postmaster.pid")
    _end_survivors(cluster)
    path = sockets / f".s.PGSQL.{PORT}"
    if _answers(path):
        raise EmbeddedPostgresError(
            f"another program answers on the database's socket {path}. "
            "Stop it, or choose another data directory."
        )
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.lock").unlink(missing_ok=True)


def stop_server(pid: int, cluster: Path, *, patience_s: float) -> None:
    """Stop a server that is not our child: fast shutdown, then immediate, then give up.

    An immediate shutdown ends whatever happens, since the server kills after five seconds who does
    not go: it is waited for on a machine that has no time for it, too.

    Raises:
        EmbeddedPostgresError: it is still there.
    """
    for signum, seconds in ((signal.SIGINT, patience_s), (signal.SIGQUIT, _IMMEDIATE_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not serves(pid, cluster):
                return
            time.sleep(_POLL_S)
    raise EmbeddedPostgresError(
        f"the PostgreSQL server with pid {pid}, left over from an earlier run on {cluster}, does "
        f"not stop. End it with `kill -QUIT {pid}`, then start again."
    )


def _end_survivors(cluster: Path) -> None:
    """Ask backends of a killed server to end; idle ones have noticed its death by themselves."""
    if not _PROC.exists():
        return
    for process in _PROC.parent.glob("[0-9]*"):
        if _serves_by_proc(process, cluster):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGTERM)


def _disarm(pid_file: Path) -> None:
    # Deleting the file would also delete its shared memory key, by which PostgreSQL refuses to
    # start beside surviving backends of a killed server. It ignores a pid file that names its
    # own parent (miscinit.c, CreateLockFile), and that is us.
    _, newline, rest = pid_file.read_bytes().partition(b"\n")
    with pid_file.open("r+b") as file:
        file.write(f"{os.getpid()}".encode() + newline + rest)
        file.truncate()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True
