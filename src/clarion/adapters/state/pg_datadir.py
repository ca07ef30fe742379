"""The embedded server's directory: what lies in it, and how its cluster is created.

owner.lock  our flock, with the owner's pid      password    the role's secret, mode 600
server.log  what the server wrote                run/        the socket, mode 700
cluster/    PostgreSQL's data, mode 700          binaries/   a copy, only where one is needed
"""

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clarion.adapters.state.pg_binaries import Binaries, run
from clarion.adapters.state.pg_errors import EmbeddedPostgresError, explain
from clarion.adapters.state.pg_user import ServerUser, closed_ancestor

ROLE: Final = "clarion"
DATABASE: Final = "clarion"
_LOWEST_FREE_MIB: Final = 128  # a new cluster takes 55 MiB, and its log needs room to grow
_MIB: Final = 1 << 20
# macOS allows 104 bytes for a socket's path, Linux 108; ".s.PGSQL.5432" and its slash take 14.
_LONGEST_SOCKET_DIR: Final = 88
_PLAIN_PATH = re.compile(r"[\w/.+@~-]+", re.ASCII)  # others would need quoting in lists and URLs
# Every connection proves the password; nothing arrives by TCP.
_HBA: Final = "local all all scram-sha-256\nlocal replication all scram-sha-256\n"


@dataclass(frozen=True, kw_only=True)
class DataDir:
    """The launcher's own directory. `sockets` lies elsewhere if the path would be too long."""

    root: Path
    sockets: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "cluster"

    @property
    def lock(self) -> Path:
        """The file that our flock is on."""
        return self.root / "owner.lock"

    @property
    def log(self) -> Path:
        """The server's output."""
        return self.root / "server.log"

    @property
    def secret(self) -> Path:
        """The file with the role's password."""
        return self.root / "password"

    @property
    def binaries(self) -> Path:
        """Where the wheel's programs are copied if the server's user cannot reach them."""
        return self.root / "binaries"


def create(path: Path, user: ServerUser) -> DataDir:
    """Make the directory and the one for the socket; existing parents keep their permissions.

    Raises:
        EmbeddedPostgresError: it cannot be written, or the server's user cannot get there.
    """
    root = path.expanduser().absolute()
    try:
        mode = 0o711 if user.switch else 0o700
        _make(root, mode)
        closed = closed_ancestor(root, user)
        if closed == root.resolve():  # it is ours, made by an earlier run or by the caller
            root.chmod(root.stat().st_mode | mode)
            closed = closed_ancestor(root, user)
    except OSError as error:
        raise _unwritable(root, error) from error
    if closed is not None:
        raise EmbeddedPostgresError(
            f"the embedded database runs as user {user.name!r}, who may not enter {closed}, so "
            f"its data cannot live in {root}. Choose a data directory outside of it, for example "
            "/var/lib/clarion, or run Clarion as an ordinary user."
        )
    if not os.access(root, os.W_OK | os.X_OK):
        raise _unwritable(root, PermissionError(13, "Permission denied"))
    return DataDir(root=root, sockets=_socket_dir(root, user))


def _make(folder: Path, mode: int) -> None:
    for missing in reversed([p for p in (folder, *folder.parents) if not p.exists()]):
        missing.mkdir()
        missing.chmod(mode)  # whatever the umask says


def _unwritable(root: Path, error: OSError) -> EmbeddedPostgresError:
    return EmbeddedPostgresError(
        f"the data directory {root} cannot be used: {error.strerror}. "
        "Make it writable for the user that runs Clarion, or choose another data directory."
    )


def _socket_dir(root: Path, user: ServerUser) -> Path:
    folder = root / "run"
    if len(os.fsencode(folder)) > _LONGEST_SOCKET_DIR or not _PLAIN_PATH.fullmatch(str(folder)):
        digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"clarion-{user.uid}-{digest}"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            user.give(folder)
        info = folder.lstat()
    except OSError as error:
        raise _unwritable(folder, error) from error
    # In a shared directory somebody else may have been there first.
    if folder.is_symlink() or info.st_uid != user.uid or info.st_mode & 0o077:
        raise EmbeddedPostgresError(
            f"the database's socket directory {folder} is not a directory of mode 700 that "
            f"belongs to user {user.name!r}. Remove it and start again."
        )
    return folder


def version_of(data: DataDir) -> int | None:
    """The major version that wrote the cluster; None if there is no cluster yet.

    Raises:
        EmbeddedPostgresError: there is something, but no cluster.
    """
    if not data.cluster.exists():
        return None
    try:
        return int((data.cluster / "PG_VERSION").read_text("ascii"))
    except PermissionError as error:
        raise _unwritable(data.cluster, error) from error
    except (OSError, ValueError):
        raise EmbeddedPostgresError(
            f"the data directory is damaged: {data.cluster / 'PG_VERSION'} is missing or "
            "unreadable. Nothing was changed: restore it from a backup, or move "
            f"{data.cluster} away to start empty."
        ) from None


def initialise(data: DataDir, binaries: Binaries, user: ServerUser, *, durable: bool) -> None:
    """Create the cluster, its role and its database; it appears whole or not at all.

    Raises:
        EmbeddedPostgresError: too little space, or PostgreSQL's programs failed.
    """
    volume = os.statvfs(data.root)
    free = volume.f_bavail * volume.f_frsize // _MIB
    if free < _LOWEST_FREE_MIB:
        raise EmbeddedPostgresError(
            f"the disk is full: {free} MiB free in {data.root}, and a new database needs "
            f"{_LOWEST_FREE_MIB} MiB. Free some space, or choose another data directory."
        )
    for leftover in data.root.glob("cluster.new-*"):
        shutil.rmtree(leftover)
    fresh = data.root / f"cluster.new-{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    user.give(fresh)
    # Byte order everywhere and on every machine: an index never breaks when a C library's
    # collation changes. The builtin provider adds Unicode case mapping without a C library.
    locale = ["--locale=C"]
    if binaries.major >= 17:  # noqa: PLR2004  (the version that brought the provider)
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = run(
        [
            str(binaries.initdb),
            f"--pgdata={fresh}",
            f"--username={ROLE}",
            "--encoding=UTF8",
            *locale,
            "--data-checksums",
            "--auth=trust",  # replaced below, before anything can connect
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
        ],
        user,
    )
    if done.returncode != 0:
        shutil.rmtree(fresh, ignore_errors=True)
        raise explain("be created", data.root, done.stdout)
    hba = fresh / "pg_hba.conf"
    hba.write_text(_HBA, "ascii")
    renew_password(data, binaries, user, cluster=fresh)
    _single(fresh, binaries, user, f"CREATE DATABASE {DATABASE};\n")
    fresh.rename(data.cluster)
    _sync(data.root)


def renew_password(
    data: DataDir, binaries: Binaries, user: ServerUser, *, cluster: Path | None = None
) -> None:
    """Give the role a new random password and keep it in a file that only we can read.

    Raises:
        EmbeddedPostgresError: the server's programs refused.
    """
    password = secrets.token_hex(32)
    sql = f"ALTER ROLE {ROLE} PASSWORD '{password}';\n"
    _single(cluster or data.cluster, binaries, user, sql)
    unfinished = data.secret.with_suffix(".new")
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write(password)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(data.secret)
    _sync(data.root)


def _single(cluster: Path, binaries: Binaries, user: ServerUser, sql: str) -> None:
    """Run SQL in the server's single-user mode, which needs no connection and no password."""
    # 256 random bits need no stretching, and a client pays for each iteration on every connect.
    quick = ["-c", "scram_iterations=1"] if binaries.major >= 16 else []  # noqa: PLR2004  (new there)
    quiet = ["-c", "log_min_messages=error", "-c", "log_min_error_statement=panic"]
    argv = [str(binaries.postgres), "--single", "-D", str(cluster), *quick, *quiet, "postgres"]
    done = run(argv, user, text=sql)
    if done.returncode != 0 or "ERROR:" in done.stdout:
        raise explain("be prepared", cluster.parent, done.stdout)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
