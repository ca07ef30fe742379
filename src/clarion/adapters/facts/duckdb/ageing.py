"""Facts that are older than what is kept are deleted: little at a time, beside everything else.

A transaction deletes some rows of one table. It neither waits for the feeds nor they for it, for
they only append; whoever else writes to the same rows (an erasure, a login) goes first, and this is
tried again. The room is used again when parts are merged.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import duckdb

from clarion.adapters.facts.duckdb.settings import FactsKept
from clarion.adapters.facts.duckdb.store import FactsStore
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.domain.send_time import instant_us
from clarion.ports.system import Clock
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import Metric

AT_ONCE: Final = 50_000
RUNS_AT_ONCE: Final = 2_000
"""Rows of some hundreds of recipients each."""
CHUNKS_AT_ONCE: Final = 200
"""Chunks of up to 16,384 decisions each."""
PAUSE_S: Final = 0.05
"""Between two transactions."""
EVERY_S: Final = 3_600.0
FIRST_S: Final = 60.0
"""After the start; a start has better things to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Kind:
    """Rows of one table that are too old."""

    what: str
    """As the metric says."""
    table: str
    where: str
    """Of `$us`, the oldest microsecond that is kept, and `$high`, the same as the upper half of a
    message's id (RFC 9562 section 5.7: it begins with the milliseconds)."""
    at_once: int = AT_ONCE


_LEFT: Final = "message_high < $high and (message_high, message_low) not in ({})"
_OF_OUTCOMES: Final = _LEFT.format(
    "select message_high, message_low from outcome where message_high < $high union "
    "select message_high, message_low from outcome_run where message_high < $high"
)
_OF_DECISIONS: Final = _LEFT.format(
    "select message_high, message_low from decision_run where message_high < $high"
)
_NOTED: Final = """
id < (select coalesce(min(first), 18446744073709551615) from (
    select min(note) as first from outcome where note > 0
    union all select min(note) from outcome_run where note > 0))
"""
_DECIDED: Final = """
at_us < $us or (at_us is null and id in (
    select chunk from decision_run group by chunk having max(message_high) < $high))
"""
_OUTCOMES: Final = (
    _Kind(what="facts_outcomes", table="outcome", where="at_us < $us"),
    _Kind(what="facts_outcomes", table="outcome_run", where="at_us < $us", at_once=RUNS_AT_ONCE),
    _Kind(what="facts_notes", table="note", where=_NOTED),
    _Kind(what="facts_provider_ids", table="provider_id", where=_OF_OUTCOMES),
)
_DECISIONS: Final = (
    _Kind(what="facts_decisions", table="decision_chunk", where=_DECIDED, at_once=CHUNKS_AT_ONCE),
    _Kind(
        what="facts_decisions",
        table="decision_run",
        where="chunk not in (select id from decision_chunk)",
    ),
    _Kind(what="facts_decisions", table="decision_count", where=_OF_DECISIONS),
)
_EVENTS: Final = (
    _Kind(what="facts_events", table="event", where="at_us < $us"),
    _Kind(what="facts_engagement", table="engagement", where="at_us < $us"),
)


@dataclass(kw_only=True)
class Ageing:
    """Deletes what is too old."""

    store: FactsStore
    threads: Threads
    kept: FactsKept
    clock: Clock
    metrics: Metrics | None = None

    async def go_on(self) -> None:
        """Look for old facts, now and then, until canceled."""
        await self.clock.sleep(FIRST_S)
        while True:
            with suppress(duckdb.TransactionException):  # others write the same rows: next time
                await self.drop(self.clock.now())
            await self.clock.sleep(EVERY_S)

    async def drop(self, now: datetime) -> Mapping[str, int]:
        """Delete everything that is older than what is kept; how many rows of each kind."""
        dropped: dict[str, int] = {}
        kept = self.kept
        for kinds, age in (
            (_OUTCOMES, kept.outcomes),
            (_DECISIONS, kept.decisions),
            (_EVENTS, kept.events),
        ):
            us = instant_us(now - age)
            for kind in kinds:
                rows = await self._drop(kind, us)
                dropped[kind.what] = dropped.get(kind.what, 0) + rows
        return dropped

    async def _drop(self, kind: _Kind, us: int) -> int:
        total = 0
        while True:
            rows = await self.threads.run(partial(self._some, kind, us))
            total += rows
            if self.metrics is not None:
                self.metrics.add(Metric.RETAINED_DROPPED, kind.what, amount=rows)
            if rows < kind.at_once:
                return total
            await self.clock.sleep(PAUSE_S)

    def _some(self, kind: _Kind, us: int) -> int:
        sql = (
            f"delete from {kind.table} where rowid in "  # noqa: S608  # our own names
            f"(select rowid from {kind.table} where {kind.where} limit {kind.at_once})"
        )
        places = {"us": us, "high": max(0, us // 1000) << 16}
        given = {name: value for name, value in places.items() if f"${name}" in sql}

        def work(cursor: duckdb.DuckDBPyConnection) -> int:
            row = cursor.execute(sql, given).fetchone()
            return 0 if row is None else int(row[0])

        return self.store.written(work)


async def beside(work: "asyncio.Future[None]", ageing: Ageing) -> None:
    """Do some work, and age meanwhile; what fails in either is raised."""
    aged = asyncio.create_task(ageing.go_on())
    try:
        await asyncio.wait([work, aged], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (work, aged):
            task.cancel()
        ended = await asyncio.gather(work, aged, return_exceptions=True)
    for one in ended:
        if isinstance(one, Exception):
            raise one
