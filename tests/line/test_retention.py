"""Retention asks the facts before it forgets what they may not know yet."""

import asyncio
from datetime import timedelta
from pathlib import Path

from tests.line.conftest import Store
from tests.line.test_send_line import planned
from tests.line.test_upkeep import DAY, count, ended, removed

from clarion.adapters.facts.duckdb.client import FactsClient
from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.upkeep import PostgresUpkeep
from clarion.app.retention import Retention
from clarion.app.setting_retention import Retention as Ages
from clarion.app.supervise import END_OF_TIME
from clarion.telemetry.metrics import Metrics
from clarion.testing.clock import ManualClock


async def turn(store: Store, folder: Path, ages: Ages, *, days: int) -> None:
    """One turn while the facts are away."""
    clock = ManualClock(store.now)
    facts = FactsClient(folder / "nobody.sock", clock)
    retention = Retention(PostgresUpkeep(store.pool), facts, ages, Metrics())
    turning = asyncio.create_task(retention.drop_some(store.now + timedelta(days=days)))
    while not turning.done():  # it waits for the facts by our clock
        await asyncio.sleep(0.001)
        clock.advance(0.1)
    await turning


async def test_messages_go_at_the_age_that_the_settings_say(store: Store, tmp_path: Path) -> None:
    """Not a day before."""
    await ended(store)
    await store.pool.execute("delete from chunk")

    await turn(store, tmp_path, Ages(messages_days=7), days=7)
    assert await count(store, "message") == 1
    await turn(store, tmp_path, Ages(messages_days=7), days=8)
    assert await count(store, "message") == 0


async def test_without_the_facts_no_mark_of_a_removal_goes(store: Store, tmp_path: Path) -> None:
    """Nobody knows what they have seen."""
    await removed(store)
    await turn(store, tmp_path, Ages(), days=400)
    assert await count(store, "removal") == 2


async def test_at_the_start_every_lease_is_void_whatever_clock_wrote_it(store: Store) -> None:
    """Also one that ends in a year."""
    await planned(store)
    await store.pool.execute(
        "update batch set state = 2, owner = 'x', leased_until = $1", store.later(365 * DAY)
    )
    assert await PostgresHousekeeping(store.pool).sweep(END_OF_TIME) == 1
