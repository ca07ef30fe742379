"""What can keep the embedded PostgreSQL from running, each with what to do about it."""

from pathlib import Path
from typing import Final

USE_YOUR_OWN: Final = (
    "Or run a PostgreSQL server yourself and set CLARION_DATABASE_URL to its address."
)


class EmbeddedPostgresError(Exception):
    """The embedded server cannot run here; the text ends with what to do."""


class AlreadyRunningError(EmbeddedPostgresError):
    """Another living process owns the data directory.

    Attributes:
        pid: the owner's process id, or None if it had not written it yet.
    """

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.pid = pid
        owner = "another process" if pid is None else f"process {pid}"
        super().__init__(
            f"{owner} already runs the embedded database in {data_dir}. "
            "Stop it first, or give this one a data directory of its own."
        )


# What the server wrote, in the order of asking → (what it means, what to do).
_MEANINGS: Final = (
    (
        ("No space left on device", "Disk quota exceeded"),
        "the disk is full",
        "Free some space on that volume and start again; committed data is safe.",
    ),
    (
        ("Read-only file system",),
        "the disk is mounted read-only",
        "Mount it writable, or choose another data directory.",
    ),
    (
        ("initialized by PostgreSQL version", "database files are incompatible with server"),
        "the data is damaged, or was written by a PostgreSQL that was built differently",
        "Start it with the PostgreSQL that wrote it, or restore it from a backup.",
    ),
    (
        ("pre-existing shared memory block",),
        "processes of a server that was killed still use the data",
        "End the remaining postgres processes of this data directory, then start again.",
    ),
    (
        ("could not bind Unix", "already in use", "Is another postmaster"),
        "another server holds the socket or the data",
        "Stop the other server, or choose another data directory.",
    ),
    (
        ("Cannot allocate memory", "could not map anonymous shared memory", "out of memory"),
        "there is not enough memory",
        "Close other programs, or lower the database's shared buffers.",
    ),
    (
        (
            "checkpoint record",
            "PANIC",
            "control file",
            "pg_control",
            "invalid page",
            "could not open directory",
            "could not open file",
            "could not read file",
            "invalid data",
        ),
        "the data directory is damaged",
        "Nothing in it was changed: restore it from a backup, or move it away to start empty.",
    ),
    (
        ("Permission denied", "Operation not permitted", "invalid permissions", "wrong ownership"),
        "the server may not read or write its data",
        "Give the data directory to the user that runs Clarion, or choose another one.",
    ),
)


def explain(task: str, data_dir: Path, output: str) -> EmbeddedPostgresError:
    """Turn what PostgreSQL wrote before it gave up into an error that says what to do.

    Args:
        task: what was attempted, as in "the embedded database could not {task}".
        data_dir: the launcher's directory, named in the text.
        output: the server's own last lines; they are quoted.
    """
    quoted = "\n  ".join(output.strip().splitlines()[-6:]) or "(it wrote nothing)"
    meaning, advice = next(
        ((what, do) for signs, what, do in _MEANINGS if any(sign in output for sign in signs)),
        ("PostgreSQL gave up", f"See {data_dir / 'server.log'}. {USE_YOUR_OWN}"),
    )
    return EmbeddedPostgresError(
        f"the embedded database could not {task} in {data_dir}: {meaning}. {advice}\n  {quoted}"
    )
