"""The process that owns the facts file."""

import asyncio
import os
from datetime import timedelta

from clarion.adapters.facts.duckdb import FactsKept, OwnerSettings, run_owner
from clarion.app.container import Container


async def run_facts(container: Container, owner: str, stop: asyncio.Event) -> None:
    """Own the facts file."""
    del owner
    facts = container.settings.facts
    settings = OwnerSettings(
        path=container.paths.facts,
        socket=container.paths.facts_socket,
        memory_mib=facts.memory_mib,
        threads=facts.threads or min(2, os.cpu_count() or 1),
        drain_every_s=facts.drain_every_s,
        keep_chunks=timedelta(hours=container.settings.retention.outcomes_hours),
        keep_events=timedelta(days=container.settings.retention.events_days),
        kept=FactsKept(
            outcomes=timedelta(days=container.settings.retention.facts_outcomes_days),
            decisions=timedelta(days=container.settings.retention.facts_decisions_days),
            events=timedelta(days=container.settings.retention.facts_events_days),
        ),
    )
    await run_owner(container.pool, settings, container.clock, stop, container.metrics)
