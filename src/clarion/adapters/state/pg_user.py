"""Which system user the embedded PostgreSQL runs as.

``postgres`` refuses to run as root, and refuses a uid that has no passwd entry. Root therefore
hands the server to an unprivileged user; everybody else runs it as themselves.
"""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from clarion.adapters.state.pg_errors import USE_YOUR_OWN, EmbeddedPostgresError


class Identity(TypedDict, total=False):
    """The arguments of ``subprocess.Popen`` that change the user; empty when nothing changes."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, kw_only=True)
class ServerUser:
    """The system user of the server process; `switch` when we are root and must change to it."""

    name: str
    uid: int
    gid: int
    switch: bool

    def identity(self) -> Identity:
        """Arguments for ``subprocess`` that start a program as this user."""
        if not self.switch:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make this user the owner of `path`, which must lie in our own data directory."""
        if self.switch:
            os.chown(path, self.uid, self.gid)


def server_user(run_as: str) -> ServerUser:
    """Choose the server's user: `run_as` if we are root, otherwise ourselves.

    Raises:
        EmbeddedPostgresError: no such user, or our uid has no passwd entry.
    """
    uid = os.geteuid()
    try:
        entry = pwd.getpwnam(run_as) if uid == 0 else pwd.getpwuid(uid)
    except KeyError:
        who = f"user {run_as!r}" if uid == 0 else f"uid {uid}"
        raise EmbeddedPostgresError(
            f"{who} has no entry in the system's user database, and PostgreSQL refuses to run "
            f"without one. Add an entry (in a container: a line in /etc/passwd). {USE_YOUR_OWN}"
        ) from None
    if entry.pw_uid == 0:
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root, and {run_as!r} is root. "
            "Name an unprivileged user for the embedded database."
        )
    return ServerUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, switch=uid == 0)


def closed_ancestor(path: Path, user: ServerUser) -> Path | None:
    """The first directory on the way to `path` that `user` may not enter, or None.

    Reads permission bits only (owner, group, other); access lists are not considered.
    """
    resolved = path.resolve()
    for folder in (*reversed(resolved.parents), resolved):
        info = folder.stat()
        if info.st_uid == user.uid:
            enter = stat.S_IXUSR
        elif info.st_gid == user.gid:
            enter = stat.S_IXGRP
        else:
            enter = stat.S_IXOTH
        if not info.st_mode & enter:
            return folder
    return None


def default_data_dir(*, root: bool, home: Path, xdg_data_home: str) -> Path:
    """Where Clarion keeps its data when nobody says otherwise.

    Args:
        root: whether the process runs as root.
        home: the user's home directory.
        xdg_data_home: the value of ``XDG_DATA_HOME``, "" if unset; a relative path is ignored,
            as the XDG Base Directory Specification asks.
    """
    if root:
        return Path("/var/lib/clarion")
    stated = Path(xdg_data_home)
    return (stated if stated.is_absolute() else home / ".local" / "share") / "clarion"
