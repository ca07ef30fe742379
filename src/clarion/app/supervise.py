"""`clarion serve`: the engines, the roles as child processes, and what to do when one dies."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    suppress,
)
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from clarion.adapters.state.backends import Backends, named
from clarion.adapters.state.housekeeping import PostgresHousekeeping
from clarion.adapters.state.pool import open_pool
from clarion.adapters.system import SystemClock
from clarion.app.address import port_held, url_of
from clarion.app.first_start import FirstKey, first_key, make_operator_app
from clarion.app.foundation import Paths
from clarion.app.names_known import unknown_names
from clarion.app.roles import PROMPT
from clarion.app.settings import Secret, Settings, SettingsError
from clarion.app.supervised_store import (
    RESTART_FIRST_S,
    RESTART_LONGEST_S,
    STEADY_S,
    bring_up_to_date,
    state_store,
)
from clarion.ports.store import StoreUnavailableError
from clarion.telemetry import metrics
from clarion.telemetry.logs import log
from clarion.telemetry.names import LogEvent

_log = logging.getLogger(__name__)

_ADDRESS = "CLARION_DATABASE_URL"
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
STORE_AWAY_S = 0.5
BACKENDS_LOOK_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Started:
    """What the command line tells, once the API answers."""

    url: str
    data_dir: Path
    first_key: FirstKey | None
    """Shown when it is told of; stored after that."""
    unknown_names: int
    """Erased names on suppression lists that none of the master keys knows again."""


@dataclass(kw_only=True, slots=True)
class _Child:
    role: str
    number: int
    starts: int = 0
    process: asyncio.subprocess.Process | None = None
    owner: str = ""


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    started: Callable[[Started], AbstractContextManager[None]],
    config: Path | None = None,
) -> None:
    """Run the whole platform until told to stop, then drain every role.

    Args:
        settings: as loaded; `database.url` chooses between our own server and another.
        stop: set by whoever handles signals.
        started: entered once the API answers; the first key is stored when it has shown it, and
            works from when it is left.
        config: the settings file, which the children read too.

    Raises:
        SettingsError: the data directory can't be used.
        EmbeddedPostgresError: the embedded server can't run here; the sentence says what to do.
        NotMigratedError: the server can't be reached, or has the schema of a newer version.
        MasterKeyError: a master key can't be read.
    """
    paths = Paths(root=settings.data_dir)
    prepare_data_dir(paths.root)
    with port_held(settings) as held:
        async with state_store(held, paths) as dsn:
            await bring_up_to_date(_environment(with_database(settings, dsn), config))
            await _run(
                with_database(held, dsn),
                stop,
                started=started,
                config=config,
                embedded=settings.database.url is None,
            )


async def _run(
    settings: Settings,
    stop: asyncio.Event,
    *,
    started: Callable[[Started], AbstractContextManager[None]],
    config: Path | None,
    embedded: bool,
) -> None:
    """Everything on top of a state store that is up to date."""
    if embedded:
        await _void_leases(settings)
    metrics.sweep(_metrics_dir(settings))
    await make_operator_app(settings)
    unknown = await unknown_names(settings)
    environment = _environment(settings, config)
    children = [_Child(role=role, number=n) for role, n in _plan(settings)]
    keepers = [asyncio.create_task(_keep(child, environment, settings, stop)) for child in children]
    if embedded and hasattr(os, "setpriority"):
        keepers.append(asyncio.create_task(_lower_backends(settings, stop)))
    try:
        if await _answers(settings, stop):
            await _tell(settings, unknown, started)
        await stop.wait()
    finally:
        stop.set()
        await asyncio.gather(*keepers)


async def _lower_backends(settings: Settings, stop: asyncio.Event) -> None:
    """Let the server's processes that work for bulk roles yield the processor as these do."""
    url = settings.database.url
    bulk = [role for role, _ in _plan(settings) if role not in PROMPT]
    while url is not None and not stop.is_set():
        try:
            pool = await open_pool(url.reveal(), max_size=1)
            try:
                await Backends(pool, bulk).keep(stop, BACKENDS_LOOK_S)
            finally:
                await pool.close()
        except StoreUnavailableError:
            with suppress(TimeoutError):  # whoever needs the store says so
                async with asyncio.timeout(STORE_AWAY_S):
                    await stop.wait()


async def _tell(
    settings: Settings,
    unknown: int,
    started: Callable[[Started], AbstractContextManager[None]],
) -> None:
    with ExitStack() as telling:
        async with first_key(settings) as key:
            told = Started(
                url=url_of(settings),
                data_dir=settings.data_dir,
                first_key=key,
                unknown_names=unknown,
            )
            telling.enter_context(started(told))


def prepare_data_dir(root: Path) -> None:
    """Make the data directory.

    As root, others may pass through it (never list it): the embedded server runs as an ordinary
    user below it.
    """
    as_root = os.geteuid() == 0
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o711 if as_root else 0o700)
        (root / "facts").mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise _unusable(root, error.strerror) from error
    if not os.access(root, os.W_OK | os.X_OK):  # such a mode, or a read-only file system
        raise _unusable(root, "this user may not write there")


def _unusable(root: Path, why: str | None) -> SettingsError:
    problem = (
        f"data.dir: {root} can't be the data directory ({why}); "
        "choose another with CLARION_DATA_DIR, or let this user write there"
    )
    return SettingsError([problem])


async def _void_leases(settings: Settings) -> None:
    """End every lease from before: nobody but our own children reaches the embedded server.

    Children of a supervisor that was killed may still be draining: the fence of their lease is
    old then, and what they commit matches nothing.
    """
    url = settings.database.url
    if url is None:
        return
    pool = await open_pool(url.reveal(), max_size=1)
    try:
        # Whatever time it is: a clock that was ahead wrote leases that end long after now.
        await PostgresHousekeeping(pool).sweep(END_OF_TIME)
    finally:
        await pool.close()


def _metrics_dir(settings: Settings) -> Path:
    return settings.metrics.directory or Paths(root=settings.data_dir).metrics


def with_database(settings: Settings, dsn: str) -> Settings:
    """The same settings with the state store named."""
    database = msgspec.structs.replace(settings.database, url=Secret(dsn))
    return msgspec.structs.replace(settings, database=database)


def _plan(settings: Settings) -> Sequence[tuple[str, int]]:
    """The child processes: one sender per core unless said otherwise."""
    workers = settings.workers
    senders = workers.senders or os.cpu_count() or 1
    counts = {
        "facts": 1,
        "planner": workers.planners,
        "sender": senders,
        "push": settings.push.processes,
        "api": settings.server.processes,
    }
    return [(role, n) for role, count in counts.items() for n in range(count)]


def _environment(settings: Settings, config: Path | None) -> Mapping[str, str]:
    """What children are told: the store's address travels in the environment, not in `ps`."""
    environment = dict(os.environ)  # noqa: TID251  # handed on to our own children
    if settings.database.url is not None:
        environment[_ADDRESS] = settings.database.url.reveal()
    environment["CLARION_SERVER_PORT"] = str(settings.server.port)
    environment["CLARION_PUSH_PORT"] = str(settings.push.port)
    # A role is one core's worth of work: a pool of threads in each would cost memory and gain
    # nothing. The library reads this once, when it is imported.
    environment.setdefault("POLARS_MAX_THREADS", "1")
    if config is not None:
        environment["CLARION_CONFIG"] = str(config)
    return environment


async def _keep(
    child: _Child, environment: Mapping[str, str], settings: Settings, stop: asyncio.Event
) -> None:
    """Start a child, start it again when it dies, and give back at once what it had leased."""
    clock = SystemClock()
    wait = RESTART_FIRST_S
    while not stop.is_set():
        born = clock.monotonic()
        status = await _live(child, environment, settings, stop)
        if stop.is_set():
            return
        log(_log, logging.ERROR, LogEvent.ROLE_DIED, role=child.role, status=status)
        if child.process is not None:
            metrics.forget(_metrics_dir(settings), child.process.pid)
        await _give_back(settings, child.owner, stop)
        if clock.monotonic() - born > STEADY_S:
            wait = RESTART_FIRST_S
        await clock.sleep(wait)
        wait = min(2 * wait, RESTART_LONGEST_S)


async def _live(
    child: _Child, environment: Mapping[str, str], settings: Settings, stop: asyncio.Event
) -> int:
    """Run a child from start to end; its exit status."""
    child.starts += 1
    child.owner = f"{child.role}-{child.number}-{os.getpid()}-{child.starts}"
    process = child.process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "clarion.cli",
        "worker",
        "--role",
        child.role,
        "--owner",
        child.owner,
        f"--parent={os.getpid()}",
        env={**environment, _ADDRESS: named(environment[_ADDRESS], child.role)},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches the parent alone, which drains the children
    )
    ended = asyncio.create_task(process.wait())
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not ended.done():
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(settings.server.drain_s + 5):
                return await ended
        except TimeoutError:
            process.kill()
    return await process.wait()


async def _give_back(settings: Settings, owner: str, stop: asyncio.Event) -> None:
    """Work of a child that is known to be dead goes back to the queue without waiting.

    Where the store is away too, the child's successor could not start: waits for the store.
    """
    url = settings.database.url
    while url is not None and not stop.is_set():
        try:
            pool = await open_pool(url.reveal(), max_size=1)
            try:
                await PostgresHousekeeping(pool).abandon(owner)
            finally:
                await pool.close()
        except StoreUnavailableError as error:
            log(_log, logging.WARNING, LogEvent.STORE_UNAVAILABLE, cause=str(error))
            with suppress(TimeoutError):
                async with asyncio.timeout(STORE_AWAY_S):
                    await stop.wait()
            continue
        return


async def _answers(settings: Settings, stop: asyncio.Event) -> bool:
    """Wait until the API takes connections; False when told to stop before."""
    clock = SystemClock()
    while not stop.is_set():
        try:
            _, writer = await asyncio.open_connection(settings.server.host, settings.server.port)
        except OSError:
            await clock.sleep(0.05)
            continue
        writer.close()
        return True
    return False
