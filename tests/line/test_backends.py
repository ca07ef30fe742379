"""Connections of bulk roles yield the processor; nobody else's do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from tests.line.conftest import Store

from clarion.adapters.processor import SESSION_NICENESS
from clarion.adapters.state.backends import BULK_NICENESS, Backends, named

_OURS = Path("/proc/self/autogroup")
_SESSIONS = _OURS.exists() and _OURS.read_text(encoding="ascii").startswith("/autogroup-")


def session_niceness(pid: int) -> int:
    """How much a session yields to the others, where Linux schedules sessions."""
    text = Path(f"/proc/{pid}/autogroup").read_text(encoding="ascii")
    found = re.fullmatch(r"/autogroup-\d+ nice (-?\d+)\n", text)
    assert found
    return int(found[1])


async def test_only_what_works_for_a_bulk_role_yields(store: Store, database_url: str) -> None:
    """A backend is told by the role's name in the address."""
    urgent = await asyncpg.connect(named(database_url, "api"))
    bulk = await asyncpg.connect(named(database_url, "planner"))
    before = os.getpriority(os.PRIO_PROCESS, urgent.get_server_pid())
    try:
        backends = Backends(store.pool, ["planner", "sender"])
        await backends.lower()
        await backends.lower()

        assert os.getpriority(os.PRIO_PROCESS, bulk.get_server_pid()) == BULK_NICENESS
        assert os.getpriority(os.PRIO_PROCESS, urgent.get_server_pid()) == before
        if _SESSIONS:  # each backend is a session of its own, among which niceness says nothing
            assert session_niceness(bulk.get_server_pid()) == SESSION_NICENESS
            assert session_niceness(urgent.get_server_pid()) == 0
    finally:
        await urgent.close()
        await bulk.close()


@pytest.mark.skipif(not _SESSIONS, reason="this system does not schedule sessions")
@pytest.mark.parametrize(("role", "lowered"), [("planner", True), ("api", False)])
def test_a_bulk_role_yields_with_its_whole_session(role: str, *, lowered: bool) -> None:
    """The supervisor starts each role in a session of its own."""
    code = (
        "import sys; from clarion.app.roles import yield_processor; yield_processor(sys.argv[1]); "
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
