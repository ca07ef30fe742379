"""Connections of bulk roles yield the processor; nobody else's do."""

import os

import asyncpg
from tests.line.conftest import Store

from clarion.adapters.state.backends import BULK_NICENESS, Backends, named


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
    finally:
        await urgent.close()
        await bulk.close()
