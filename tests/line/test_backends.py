"""Connections of bulk roles yield the processor, those of prompt roles have it in short turns."""

import ctypes
import os
import platform
import re
import struct
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from tests.line.conftest import Store

from clarion.adapters.processor import SESSION_NICENESS, SHORT_TURN_NS
from clarion.adapters.state.backends import BULK_NICENESS, Backends, named

_OURS = Path("/proc/self/autogroup")
_SESSIONS = _OURS.exists() and _OURS.read_text(encoding="ascii").startswith("/autogroup-")


def session_niceness(pid: int) -> int:
    """How much a session yields to the others, where Linux schedules sessions."""
    text = Path(f"/proc/{pid}/autogroup").read_text(encoding="ascii")
    found = re.fullmatch(r"/autogroup-\d+ nice (-?\d+)\n", text)
    assert found
    return int(found[1])


def turn_ns(pid: int) -> int:
    """How long a process may have the processor at a time; 0 where that can't be known."""
    number = {"x86_64": 315, "aarch64": 275}.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return 0
    said = ctypes.create_string_buffer(48)  # sched_getattr(2)
    if ctypes.CDLL(None).syscall(number, pid, said, len(said), 0):
        return 0
    runtime: int = struct.unpack_from("=Q", said, 24)[0]
    return runtime


_TURNS = turn_ns(os.getpid()) > 0  # Linux from 6.12 on


async def test_only_what_works_for_a_bulk_role_yields(store: Store, database_url: str) -> None:
    """A backend is told by the role's name in the address."""
    urgent = await asyncpg.connect(named(database_url, "api"))
    bulk = await asyncpg.connect(named(database_url, "planner"))
    before = os.getpriority(os.PRIO_PROCESS, urgent.get_server_pid())
    try:
        usual = turn_ns(bulk.get_server_pid())
        backends = Backends(store.pool, ["planner", "sender"], ["api"])
        await backends.arrange()
        await backends.arrange()

        assert os.getpriority(os.PRIO_PROCESS, bulk.get_server_pid()) == BULK_NICENESS
        assert os.getpriority(os.PRIO_PROCESS, urgent.get_server_pid()) == before
        if _SESSIONS:  # each backend is a session of its own, among which niceness says nothing
            assert session_niceness(bulk.get_server_pid()) == SESSION_NICENESS
            assert session_niceness(urgent.get_server_pid()) == 0
        if _TURNS:
            assert turn_ns(urgent.get_server_pid()) == SHORT_TURN_NS
            assert turn_ns(bulk.get_server_pid()) == usual > SHORT_TURN_NS
    finally:
        await urgent.close()
        await bulk.close()


@pytest.mark.skipif(not _SESSIONS, reason="this system does not schedule sessions")
@pytest.mark.parametrize(("role", "lowered"), [("planner", True), ("api", False)])
def test_a_bulk_role_yields_with_its_whole_session(role: str, *, lowered: bool) -> None:
    """The supervisor starts each role in a session of its own."""
    code = (
        "import sys; from clarion.app.roles import share_processor; share_processor(sys.argv[1]); "
        "print(open('/proc/self/autogroup').read(), end='')"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, role],
        start_new_session=True,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert said.endswith(f" nice {SESSION_NICENESS if lowered else 0}\n")


@pytest.mark.skipif(not _TURNS, reason="this system has no turns of a length that is asked for")
@pytest.mark.parametrize(("role", "short"), [("planner", False), ("api", True), ("push", True)])
def test_a_role_that_people_wait_for_has_the_processor_in_short_turns(
    role: str, *, short: bool
) -> None:
    """It keeps its niceness, whoever started it with one."""
    code = (
        "import os, sys; os.nice(3); from clarion.app.roles import share_processor; "
        "share_processor(sys.argv[1]); print(os.nice(0), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, role],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        niceness = int(child.stdout.readline())
        turn = turn_ns(child.pid)
        child.communicate()

    assert (turn == SHORT_TURN_NS) is short
    assert (niceness == os.nice(0) + 3) is short
