"""The owner of the facts file: keeps it current from the state store, and answers askers."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Final

import asyncpg
import duckdb

from clarion.adapters.facts.duckdb.ageing import Ageing, beside
from clarion.adapters.facts.duckdb.answering import serve_asker
from clarion.adapters.facts.duckdb.event_feed import EventFeed
from clarion.adapters.facts.duckdb.merge_feed import MergeFeed
from clarion.adapters.facts.duckdb.merging import leave_parts, merge_parts
from clarion.adapters.facts.duckdb.outcome_feed import OutcomeFeed
from clarion.adapters.facts.duckdb.rebuilding import Rebuilds
from clarion.adapters.facts.duckdb.rebuilt import drop_rebuilt
from clarion.adapters.facts.duckdb.registry_feed import RegistryFeed, sweep_pages
from clarion.adapters.facts.duckdb.settings import OwnerSettings
from clarion.adapters.facts.duckdb.snapshot import Snapshot
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.facts.duckdb.threads import Threads
from clarion.adapters.state.pool import reading
from clarion.ports.store import FactsFileError, StoreUnavailableError
from clarion.ports.system import Clock
from clarion.telemetry.logs import log
from clarion.telemetry.metrics import Metrics
from clarion.telemetry.names import LogEvent, Metric

_log = logging.getLogger(__name__)

STORE_PAUSE_S: Final = 0.5
FOLLOW_EVERY_S: Final = 0.25
"""From the beginning of a pass to that of the next: where a pass takes longer, the next one follows
at once."""
EVENTS_FOR_S: Final = 0.5
"""After so long a pass leaves the events that it has not reached to the next."""
TIDY_EVERY_S: Final = 60.0
MERGE_EVERY_S: Final = 120.0
"""How long parts of tables may wait for a quiet moment in which they are merged."""
DROP_AT_ONCE: Final = 2000


@dataclass(kw_only=True)
class Owner:
    """The open file, its feeds, and who waits for a newer version."""

    store: FactsStore
    settings: OwnerSettings
    clock: Clock
    threads: Threads
    registry: RegistryFeed
    outcomes: OutcomeFeed
    events: EventFeed
    merges: MergeFeed
    metrics: Metrics | None = None
    registry_seen: Snapshot | None = None
    """What the audience columns show, at least; None before the first pass."""
    outcomes_seen: Snapshot | None = None
    """What the facts hold, at least."""
    events_seen: Snapshot | None = None
    """What people did, at least."""
    looked_at: float | None = None
    """When the snapshot was taken that the audience shows; by the monotonic clock."""
    outcomes_awaited: int = 0
    """Who waits for outcomes: they are taken in with the next pass, due or not."""
    outcomes_at: float = -math.inf
    """When the last of them had been taken in; by the monotonic clock."""
    parted: bool = False
    """Something came in since the parts of tables were merged."""
    merged_at: float = -math.inf
    """When that was last; by the monotonic clock."""
    rebuilds: Rebuilds = field(default_factory=Rebuilds)
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    advanced: asyncio.Condition = field(default_factory=asyncio.Condition)
    askers: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def version(self) -> int:
        """Every committed change below this transaction is in the audience columns."""
        return 0 if self.registry_seen is None else self.registry_seen.xmin

    async def reach_registry(self, xid: int) -> bool:
        """Wait for a transaction and all that were committed before it; False if it lasts."""
        return await self._reach(lambda: _has(self.registry_seen, xid))

    async def reach_outcomes(self, xid: int) -> bool:
        """The same of the facts."""
        self.outcomes_awaited += 1
        try:
            return await self._reach(lambda: _has(self.outcomes_seen, xid))
        finally:
            self.outcomes_awaited -= 1

    async def reach_events(self, xid: int) -> bool:
        """The same of what people did, which a pass may leave to the next ones."""
        return await self._reach(lambda: _has(self.events_seen, xid))

    async def _reach(self, there: Callable[[], bool]) -> bool:
        """Asks for a pass at once: nobody waits for the next turn of the clock."""
        if there():
            return True
        self.wanted.set()
        try:
            async with asyncio.timeout(self.settings.lag_limit_s), self.advanced:
                await self.advanced.wait_for(there)
        except TimeoutError:
            return False
        return True

    async def follow(self, connection: asyncpg.Connection) -> bool:
        """One pass over all feeds that are due; whether there is anything to do.

        All read one snapshot of the state store, so what they show belongs together. Outcomes come
        in less often than the rest: a large page costs half as much a row as a small one.
        """
        looked_at = self.clock.monotonic()
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            now = Snapshot.parse(await connection.fetchval(FEED["snapshot"]))
            rebuilt = self.rebuilds.read()
            if now == self.events_seen == self.outcomes_seen and rebuilt is None:
                self.tell_lag(looked_at)
                return False
            self._check_age(now)
            changed = 0
            if rebuilt is not None or await self._registry_has_changed(connection):
                changed = await self.registry.follow(connection, now, rebuilt=rebuilt)
            async with self.advanced:
                self.registry_seen = now
                self.rebuilds.done = self.rebuilds.done if rebuilt is None else self.rebuilds.begun
                self.advanced.notify_all()
            events, all_in = await self.events.follow(
                connection, now, lambda: self.clock.monotonic() - looked_at > EVENTS_FOR_S
            )
            if all_in:  # what is yet to come in still has the numbers that it came with
                changed += await self.merges.follow(connection, now)
            async with self.advanced:
                self.events_seen = now if all_in else self.events_seen
                self.advanced.notify_all()
            self.tell_lag(looked_at if all_in else None)
            due = looked_at - self.outcomes_at >= self.settings.drain_every_s
            if not due and not self.outcomes_awaited:
                return True
            chunks = await self.outcomes.follow(connection, now)
            async with self.advanced:
                self.outcomes_seen, self.outcomes_at = now, self.clock.monotonic()
                self.advanced.notify_all()
        return bool(changed or events or chunks)

    async def _registry_has_changed(self, connection: asyncpg.Connection) -> bool:
        """Whether a look at every table could find anything; mostly one look at some indexes says.

        Where the last look left out running transactions, one of them may have ended since.
        """
        place = self.registry.place
        if self.registry_seen is None or place.running:
            return True
        return int(await connection.fetchval(FEED["last_change"])) >= place.xmax

    def tell_lag(self, looked_at: float | None = None) -> None:
        """How old the oldest change may be that the audience does not show.

        Args:
            looked_at: when the snapshot was taken that it shows from now on; None: the old one.
        """
        if self.metrics is not None and self.looked_at is not None:
            lag = self.clock.monotonic() - self.looked_at
            self.metrics.level(Metric.AUDIENCE_LAG_SECONDS, lag)
        self.looked_at = looked_at or self.looked_at

    def _check_age(self, now: Snapshot) -> None:
        places = (self.registry.place, self.outcomes.place, self.events.place)
        seen = max(place.xmax for place in places)
        if now.xmax < seen:
            raise FactsFileError(
                f"{self.settings.path} has seen transaction {seen - 1}, the state store is at "
                f"{now.xmax - 1}: it was restored from a backup, or is another one. Move the "
                "facts file away: the audience is rebuilt from the state store, and so are the "
                "outcomes that it still keeps"
            )

    async def rebuild(self) -> None:
        """Read the audience anew from the state store, and wait until it is in."""
        self.rebuilds.wanted += 1
        mine = self.rebuilds.wanted
        self.wanted.set()
        async with self.advanced:
            await self.advanced.wait_for(lambda: self.rebuilds.done >= mine)

    async def drop_old(self, connection: asyncpg.Connection) -> None:
        """Let the state store go of what was taken in long ago."""
        now, settings = self.clock.now(), self.settings
        await self.outcomes.drop_old(connection, now - settings.keep_chunks, at_once=DROP_AT_ONCE)
        # A day more: what was judged a moment ago may be about to be written.
        day = (now - settings.keep_events - timedelta(days=1)).date()
        await self.events.drop_days(connection, day)
        await self.merges.look_again(connection)

    async def tidy(self, *, quiet: bool) -> None:
        """Sort what came in piecemeal, and merge it, when nobody waits; merge it now and then."""
        self.parted = self.parted or not quiet
        since = self.clock.monotonic() - self.merged_at
        if quiet and self.registry.is_loose():
            await self.registry.sort()
            since = math.inf
        if self.parted and since > (TIDY_EVERY_S if quiet else MERGE_EVERY_S):
            await self.threads.run(partial(merge_parts, self.store))
            self.parted, self.merged_at = False, self.clock.monotonic()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer an asker until it goes, or until we do."""
        task = asyncio.current_task()
        if task is not None:
            self.askers.add(task)
            task.add_done_callback(self.askers.discard)
        with contextlib.suppress(asyncio.CancelledError):  # only `dismiss` cancels
            await serve_asker(self, reader, writer)

    async def dismiss(self) -> None:
        """End all answers; an asker in the middle of a scan sees its connection close."""
        while self.askers:
            for task in self.askers:
                task.cancel()
            await asyncio.wait(self.askers)


def _has(seen: Snapshot | None, xid: int) -> bool:
    return seen is not None and seen.has(xid)


async def run_owner(
    pool: asyncpg.Pool,
    settings: OwnerSettings,
    clock: Clock,
    stop: asyncio.Event,
    metrics: Metrics | None = None,
) -> None:
    """Own the facts until told to stop.

    Raises:
        FactsFileError: the file is held by another process, damaged, can't be written, or does
            not belong to this version or this state store.
    """
    settings.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_store(settings.path, memory_mib=settings.memory_mib, threads=settings.threads)
    leave_parts(store)
    with store.writing() as cursor:
        drop_rebuilt(cursor)
    sweep_pages(settings.path.parent)  # after the file was opened: now they are nobody's
    threads = Threads()
    owner = Owner(
        store=store,
        settings=settings,
        clock=clock,
        threads=threads,
        registry=RegistryFeed(store=store, folder=settings.path.parent, threads=threads),
        outcomes=OutcomeFeed(store=store, threads=threads),
        events=EventFeed(store=store, folder=settings.path.parent, threads=threads),
        merges=MergeFeed(store=store, threads=threads),
        metrics=metrics,
    )
    ageing = Ageing(store=store, threads=threads, kept=settings.kept, clock=clock, metrics=metrics)
    try:
        settings.socket.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(owner.serve, settings.socket)
        settings.socket.chmod(0o600)
        try:
            following = asyncio.ensure_future(_follow_for_ever(owner, pool))
            await _until(stop, beside(following, ageing))
        finally:
            server.close()
            await owner.rebuilds.drop()
            await owner.dismiss()
            settings.socket.unlink(missing_ok=True)
    except duckdb.Error as error:
        raise FactsFileError(f"{settings.path} can't be written: {error}") from error
    finally:
        threads.close()
        store.close()


async def _until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Work until told to stop; what fails is raised."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.create_task(stop.wait())
    await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not working.done():
        working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _follow_for_ever(owner: Owner, pool: asyncpg.Pool) -> None:
    tidied = owner.clock.monotonic()
    owner.merged_at = tidied
    while True:
        began = owner.clock.monotonic()
        owner.rebuilds.begin(owner.registry, pool, owner.wanted)
        owner.wanted.clear()  # before the pass: who asks during it is answered by the next
        try:
            async with reading(pool) as connection:
                busy = await owner.follow(connection)
                if owner.clock.monotonic() - tidied > TIDY_EVERY_S:
                    tidied = owner.clock.monotonic()
                    await owner.drop_old(connection)
        except StoreUnavailableError as error:
            owner.tell_lag()
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            await owner.clock.sleep(STORE_PAUSE_S)
            continue
        await owner.tidy(quiet=not busy)
        pause = min(FOLLOW_EVERY_S, owner.settings.drain_every_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(began + pause - owner.clock.monotonic()):
                await owner.wanted.wait()
