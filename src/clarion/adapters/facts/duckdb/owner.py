"""The owner of the facts file: keeps it current from the state store, and answers askers."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import asyncpg

from clarion.adapters.facts.duckdb.answering import serve_asker
from clarion.adapters.facts.duckdb.outcome_feed import OutcomeFeed
from clarion.adapters.facts.duckdb.registry_feed import TABLES, RegistryFeed
from clarion.adapters.facts.duckdb.statements import FEED
from clarion.adapters.facts.duckdb.store import FactsStore, open_store
from clarion.adapters.state.pool import reading
from clarion.ports.messages import StoreUnavailableError
from clarion.ports.system import Clock
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

Result = TypeVar("Result")

_log = logging.getLogger(__name__)

STORE_PAUSE_S: Final = 0.5
TIDY_EVERY_S: Final = 60.0
DROP_AT_ONCE: Final = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerSettings:
    """Where the owner keeps its file and listens, and how much it may use."""

    path: Path
    socket: Path
    memory_mib: int = 256
    threads: int = 2
    drain_every_s: float = 0.25
    keep_chunks: timedelta = timedelta(hours=1)


@dataclass(kw_only=True)
class Owner:
    """The open file, its feeds, and who waits for a newer version."""

    store: FactsStore
    settings: OwnerSettings
    clock: Clock
    registry: RegistryFeed
    outcomes: OutcomeFeed
    registry_xid: int = 0
    """Every change below this is in the audience columns."""
    outcome_xid: int = 0
    """Every chunk below this is in the facts."""
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    advanced: asyncio.Condition = field(default_factory=asyncio.Condition)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "facts"))

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Run DuckDB's work off the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, work)

    async def reach(self, *, registry: int = 0, outcomes: int = 0, limit_s: float = 10.0) -> bool:
        """Wait until transactions up to and including these are in; False when it takes too long.

        Asks for a pass at once: nobody waits for the next turn of the clock.
        """

        def there() -> bool:
            return self.registry_xid > registry and self.outcome_xid > outcomes

        if there():
            return True
        self.wanted.set()
        try:
            async with asyncio.timeout(limit_s), self.advanced:
                await self.advanced.wait_for(there)
        except TimeoutError:
            return False
        return True

    async def follow(self, connection: asyncpg.Connection) -> bool:
        """One pass over both feeds; whether there was anything."""
        horizon = int(await connection.fetchval(FEED["horizon"]))
        busy = await self._follow_registry(connection, horizon)
        busy |= await self._follow_outcomes(connection, horizon)
        async with self.advanced:
            self.registry_xid = self.outcome_xid = horizon
            self.advanced.notify_all()
        return busy

    async def _follow_registry(self, connection: asyncpg.Connection, horizon: int) -> bool:
        busy = False
        for table in TABLES:
            more = True
            while more:
                page = await self.registry.read_page(connection, table, horizon)
                if page is None:
                    break
                busy = True
                more = await self.in_thread(partial(self.registry.merge, table, page))
        removals = await self.registry.read_removals(connection, horizon)
        if removals:
            busy = True
            await self.in_thread(partial(self.registry.remove, removals, horizon))
        return busy

    async def _follow_outcomes(self, connection: asyncpg.Connection, horizon: int) -> bool:
        busy, more = False, True
        while more:
            chunks = await self.outcomes.read_page(connection, horizon)
            if not chunks:
                break
            busy = True
            more = await self.in_thread(partial(self.outcomes.append, chunks))
        return busy

    async def rebuild(self) -> None:
        """Read the audience anew from the state store, with the next passes."""
        await self.in_thread(self.registry.forget)
        async with self.advanced:
            self.registry_xid = 0
        self.wanted.set()


async def run_owner(
    pool: asyncpg.Pool, settings: OwnerSettings, clock: Clock, stop: asyncio.Event
) -> None:
    """Own the facts until told to stop.

    Raises:
        FactsFileError: the file is held by another process, damaged, or too new.
    """
    settings.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _sweep_pages(settings.path.parent)
    store = open_store(settings.path, memory_mib=settings.memory_mib, threads=settings.threads)
    owner = Owner(
        store=store,
        settings=settings,
        clock=clock,
        registry=RegistryFeed(store, settings.path.parent),
        outcomes=OutcomeFeed(store),
    )
    settings.socket.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(partial(serve_asker, owner), settings.socket)
    settings.socket.chmod(0o600)
    following = asyncio.create_task(_follow_for_ever(owner, pool, stop))
    try:
        await asyncio.wait(
            [following, asyncio.create_task(stop.wait())], return_when="FIRST_COMPLETED"
        )
        server.close()
        await following
    finally:
        owner.threads.shutdown()
        store.close()
        settings.socket.unlink(missing_ok=True)


async def _follow_for_ever(owner: Owner, pool: asyncpg.Pool, stop: asyncio.Event) -> None:
    tidied = owner.clock.monotonic()
    while not stop.is_set():
        try:
            async with reading(pool) as connection:
                busy = await owner.follow(connection)
                if owner.clock.monotonic() - tidied > TIDY_EVERY_S:
                    tidied = owner.clock.monotonic()
                    before = owner.clock.now() - owner.settings.keep_chunks
                    await owner.outcomes.drop_old(connection, before, at_once=DROP_AT_ONCE)
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            await owner.clock.sleep(STORE_PAUSE_S)
            continue
        if busy:
            await owner.clock.sleep(min(0.05, owner.settings.drain_every_s))
            continue
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(owner.settings.drain_every_s):
                await owner.wanted.wait()
        owner.wanted.clear()


def _sweep_pages(folder: Path) -> None:
    """Pages that a killed owner left behind."""
    for table in TABLES:
        for page in folder.glob(f"{table}-*.csv"):
            page.unlink()
