"""This machine: room on the disk, permissions, limits."""

import os
import resource
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clarion.app.doctor_finding import Finding, Level
from clarion.app.push_room import SPARE_FILES, files_allowed, room_for
from clarion.app.setting_push import Push
from clarion.app.settings import Settings

GIB: Final = 1 << 30
LITTLE_ROOM: Final = 5 * GIB
NO_ROOM: Final = GIB // 2
FILES_WANTED: Final = 4096
FILES_NEEDED: Final = 512
FEW_DEVICES: Final = 10_000


def examine_host(settings: Settings) -> Iterator[Finding]:
    """Look at the machine; asks no other process."""
    yield Finding("settings", Level.OK, "they can be read, and every name is known")
    yield _room(settings.data_dir)
    yield from _permissions(settings)
    yield _files()
    if settings.push.processes:
        yield _connections(settings.push)
    yield from _trusted(settings)


def _room(folder: Path) -> Finding:
    near = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(near).free
    level = Level.FAIL if free < NO_ROOM else Level.WARN if free < LITTLE_ROOM else Level.OK
    advice = (
        "" if level is Level.OK else "make room, or move the data (data.dir): a full disk stops"
    )
    return Finding("disk", level, f"{free / GIB:.1f} GiB free below {near}", advice)


def _permissions(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if not folder.exists():
        yield Finding("data directory", Level.OK, f"{folder} will be made at the first start")
        return
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        advice = "run as the user who owns it, or name another with data.dir"
        yield Finding("data directory", Level.FAIL, f"{folder} can't be written", advice)
        return
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH | stat.S_IROTH):
        advice = f"run chmod go-w,o-r {folder}"
        found = f"{folder} is open to others (mode {mode:o})"
        yield Finding("data directory", Level.WARN, found, advice)
    else:
        yield Finding("data directory", Level.OK, f"{folder}, mode {mode:o}")
    key = settings.data.master_key_file or folder / "master.key"
    if key.exists():
        yield _master_key(key)


def _master_key(file: Path) -> Finding:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        advice = f"run chmod 600 {file}"
        return Finding("master key", Level.FAIL, f"others may read {file} (mode {mode:o})", advice)
    advice = "keep a copy of it elsewhere: without it no credential can be opened"
    return Finding("master key", Level.OK, f"{file}, mode {mode:o}", advice)


def _files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = soft == resource.RLIM_INFINITY
    level = (
        Level.OK
        if unlimited or soft >= FILES_WANTED
        else Level.WARN
        if soft >= FILES_NEEDED
        else Level.FAIL
    )
    advice = "" if level is Level.OK else f"run ulimit -n {FILES_WANTED} (the hard limit is {hard})"
    return Finding("open files", level, f"a process may open {soft}", advice)


def _connections(push: Push) -> Finding:
    room = room_for(push, files_allowed())
    found = f"a process of the push service holds {room:,} of them"
    if room == push.connections:
        return Finding("devices", Level.OK, found)
    found += f" (push.connections is {push.connections:,}, and each is an open file)"
    level = Level.OK if room >= FEW_DEVICES else Level.WARN
    advice = (
        f"raise the hard limit of open files to {push.connections + SPARE_FILES} (LimitNOFILE= of "
        "systemd, --ulimit nofile= of Docker), or let more processes share the port "
        "(push.processes)"
    )
    return Finding("devices", level, found, advice)


def _trusted(settings: Settings) -> Iterator[Finding]:
    ca_file = settings.egress.ca_file
    if ca_file is None:
        return
    if ca_file.is_file() and os.access(ca_file, os.R_OK):
        found = f"{ca_file} is trusted besides the system's authorities"
        yield Finding("authorities", Level.OK, found)
    else:
        advice = "correct egress.ca_file, or remove it"
        yield Finding("authorities", Level.FAIL, f"{ca_file} can't be read", advice)
